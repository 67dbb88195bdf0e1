"""The calcfunction that lets labels join the pool."""

from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.learning.judge import false_states


@calcfunction
def gather(
    previous: LabelPoolData | None = None, verdicts: orm.Dict | None = None, **labels: FramesData
) -> LabelPoolData:
    """Let the labels of a round join the pool.

    Parameters
    ----------
    previous : LabelPoolData, optional
        The pool so far.
    verdicts : Dict, optional
        What the judge found of the round that the pool before gathered, by candidate; given where a burst of it was in
        a false SCF state.
    **labels
        Labelled frames by names such as ``Li6PS5Cl__burst_0003``: the candidate, a double underscore, the label.
    """
    return LabelPoolData.of(labels, previous, false_states(verdicts.get_dict()) if verdicts is not None else ())
