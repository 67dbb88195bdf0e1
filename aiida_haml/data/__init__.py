"""Node types: frames, the pool of labels, and potentials."""
