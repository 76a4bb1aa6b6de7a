"""Exporters: a trained model -> a file that runs without torch."""
