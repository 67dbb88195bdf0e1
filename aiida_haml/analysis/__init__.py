"""Bonds, environments, clusters and the ranking. NumPy and scikit-learn; knows nothing of AiiDA.

The work splits in two so that it can be cached. `description` turns the segments of *one* candidate into
environments and series, and depends on nothing else; `ranking` and `clusters` compare what it made.
"""
