"""Settings of the analysis, checked on the way in."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiida_haml.analysis.metrics import declared_metrics
from aiida_haml.settings import Settings, require_choice

#: Elements of the host, of lithium metal and of the three dopings of the paper. With this default every
#: candidate made of them shares one projection, so that adding a doping to a screen recomputes nothing.
DEFAULT_ELEMENTS = ("Cl", "F", "Li", "O", "P", "S", "Se")

#: What the reacted share of the electrolyte can be counted by.
REACTED_BY = ("phase", "molecules")


@dataclass(frozen=True)
class DescriptionSettings(Settings):
    """How the frames of a candidate become environments and series.

    Parameters
    ----------
    elements : tuple of str
        All elements that a screen may hold. It decides the projection: candidates are comparable only if they
        were described with the same elements.
    host : str
        The electrolyte whose crystal the environments are compared with, as `aiida_haml.structures.host` takes it,
        in JSON; empty for the hosts known by name.
    every_fs : float
        Describe at most one frame in each interval of this length (fs); 0 describes all.
    r_cut : float
        Cutoff of the descriptor, Angstrom.
    n_max, l_max : int
        Radial and angular size of the descriptor.
    sigma : float
        Width of the atomic densities, Angstrom.
    n_components : int
        Principal components kept for each central species.
    reference_seed : int
        Seed of the disorder of reference phases and mixtures.
    reference_temperatures_K : tuple of float
        Temperatures of the disordered reference phases, K.
    reacted_by : str
        What the reacted share of the electrolyte is counted by: 'phase', atoms but Li that do not resemble the
        electrolyte's crystal; or 'molecules', atoms but Li in broken molecules, for liquids, which resemble no
        crystal.
    z_bins : int
        Slabs of the composition profile along the third cell vector.
    chunk : int
        Environments held at full dimension at a time (5 kB each).
    n_workers : int
        Processes that describe one candidate; they change no result.
    """

    elements: tuple[str, ...] = DEFAULT_ELEMENTS
    host: str = ""
    every_fs: float = 2.0
    r_cut: float = 5.0
    n_max: int = 6
    l_max: int = 4
    sigma: float = 0.5
    n_components: int = 32
    reference_seed: int = 2025
    reference_temperatures_K: tuple[float, ...] = (300.0, 600.0)
    reacted_by: str = "phase"
    z_bins: int = 20
    chunk: int = 4096
    n_workers: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(set(self.elements))))
        self.need("elements", len(self.elements) > 0, "at least one chemical symbol")
        self.need("every_fs", self.every_fs >= 0, "a time in fs, or 0 for all frames")
        self.need("r_cut", self.r_cut > 1, "a cutoff above 1 Angstrom")
        for name in ("n_max", "n_components", "z_bins", "chunk", "n_workers"):
            self.need(name, getattr(self, name) >= 1, "a positive number")
        require_choice("reacted_by", self.reacted_by, REACTED_BY)
        self.need("reference_temperatures_K", min(self.reference_temperatures_K, default=0) > 0, "temperatures in K")


@dataclass(frozen=True)
class RankingSettings(Settings):
    """How described candidates are compared.

    Parameters
    ----------
    weights : dict
        Metric name -> weight, over the defaults of `aiida_haml.analysis.metrics.METRICS`; zero shows a metric
        without counting it.
    min_simulated_fs : float
        Shortest simulated time that is ranked, fs.
    late_fraction : float
        Share of the compared time, at its end, that counts as late.
    instability_target_A : float
        Displacement of the electrolyte's framework taken as moderate instability, Angstrom (0.4 A is about a
        tenth of the anion-anion distance: the Lindemann criterion).
    blocks : int
        Blocks that the compared time is cut into; fewer where a candidate has less than twice as many frames.
    n_draws : int
        Samples drawn for each interval.
    confidence : float
        Of the intervals, and of the order that two candidates need in order not to be tied.
    seed : int
        Of samples and clusters.
    max_error_ratio : float
        A label whose potential had more than this many times the median force error of all labels is not ranked.
    n_weight_draws : int
        Sets of weights that the order is tried with.
    max_centres : int
        Centres of the first clustering stage over all central species together.
    max_fit_environments : int
        Environments drawn (evenly over candidates) to fit the centres.
    min_cluster_centres : int
        Fewest centres that HDBSCAN takes as a cluster.
    time_bins : int
        Bins of the compared time in which the distributions over clusters are counted.
    """

    weights: dict[str, float] = field(default_factory=dict)
    min_simulated_fs: float = 1000.0
    late_fraction: float = 1 / 3
    instability_target_A: float = 0.4
    blocks: int = 48
    n_draws: int = 2000
    confidence: float = 0.95
    seed: int = 2025
    max_error_ratio: float = 3.0
    n_weight_draws: int = 1000
    max_centres: int = 1000
    max_fit_environments: int = 200_000
    min_cluster_centres: int = 5
    time_bins: int = 8

    def __post_init__(self) -> None:
        declared_metrics(self.weights)
        self.need("min_simulated_fs", self.min_simulated_fs >= 0, "a time in fs")
        self.need("late_fraction", 0 < self.late_fraction < 1, "a share between 0 and 1")
        self.need("blocks", self.blocks >= 12, "at least 12 blocks, four of which fall into the default late part")
        self.need("n_draws", self.n_draws >= 100, "at least 100 samples")
        self.need("confidence", 0.5 < self.confidence < 1, "a probability between 0.5 and 1")
        self.need("min_cluster_centres", self.min_cluster_centres >= 2, "at least 2")
        self.need("max_error_ratio", self.max_error_ratio >= 1, "a factor of at least 1")
        for name in ("max_centres", "max_fit_environments", "time_bins", "n_weight_draws"):
            self.need(name, getattr(self, name) >= 1, "a positive number")
