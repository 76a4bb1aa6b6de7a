"""Checks a recipe and its table before anything is trained: what will be read, what is wrong, what it costs.

Nothing is written. What is costly to read is sampled, and the result states it.
"""
