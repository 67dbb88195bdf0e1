"""The calcfunction that lets labels join the pool."""

from __future__ import annotations

from aiida.engine import calcfunction

from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData


@calcfunction
def gather(previous: LabelPoolData | None = None, **labels: FramesData) -> LabelPoolData:
    """Let the labels of a round join the pool.

    Parameters
    ----------
    previous : LabelPoolData, optional
        The pool so far.
    **labels
        Labelled frames by names such as ``Li6PS5Cl__burst_0003``: the candidate, a double underscore, the label.
    """
    return LabelPoolData.of(labels, previous)
