"""Bonds along a trajectory and what they say: units, events, transport."""
