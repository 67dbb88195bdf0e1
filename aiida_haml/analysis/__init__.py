"""Bonds, environments, clusters and the ranking. NumPy and scikit-learn; knows nothing of AiiDA."""
