"""Surroundings of single atoms: descriptors, their projection, and the phase that each resembles."""
