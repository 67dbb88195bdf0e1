"""Settings of the analysis, checked on the way in."""

from dataclasses import dataclass, field

from aiida_haml.analysis.ranking.metrics import declared_metrics
from aiida_haml.settings import Settings

#: Elements of the host, of lithium metal and of the three dopings of the paper. With this default every
#: candidate made of them shares one projection, so that adding a doping to a screen recomputes nothing.
DEFAULT_ELEMENTS = ("Cl", "F", "Li", "O", "P", "S", "Se")

#: Least that is looked back at before a batch, fs: what a batch begins with hangs on what was before it.
MEMORY_FS = 300.0


def memory_fs(every_fs: float, persist_fs: float = 100.0) -> float:
    """Return how far back a batch has to see, fs: to the frame ahead of a change that has begun to last."""
    return max(MEMORY_FS, persist_fs + 2 * every_fs)


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
    references : tuple of str
        Phases of one's own that environments are compared with, as `aiida_haml.structures.reference.Reference` takes
        them, in JSON.
    normal : int, optional
        Index of the cell vector along which metal and electrolyte follow on each other; found where left out.
    hysteresis : float
        Share of the cutoff by which a pair must come nearer to bond and go farther to break.
    persist_fs : float
        Time that a bond must stay broken or formed to count as an event, fs. Longer than a period of the
        softest P-S stretch (some 80 fs).
    transport_every_fs : float
        Lithium's positions are kept once in each interval of this length, fs.
    instability_window_fs : float
        Window of time in which the anions' displacements from their mean are taken, fs; longer where it would hold too
        few described frames.
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
    references: tuple[str, ...] = ()
    normal: int | None = None
    hysteresis: float = 0.08
    persist_fs: float = 100.0
    transport_every_fs: float = 20.0
    instability_window_fs: float = 500.0
    chunk: int = 4096
    n_workers: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(set(self.elements))))
        self.need("elements", len(self.elements) > 0, "at least one chemical symbol")
        self.need("every_fs", self.every_fs >= 0, "a time in fs, or 0 for all frames")
        self.need("r_cut", self.r_cut > 1, "a cutoff above 1 Angstrom")
        for name in ("n_max", "n_components", "chunk", "n_workers"):
            self.need(name, getattr(self, name) >= 1, "a positive number")
        self.need("normal", self.normal in (None, 0, 1, 2), "0, 1 or 2, or nothing")
        self.need("hysteresis", 0 <= self.hysteresis < 0.2, "a share from 0 to below 0.2")
        for name in ("persist_fs", "transport_every_fs", "instability_window_fs"):
            self.need(name, getattr(self, name) > 0, "a time in fs")
        self.need("reference_temperatures_K", min(self.reference_temperatures_K, default=0) > 0, "temperatures in K")

    @property
    def memory_fs(self) -> float:
        """How far back a batch has to see, fs."""
        return memory_fs(self.every_fs, self.persist_fs)

    @property
    def window_fs(self) -> float:
        """Window in which rattling is measured, of twenty described frames at least, fs."""
        return max(self.instability_window_fs, 20 * self.every_fs)


@dataclass(frozen=True)
class RankingSettings(Settings):
    """How described candidates are compared.

    Parameters
    ----------
    weights : dict
        Metric name -> weight, over the defaults of `aiida_haml.analysis.ranking.metrics.METRICS`; zero shows a metric
        without counting it.
    min_simulated_fs : float
        Shortest simulated time that is ranked, fs.
    late_fraction : float
        Share of the compared time, at its end, that counts as late; as much at its start counts as early.
    passivated_ratio : float
        A layer has stopped if its late rate is not more than this share of its early one. Endless growth keeps more:
        1 if linear, 0.32 if parabolic, with thirds for early and late.
    confidence : float
        Of the intervals, and of the order that two candidates need in order not to be tied.
    fewest_replicates : int
        With fewer replicates candidates are tied, whatever their scores.
    max_force_error : float
        A label whose potential had a larger prequential force error is not ranked, eV/Angstrom.
    model_score : float
        Standard deviation of a score that a force error of `max_force_error` may bring; smaller errors bring less in
        proportion.
    thickness_tolerance : float
        Electrolytes whose thickness differs by more than this share are not compared.
    seed : int
        Of samples and clusters.
    n_weight_draws : int
        Sets of weights that the order is tried with.
    max_centres : int
        Centres of the first clustering stage over all central species together.
    max_fit_environments : int
        Environments drawn (evenly over candidates) to fit the centres.
    min_cluster_centres : int
        Fewest centres that HDBSCAN takes as a cluster.
    time_bins : int
        Windows of the compared time in which the interphase is counted.
    """

    weights: dict[str, float] = field(default_factory=dict)
    min_simulated_fs: float = 1000.0
    late_fraction: float = 1 / 3
    passivated_ratio: float = 0.2
    confidence: float = 0.95
    fewest_replicates: int = 3
    max_force_error: float = 0.3
    model_score: float = 0.1
    thickness_tolerance: float = 0.15
    seed: int = 2025
    n_weight_draws: int = 1000
    max_centres: int = 1000
    max_fit_environments: int = 200_000
    min_cluster_centres: int = 5
    time_bins: int = 12

    def __post_init__(self) -> None:
        declared_metrics(self.weights)
        self.need("min_simulated_fs", self.min_simulated_fs >= 0, "a time in fs")
        self.need("late_fraction", 0 < self.late_fraction <= 0.5, "a share above 0 and up to 0.5")
        for name in ("passivated_ratio", "max_force_error", "model_score", "thickness_tolerance"):
            self.need(name, getattr(self, name) > 0, "a positive number")
        self.need("fewest_replicates", self.fewest_replicates >= 2, "at least 2: one replicate has no scatter")
        self.need("confidence", 0.5 < self.confidence < 1, "a probability between 0.5 and 1")
        self.need("min_cluster_centres", self.min_cluster_centres >= 2, "at least 2")
        self.need("time_bins", self.time_bins >= 6, "at least 6 windows, two of which are late")
        for name in ("max_centres", "max_fit_environments", "n_weight_draws"):
            self.need(name, getattr(self, name) >= 1, "a positive number")
