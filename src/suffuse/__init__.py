"""suffuse: distil heavy multimodal models into small students that keep working when a modality is missing."""

__version__ = "0.1.0"
