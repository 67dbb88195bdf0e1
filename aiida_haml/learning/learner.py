"""The settings of a round's training, known to the graph's side and to the engine alike."""

from dataclasses import dataclass

from ase.data import atomic_numbers

from aiida_haml.settings import Settings, require_choice, require_integer, require_number


@dataclass(frozen=True)
class LearnerSettings(Settings):
    """How a committee of MACE models learns from the pool. The defaults suit a first potential from tens of labels.

    Attributes
    ----------
    train : str
        ``needed`` trains if there is no champion or a test's error exceeds `force_rmse_tolerance` or
        `energy_tolerance`; ``always`` and ``never`` say what they do.
    force_rmse_tolerance, energy_tolerance : float
        Errors of a frame that are good enough: of its forces (root mean square over components), eV / Angstrom, and of
        its energy, eV / atom. Along a reaction small errors of forces add up to a large one of the energy.
    n_committee : int
        Number of models. The first one drives dynamics and learns from all labels; the others tell its uncertainty and
        see each label with a weight of their own (Bayesian bootstrap; Rubin, Ann. Statist. 9, 130 (1981)).
    seed : int
        Of samples, weights, batches and of the parameters of member 0; member i takes ``seed + i``.
    elements : tuple of str or None
        Elements the models know; None for those of the isolated atoms.
    num_channels, max_L, num_interactions, correlation, max_ell, num_radial_basis : int
        Size of the model, in MACE's words (``16x0e`` is 16 channels with max_L 0).
    r_max : float
        Cutoff radius of one interaction, Angstrom.
    precision : str
        ``float32`` or ``float64``, of training and of the models.
    device : str
        ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
    steps_first, steps_per_round : int
        Gradient steps of a training from scratch, and from a champion. One whose new labels hold an element that no
        label before them held takes as many as from scratch: after 300 steps a dozen labels of an O-doped interface
        left errors of 205 meV / Angstrom on O to a potential of the pristine one, after 800 they left 150.
    batch_size : int
        Frames a step; from a champion, half of them are new and half are replayed.
    n_replay, n_examined : int
        Most known labels to replay, and most known ones each to validate and to examine on.
    lr, fine_tune_lr : float
        Learning rate at the start of either; it falls exponentially to `lr_final` times that at the end.
    lr_final : float
        In (0, 1].
    energy_weight, forces_weight : float
        Weights in the loss, of (eV / atom)^2 and (eV / Angstrom)^2. With 50 labels along a picosecond of a reacting
        interface, energy weights of 10, 100 and 1000 gave errors of 7.9, 4.6 and 1.7 meV / atom beside 48, 51 and 61
        meV / Angstrom on frames between them.
    large_force : float
        eV / Angstrom. An atom counts by ``1 / (1 + (force / large_force)^2)``, so that errors of far larger forces are
        measured relative to them and do not drown the rest.
    force_cap : float
        Labels with a larger force on any atom are not trained on, eV / Angstrom.
    ema_decay : float
        Of the moving average of the parameters, in [0, 1); the average is what is validated and kept.
    min_gain : float
        Share by which the challenger's score has to be lower than the champion's; less is a tie, which the champion
        wins. Negative, by how much it may be higher.
    max_regression : float
        Largest ratio of challenger's to champion's score on any one candidate, where it is beyond the tolerance.
    gate_steps : int
        Steps of the hot run that a challenger has to survive from every start; 0 for none.
    gate_temperature_K, gate_timestep_fs : float
        Of these runs: half as hot again as the dynamics that are wanted, and their time step.
    n_explored, explore_steps, explore_temperature_K : int, int, float
        Frames of a challenger's exploration, from every start, that are to be labelled before it drives; 0 for none,
        without one. It is so hot that bonds break.
    n_parallel : int or None
        Members trained side by side on CPUs; None for as many as there are cores.
    """

    train: str = "needed"
    force_rmse_tolerance: float = 0.1
    energy_tolerance: float = 0.01
    n_committee: int = 2
    seed: int = 0
    elements: tuple[str, ...] | None = None
    num_channels: int = 16
    max_L: int = 0
    num_interactions: int = 2
    correlation: int = 2
    max_ell: int = 2
    num_radial_basis: int = 8
    r_max: float = 5.0
    precision: str = "float32"
    device: str = "auto"
    steps_first: int = 800
    steps_per_round: int = 300
    batch_size: int = 2
    n_replay: int = 200
    n_examined: int = 24
    lr: float = 0.06
    fine_tune_lr: float = 0.03
    lr_final: float = 0.1
    energy_weight: float = 200.0
    forces_weight: float = 100.0
    large_force: float = 3.0
    force_cap: float = 20.0
    ema_decay: float = 0.98
    min_gain: float = 0.01
    max_regression: float = 1.2
    gate_steps: int = 200
    gate_temperature_K: float = 450.0
    gate_timestep_fs: float = 1.0
    n_explored: int = 8
    explore_steps: int = 400
    explore_temperature_K: float = 1000.0
    n_parallel: int | None = None

    def __post_init__(self) -> None:
        if self.elements is not None:
            object.__setattr__(self, "elements", tuple(self.elements))
            for symbol in self.elements or ("",):
                if symbol not in atomic_numbers or symbol == "X":
                    raise ValueError(
                        f"elements holds {symbol!r}, which is no element; give chemical symbols, such as Li."
                    )
        require_choice("train", self.train, ("needed", "always", "never"))
        require_choice("precision", self.precision, ("float64", "float32"))
        require_choice("device", self.device, ("auto", "cpu", "cuda"))
        positive = ["n_committee", "num_channels", "num_interactions", "correlation", "num_radial_basis"]
        for name in [*positive, "steps_first", "steps_per_round", "batch_size", "n_examined", "explore_steps"]:
            require_integer(name, getattr(self, name), 1)
        for name in ("n_replay", "gate_steps", "n_explored"):
            require_integer(name, getattr(self, name), 0)
        if self.n_parallel is not None:
            require_integer("n_parallel", self.n_parallel, 1)
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("max_ell", self.max_ell, 0, 6)
        require_integer("max_L", self.max_L, 0, self.max_ell)
        for name in ("r_max", "forces_weight", "force_rmse_tolerance", "energy_tolerance", "large_force", "force_cap"):
            require_number(name, getattr(self, name))
        for name in ("gate_temperature_K", "gate_timestep_fs", "explore_temperature_K"):
            require_number(name, getattr(self, name))
        require_number("energy_weight", self.energy_weight, open_low=False)
        for name in ("lr", "fine_tune_lr", "lr_final"):
            require_number(name, getattr(self, name), 0.0, 1.0)
        require_number("ema_decay", self.ema_decay, 0.0, 0.99999, open_low=False)
        require_number("min_gain", self.min_gain, -0.5, 0.5)
        require_number("max_regression", self.max_regression, 1.0, open_low=False)
