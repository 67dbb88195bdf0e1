"""Crystals, dopings and interfaces. Built on ASE; knows nothing of AiiDA."""
