"""The self-contained HTML report of a screen."""

from aiida_haml.report.data import (
    Audit,
    Candidate,
    Cost,
    Cycle,
    Level,
    Reference,
    ReportData,
    Segment,
    Work,
)
from aiida_haml.report.gallery import write_figures
from aiida_haml.report.page import render

__all__ = [
    "Audit",
    "Candidate",
    "Cost",
    "Cycle",
    "Level",
    "Reference",
    "ReportData",
    "Segment",
    "Work",
    "render",
    "write_figures",
]
