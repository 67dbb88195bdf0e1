"""Hybrid ab initio / machine-learning dynamics of lithium-metal interfaces, ranked, with full provenance."""

__version__ = "0.1.0"
