"""Can a potential of this size hold its level of theory at all: errors on a course that it was shown, and was not.

81 labels are those of the demonstration's pristine run (GFN1-xTB on real CP2K, one picosecond). The course is AIMD from
a frame of another hybrid run (`fidelity_cp2k.py onwards`), eleven frames 25 fs apart, along which 11 meV/atom are
released. Every potential is taught the labels alone, and with every other frame of the course.

    python tests/benchmarks/capacity.py [--sizes 16 16e 32L1] [--steps 2000]

Some minutes each on one core. ``16`` is the size of the `fast` protocol, ``16e`` weighs energies 25 times as much, and
``32L1`` has the interactions of `moderate`, at half its channels.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _lessons import Taken, finish, learn_from, scratch

from aiida_haml.frames import Frames

DATA = Path(__file__).parent / "data" / "capacity_gfn1-xtb.npz"
#: Energies of the isolated atoms at this level, eV.
ISOLATED = {"Li": -7.273202170024208, "P": -65.88964087410409, "S": -96.11867607545291, "Cl": -113.29035969583194}
N_LABELS, SHOWN = 81, (2, 4, 6, 8, 10)
SIZES: dict[str, dict[str, Any]] = {
    "16": {"num_channels": 16},
    "16e": {"num_channels": 16, "energy_weight": 5000.0},
    "32L1": {"num_channels": 32, "max_L": 1, "correlation": 3, "max_ell": 3},
}
#: Share of the energy released along the course that a potential is to have.
AIM = 0.8


def frames(rows: slice) -> Frames:
    """Return some of the stored labels."""
    with np.load(DATA) as file:
        return Frames(
            file["numbers"], file["positions"][rows].astype(float), file["cells"][rows], [True] * 3,
            energies=file["energies"][rows], forces=file["forces"][rows].astype(float),
        )  # fmt: skip


def asked(model: Path, course: Frames) -> dict[str, Any]:
    """Return how right a potential is about the course."""
    from mace.calculators import MACECalculator

    calculator = MACECalculator(str(model), device="cpu", default_dtype="float32")
    energies, forces = [], []
    for image in course.to_ase():
        image.calc = calculator
        energies.append(image.get_potential_energy())
        forces.append(image.get_forces())
    assert course.forces is not None
    assert course.energies is not None
    errors = 1e3 * (np.array(energies) - course.energies) / course.n_atoms
    theirs, ours = (1e3 * (e[6:].mean() - e[:3].mean()) / course.n_atoms for e in (course.energies, np.array(energies)))
    return {
        "force_rmse": round(float(np.sqrt(np.square(np.array(forces) - course.forces).mean())), 3),
        "energy_error_meV_per_atom": np.round(errors, 1).tolist(),
        "released_meV_per_atom": round(float(-ours), 1),
        "share_released": round(float(ours / theirs), 2),
    }


def main() -> int:
    """Teach every size, and ask it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--steps", type=int, default=2000)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    from aiida_haml.engines.mace_start import write_models

    labels, course = frames(slice(0, N_LABELS)), frames(slice(N_LABELS, None))
    taken = [Taken("labels", i, "valid" if i >= 15 and i % 8 == 7 else "train") for i in range(N_LABELS)]
    shown = [Taken("course", i, "train") for i in SHOWN]
    figures: dict[str, Any] = {}
    with scratch() as name:
        start = write_models(Path(name))[:1]
        for size in chosen.sizes:
            settings = SIZES[size] | {"steps_first": chosen.steps, "batch_size": 2, "seed": 0}
            foundation = start if SIZES[size]["num_channels"] == 16 else ()  # which has a size of its own
            for what, runs, more in (
                ("not shown", {"labels": labels}, []),
                ("shown", {"labels": labels, "course": course}, shown),
            ):
                where = Path(name) / f"{size} {what}"
                learn_from(where, runs, taken + more, settings, isolated=ISOLATED, foundation=foundation)
                figures[f"{size}, {what}"] = asked(where / "member_0.model", course)
                print(f"{size}, {what}", figures[f"{size}, {what}"], flush=True)
    missed = [
        f"{name}: {told['share_released']} of the energy"
        for name, told in figures.items()
        if told["share_released"] < AIM
    ]
    return finish(figures, missed)


if __name__ == "__main__":
    sys.exit(main())
