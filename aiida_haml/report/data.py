"""What the report shows, as plain values: whoever reads the database fills these in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aiida_haml.queries import AuditReport, CostReport


@dataclass(frozen=True)
class Segment:
    """One burst or stretch of a hybrid trajectory.

    Parameters
    ----------
    kind : str
        'burst' or 'stretch'.
    time_start, time_end : float
        fs on the trajectory's time line.
    uuid : str, optional
        Of the node that holds its frames.
    """

    kind: str
    time_start: float
    time_end: float
    uuid: str | None = None


@dataclass(frozen=True)
class Cycle:
    """One round of burst, test, training and stretch.

    Parameters
    ----------
    cycle : int
    burst_steps, stretch_steps, trusted_steps : int, optional
        `trusted_steps` is what was left of the stretch after the rollback.
    force_rmse : float, optional
        Prequential error: of the potential on the burst that it had not seen, eV / Angstrom.
    deviation_max : float, optional
        Largest per-atom deviation of the committee in the stretch, what was not trusted of it included, eV / Angstrom.
    stopped_by : str, optional
        What ended the stretch early.
    """

    cycle: int
    burst_steps: int | None = None
    force_rmse: float | None = None
    deviation_max: float | None = None
    stretch_steps: int | None = None
    trusted_steps: int | None = None
    stopped_by: str | None = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate of the screen.

    Parameters
    ----------
    key : str
        Unique in the screen.
    label : str
        Shared by candidates that differ only in seed.
    uuid : str, optional
        Of the process that ran it.
    formula : str, optional
    temperature_K : float, optional
    seed : int, optional
    simulated_fs : float, optional
    pressure_GPa : float, optional
        Mean over the ab initio steps of the later half of the bursts, with the kinetic part.
    segments : sequence of Segment
    cycles : sequence of Cycle
    series : mapping
        Of the description, joined: see `aiida_haml.analysis.joining.join_descriptions`. Empty where the candidate was
        not described.
    environments : mapping
        A sample of M environments: ``projected`` (M, 2), the first two principal components of the descriptor,
        ``central`` (M,) atomic number, ``phase`` (M,) index of the phase resembled, -1 for none, ``time`` (M,) in fs.
    watch : mapping
        ``time`` (W,) in fs and ``deviation`` (W,), largest per-atom deviation of the committee's forces in each watched
        frame, eV / Angstrom.
    """

    key: str
    label: str
    uuid: str | None = None
    formula: str | None = None
    temperature_K: float | None = None
    seed: int | None = None
    simulated_fs: float | None = None
    pressure_GPa: float | None = None
    segments: Sequence[Segment] = ()
    cycles: Sequence[Cycle] = ()
    series: Mapping[str, np.ndarray] = field(default_factory=dict)
    environments: Mapping[str, np.ndarray] = field(default_factory=dict)
    watch: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """The level of theory of the labels.

    Parameters
    ----------
    name : str
        As in the specification, e.g. 'pbe-dzvp'.
    key : str
        Its hash.
    engine : str
        'cp2k' or 'teacher'.
    """

    name: str
    key: str
    engine: str


@dataclass(frozen=True)
class Reference:
    """A node that the reader may want to look up."""

    what: str
    uuid: str
    pk: int | None = None


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that the report shows.

    Parameters
    ----------
    title : str
    ranking : mapping
        As made by `aiida_haml.engines.ranking`.
    level : Level
    candidates : sequence of Candidate
    spec : mapping
        The screen's specification, to run it again.
    cost : CostReport, optional
    audit : AuditReport, optional
    provenance : sequence of Reference
    versions : mapping
        Code -> version.
    """

    title: str
    ranking: Mapping[str, Any]
    level: Level
    candidates: Sequence[Candidate] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    cost: CostReport | None = None
    audit: AuditReport | None = None
    provenance: Sequence[Reference] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
