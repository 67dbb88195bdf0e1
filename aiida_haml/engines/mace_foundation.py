"""A model of many elements, taught elsewhere, made into one of ours: its elements cut out, its energies ours."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from mace.modules.radial import ZBLBasis
from mace.tools.finetuning_utils import load_foundations_elements
from mace.tools.scripts_utils import extract_config_mace_model, remove_pt_head
from mace.tools.torch_tools import default_dtype
from mace.tools.utils import AtomicNumberTable

from aiida_haml.engines.mace_batches import predict
from aiida_haml.engines.mace_forces import head_of
from aiida_haml.engines.outcome import TaskError
from aiida_haml.frames import Frames


def cut_out(foundation: Any, energies: Mapping[str, float], runs: Sequence[Frames], precision: str) -> Any:
    """Return the part of a foundation model that knows the elements that are wanted, ready to learn another level.

    Weights are taken over as they are, so that forces are the foundation's; the repulsion of close pairs is added where
    it was left out. Energies are those of another level, and are moved: each element counts with the energy of our
    isolated atom, and a constant per atom brings the median error on the labels to zero. What is left, training has to
    learn. It is naive fine-tuning: what the foundation knew of other chemistry is not rehearsed.

    Parameters
    ----------
    foundation : torch.nn.Module
        A MACE model with scale and shift; of one with several heads the one is taken that MACE's calculator takes.
    energies : mapping of str to float
        Of the isolated atom of each element that the model is to know, eV.
    runs : sequence of Frames
        Labels.
    precision : str
        ``float32`` or ``float64``.

    Raises
    ------
    TaskError
        Of kind ``model_refused``, if it is no such model.
    """
    with default_dtype(precision):
        source = _one_head(foundation).to(getattr(torch, precision))
        config = extract_config_mace_model(source)
        if "error" in config:
            raise TaskError(
                "model_refused", f"The foundation is a {type(source).__name__}; a ScaleShiftMACE can be fine-tuned."
            )
        numbers = sorted(atomic_numbers[symbol] for symbol in energies)
        ours = dict(zip([atomic_numbers[symbol] for symbol in energies], energies.values(), strict=True))
        config |= {
            "num_elements": len(numbers),
            "atomic_numbers": numbers,
            "atomic_energies": np.array([ours[z] for z in numbers]),
            "atomic_inter_scale": float(source.scale_shift.scale),
            "atomic_inter_shift": float(source.scale_shift.shift),
        }
        model = type(source)(**config)
        degrees = max(irrep.l for _, irrep in config["hidden_irreps"])
        load_foundations_elements(model, source, AtomicNumberTable(numbers), load_readout=True, max_L=degrees)
        if not hasattr(source, "pair_repulsion_fn"):
            _add_repulsion(model, config["num_polynomial_cutoff"])
    model.scale_shift.shift += _missing_per_atom(model, runs)
    return model


def _add_repulsion(model: Any, exponent: float) -> None:
    """Let close pairs repel each other as they truly do, which the interaction's scale acts on too."""
    model.pair_repulsion_fn = ZBLBasis(p=int(exponent))
    model.pair_repulsion_fn.c.div_(model.scale_shift.scale)
    model.pair_repulsion = True


def _one_head(foundation: Any) -> Any:
    heads = list(getattr(foundation, "heads", None) or [])
    return remove_pt_head(foundation, head_of(foundation)) if len(heads) > 1 else foundation


def _missing_per_atom(model: Any, runs: Sequence[Frames]) -> float:
    """Return the median of what labels have more than the model says, eV / atom: exploded frames must not decide."""
    found = [(np.asarray(run.energies) - predict([model], run).energies[0]) / run.n_atoms for run in runs]
    return float(np.median(np.concatenate(found)))
