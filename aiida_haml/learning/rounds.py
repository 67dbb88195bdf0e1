"""The settings of the rounds of a hybrid trajectory: how long, how many labels, how wrong is too wrong."""

from dataclasses import dataclass

from aiida_haml.settings import Settings, require_integer, require_number


@dataclass(frozen=True)
class RoundSettings(Settings):
    """Bounds, tolerances and budgets of the rounds; the numbers are our choice, not the paper's.

    Attributes
    ----------
    n_burst_first, min_burst, max_burst : int
        Steps of AIMD of the first round, and the range of all later ones. `min_burst` is the audit.
    n_stretch_first, min_stretch, max_stretch : int
        The same of stretches.
    growth : float
        Factor by which a stretch grows and a burst shrinks, or the opposite; above 1.
    force_rmse_tolerance : float
        Error of a frame's forces (root mean square over components) up to which the potential is believed,
        eV / Angstrom.
    max_force_error : float
        Error of a single atom's force up to which it is believed: one reacting site must count, eV / Angstrom.
    max_energy_error : float
        The same of the energy, eV / atom.
    n_explorations : int
        Potentials of a run that explore before they drive, if it begins without one: the first ones.
    max_fruitless : int
        Rounds in a row whose stretch brought nothing, after which a candidate ends with what it has.
    max_labels : int or None
        Budget of labels a candidate; None for no limit.
    max_wall_time_s : float or None
        Budget of wall time of all candidates together, s; None for no limit.
    """

    n_burst_first: int = 10
    min_burst: int = 2
    max_burst: int = 50
    n_stretch_first: int = 50
    min_stretch: int = 10
    max_stretch: int = 10_000
    growth: float = 2.0
    force_rmse_tolerance: float = 0.15
    max_force_error: float = 1.0
    max_energy_error: float = 0.05
    n_explorations: int = 2
    max_fruitless: int = 5
    max_labels: int | None = None
    max_wall_time_s: float | None = None

    def __post_init__(self) -> None:
        for kind in ("burst", "stretch"):
            low, high = f"min_{kind}", f"max_{kind}"
            require_integer(low, getattr(self, low), 1)
            require_integer(high, getattr(self, high), getattr(self, low))
            first = f"n_{kind}_first"
            require_integer(first, getattr(self, first), getattr(self, low), getattr(self, high))
        require_number("growth", self.growth, 1.0)
        require_integer("n_explorations", self.n_explorations, 0)
        require_integer("max_fruitless", self.max_fruitless, 1)
        for name in ("force_rmse_tolerance", "max_force_error", "max_energy_error"):
            require_number(name, getattr(self, name))
        if self.max_labels is not None:
            require_integer("max_labels", self.max_labels, self.n_burst_first)
        if self.max_wall_time_s is not None:
            require_number("max_wall_time_s", self.max_wall_time_s)
