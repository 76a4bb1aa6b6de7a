"""Prepared columns, and how batches are drawn and viewed."""
