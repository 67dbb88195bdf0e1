"""The self-contained HTML report of a screen."""

from aiida_haml.report.data import Candidate, Cycle, Level, Reference, ReportData, Segment
from aiida_haml.report.gallery import write_figures
from aiida_haml.report.page import render

__all__ = [
    "Candidate",
    "Cycle",
    "Level",
    "Reference",
    "ReportData",
    "Segment",
    "render",
    "write_figures",
]
