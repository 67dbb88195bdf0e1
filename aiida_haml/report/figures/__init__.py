"""Figures of the report, by subject."""

from aiida_haml.report.figures.balance import consumed, has_balance
from aiida_haml.report.figures.cells import cells_figure, has_cells, viewer_data
from aiida_haml.report.figures.depth import along_z, has_profile
from aiida_haml.report.figures.drawing import Drawing, slug
from aiida_haml.report.figures.environments import environments, mapped
from aiida_haml.report.figures.kinetics import arrhenius, rates
from aiida_haml.report.figures.learning import costs, learning
from aiida_haml.report.figures.ranking import order, scores, sensitivity, tree
from aiida_haml.report.figures.timeline import comparison, motion, moves, trajectory

__all__ = [
    "Drawing",
    "along_z",
    "arrhenius",
    "cells_figure",
    "comparison",
    "consumed",
    "costs",
    "environments",
    "has_balance",
    "has_cells",
    "has_profile",
    "learning",
    "mapped",
    "motion",
    "moves",
    "order",
    "rates",
    "scores",
    "sensitivity",
    "slug",
    "trajectory",
    "tree",
    "viewer_data",
]
