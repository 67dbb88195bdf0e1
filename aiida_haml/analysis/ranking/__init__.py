"""Metrics, replicates, verdicts and the order of candidates."""
