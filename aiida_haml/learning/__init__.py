"""Splits, calibration and the controller of the hybrid trajectory. Built on NumPy; knows nothing of AiiDA."""
