"""Evaluation on the test rows: metrics, intervals, verdicts, scorecards, and the probes that add fields to them."""
