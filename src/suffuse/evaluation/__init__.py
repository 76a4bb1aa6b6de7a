"""Probes: what is measured of a model."""
