"""Transcripts: their units, the decoding of a network's frames, n-gram language models and error rates.

NumPy and the standard library only: what predicts needs no torch. :mod:`suffuse.transcripts.error_rates` imports jiwer
when it is called.
"""
