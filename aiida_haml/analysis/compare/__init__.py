"""Candidates beside each other: clusters of environments and distances between distributions over them."""
