"""The settings of a training, known to the graph's side and to the engine alike."""

from __future__ import annotations

from dataclasses import dataclass

from ase.data import atomic_numbers

from aiida_haml.settings import Settings, require_choice, require_integer, require_number


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How a committee of MACE models is trained. The defaults suit a first potential from tens of labels.

    Attributes
    ----------
    n_committee : int
        Number of models, which differ in their seed: initial parameters and order of the frames.
    seed : int
        Of the split and of member 0; member i takes ``seed + i``.
    elements : tuple of str or None
        Elements the models know; None for those of the isolated atoms. Name all elements of a screen from the
        start, so that a warm start never meets a new one.
    num_channels, max_L, num_interactions, correlation, max_ell, num_radial_basis : int
        Size of the model, in MACE's words (``16x0e`` is 16 channels with max_L 0).
    r_max : float
        Cutoff radius of one interaction, Angstrom.
    precision : str
        ``float64`` or ``float32``.
    device : str
        ``cpu`` or ``cuda``.
    max_epochs, fine_tune_epochs : int
        Passes over the training frames from scratch, and from an initial potential.
    lr, fine_tune_lr : float
        Learning rate at the start of either; it falls exponentially to `lr_final` times that at the end.
    lr_final : float
        In (0, 1].
    batch_size : int
        Frames a step.
    energy_weight, forces_weight : float
        Weights in the loss. With MACE's 1 : 100 a training of few steps leaves the constant offset unlearned
        (measured over 25 epochs on 14 frames: 62 meV/atom, 5 meV/atom with 10 : 100, forces alike).
    ema_decay : float
        Of the moving average of the parameters, in [0, 1); the average is what is validated and kept.
    valid_fraction, held_out_fraction : float
        Shares of the frames that choose the checkpoint and that measure the error; see
        `aiida_haml.learning.splits.split_segments`.
    n_parallel : int or None
        Members trained side by side, one thread each; None for as many as there are cores.
    """

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
    precision: str = "float64"
    device: str = "cpu"
    max_epochs: int = 40
    fine_tune_epochs: int = 20
    lr: float = 0.02
    fine_tune_lr: float = 0.01
    lr_final: float = 0.1
    batch_size: int = 2
    energy_weight: float = 10.0
    forces_weight: float = 100.0
    ema_decay: float = 0.95
    valid_fraction: float = 0.15
    held_out_fraction: float = 0.1
    n_parallel: int | None = None

    def __post_init__(self) -> None:
        if self.elements is not None:
            object.__setattr__(self, "elements", tuple(self.elements))
            for symbol in self.elements or ("",):
                if symbol not in atomic_numbers or symbol == "X":
                    raise ValueError(
                        f"elements holds {symbol!r}, which is no element; give chemical symbols, such as Li."
                    )
        positive = ["n_committee", "num_channels", "num_interactions", "correlation", "num_radial_basis"]
        for name in [*positive, "max_epochs", "fine_tune_epochs", "batch_size"]:
            require_integer(name, getattr(self, name), 1)
        if self.n_parallel is not None:
            require_integer("n_parallel", self.n_parallel, 1)
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("max_ell", self.max_ell, 0, 6)
        require_integer("max_L", self.max_L, 0, self.max_ell)
        require_choice("precision", self.precision, ("float64", "float32"))
        require_choice("device", self.device, ("cpu", "cuda"))
        for name in ("r_max", "forces_weight"):
            require_number(name, getattr(self, name))
        require_number("energy_weight", self.energy_weight, open_low=False)
        for name in ("lr", "fine_tune_lr", "lr_final"):
            require_number(name, getattr(self, name), 0.0, 1.0)
        require_number("ema_decay", self.ema_decay, 0.0, 0.99999, open_low=False)
        for name in ("valid_fraction", "held_out_fraction"):
            require_number(name, getattr(self, name), 0.0, 0.9, open_low=False)
