"""What small cells taught drives a wide one: does it hold, and do cut-outs tell truth about it?

At the level `chgnet`, which can label a wide cell whole. A cell of `fidelity.py` (100 atoms of Li | Li6PS5Cl) is
followed by the hybrid dynamics, then repeated along the interface and followed by `haml.production` with the potential
that came out, at the same level. Every frame that was looked into is then labelled whole, and it is compared:

- the forces of cut-outs' inner atoms with those of the same atoms in the wide cell, both by CHGNet: what a wall costs;
- the error that cut-outs tell, with the potential's error over all atoms of the wide cell.

    python tests/benchmarks/wide_cell.py [--name O] [--small-ps 1] [--repeat 3 3] [--ps 1] [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed: the run reaches its time, at a temperature
within 10 % of the thermostat's, cut-outs' forces are the wide cell's within the judge's tolerance, the error that they
tell is between two thirds and twice that of the whole, and nothing is untraced. --quick: 400 atoms, 20 fs.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _lessons import finish
from _workplace import wait_for, workplace
from fidelity import RELAXATION_FS, TEMPERATURE, start

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames

SEED = 1


def taught(name: str, ps: float) -> Any:
    """Follow the small cell; return the hybrid run."""
    from aiida import orm
    from aiida.engine import submit

    from aiida_haml.data.frames import FramesData
    from aiida_haml.starts import foundation_from
    from aiida_haml.workchains.hybrid import HybridWorkChain

    roles = {"label": "haml-engine", "engine": "haml-engine", "lammps": "haml-lammps"}
    codes = {role: orm.load_code(f"{code}@localhost") for role, code in roles.items()}
    overrides = {
        "dynamics": {"thermostat_time_fs": RELAXATION_FS, "save_every": 5},
        "equilibration": {"relax_steps": 0, "warm_up_steps": 0},
        "hybrid": {"simulated_fs": 1000.0 * ps},
    }
    cell = FramesData(start(name, SEED), kind="structure")
    builder = HybridWorkChain.get_builder_from_protocol(
        cell, codes, "chgnet", "fast", overrides, temperature=TEMPERATURE, seed=SEED
    )
    builder.foundation = foundation_from("start")["foundation"]
    node = submit(builder)
    wait_for([node])
    return node


def produced(hybrid: Any, repeat: tuple[int, int], ps: float, n_stretch: int) -> Any:
    """Follow the wide cell; return the production run."""
    from aiida.engine import submit

    from aiida_haml.workchains.production import ProductionWorkChain

    node = submit(
        ProductionWorkChain.get_builder_from_run(
            hybrid, "trajectory", (*repeat, 1), 1000.0 * ps, overrides={"n_stretch": n_stretch}
        )
    )
    wait_for([node])
    return node


def forces_of(potential: Any, frame: Frames) -> FloatArray:
    """Return the driver's forces, (N, 3)."""
    from mace.calculators import MACECalculator

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "member_0.model"
        path.write_bytes(potential.base.repository.get_object_content("member_0.model", "rb"))
        calculator = MACECalculator(model_paths=[str(path)], device="cpu", default_dtype="float32")
        atoms = frame.to_ase()[0]
        atoms.calc = calculator
        return np.asarray(atoms.get_forces())


def looks(node: Any) -> list[dict[str, Any]]:
    """Return of each moment that was looked into the wide frame, and the cut-outs taken of it with their labels."""
    called = {link.link_label: link.node for link in node.base.links.get_outgoing().all()}
    moments: dict[tuple[int, float], dict[str, Any]] = {}
    number = 0
    while (taken := called.get(f"take_cutouts_{number:04d}")) is not None:
        stretch, why = taken.inputs.frames.frames, taken.outputs.why.get_dict()
        for name, told in why.items():
            labelled = called.get(f"{name}__labels_{number:04d}")
            if told["kind"] == "breach" or labelled is None or not labelled.is_finished_ok:
                continue
            row = int(np.abs(stretch.times - told["time_fs"]).argmin())
            look = moments.setdefault((number, told["time_fs"]), {"frame": stretch[row], "cutouts": []})
            look["cutouts"].append(
                told | {"labelled": labelled.outputs.frames.frames, "bare": taken.outputs[name].frames}
            )
        number += 1
    return list(moments.values())


def compared(node: Any, width: float, reach: float) -> dict[str, Any]:
    """Label the wide frames whole, and compare."""
    from chgnet.model.dynamics import CHGNetCalculator

    from aiida_haml.learning.cutouts import cut_out, divisions

    teacher = CHGNetCalculator(use_device="cpu", verbose=False)
    walls: list[FloatArray] = []
    told: list[FloatArray] = []
    whole: list[FloatArray] = []
    for look in looks(node):
        atoms = look["frame"].to_ase()[0]
        atoms.calc = teacher
        truth = np.asarray(atoms.get_forces())
        whole.append(forces_of(node.inputs.potential, look["frame"]) - truth)
        for cut in look["cutouts"]:
            bare = Frames(look["frame"].numbers, look["frame"].positions, look["frame"].cells, look["frame"].pbc)
            places = cut_out(bare, cut["atom"], divisions(bare.cells[0], width), reach).atoms[cut["inner"]]
            forces = np.asarray(cut["labelled"].forces)[0][cut["inner"]]
            walls.append(forces - truth[places])
            told.append(forces_of(node.inputs.potential, cut["bare"])[cut["inner"]] - forces)
    rms = {name: float(np.sqrt(np.square(np.concatenate(rows)).mean())) for name, rows in
           (("walls", walls), ("told", told), ("whole", whole))}  # fmt: skip
    return {
        "frames": len(whole),
        "cutouts": len(told),
        "inner_atoms": sum(map(len, told)),
        "force_of_a_wall_meV_per_A": round(1000 * rms["walls"], 1),
        "error_that_cutouts_tell_meV_per_A": round(1000 * rms["told"], 1),
        "error_of_the_whole_meV_per_A": round(1000 * rms["whole"], 1),
        "worst_atom_eV_per_A": round(float(np.linalg.norm(np.concatenate(whole), axis=1).max()), 3),
    }


def main() -> int:
    """Run both, compare, and hold it against the aims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="O")
    parser.add_argument("--small-ps", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, nargs=2, default=(3, 3))
    parser.add_argument("--ps", type=float, default=1.0)
    parser.add_argument("--n-stretch", type=int, default=250, help="steps between two looks")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.small_ps, given.repeat, given.ps, given.n_stretch = 0.06, (2, 2), 0.02, 10
    warnings.filterwarnings("ignore")
    with workplace():
        from aiida_haml.queries import audit, cost

        hybrid = taught(given.name, given.small_ps)
        node = produced(hybrid, tuple(given.repeat), given.ps, given.n_stretch)
        history = node.outputs.trajectories.production.history.get_dict()
        settings, tolerance = node.inputs.settings["cutouts"], node.inputs.settings["rounds"]["force_rmse_tolerance"]
        segments = node.outputs.trajectories.production.get("segments", {})
        warmth = np.concatenate([node.frames.temperatures() for node in segments.values()]) if segments else np.zeros(1)
        report, account = audit(node), cost(node)
        found = {
            "atoms": node.inputs.structure.n_atoms,
            "reached_fs": history["simulated_fs"],
            "ended_because": history["ended_because"],
            "rounds": [[entry["action"], entry["force_rmse"], entry["force_max"]] for entry in history["rounds"]],
            "temperature_K": [round(float(warmth.mean()), 1), round(float(warmth.max()), 1)],
            "labels_small": hybrid.outputs.trajectories.trajectory.history["n_labels"],
            "labels_wide": history["n_labels"],
            "seconds": {kind: round(work.seconds) for kind, work in account.kinds.items()},
            "cut_untraced_doubts": [report.n_cut, report.n_untraced, len(report.doubts)],
        } | compared(node, settings["width"], settings["reach"])
    told, whole = found["error_that_cutouts_tell_meV_per_A"], found["error_of_the_whole_meV_per_A"]
    aims = {
        "reached": found["reached_fs"] >= 1000.0 * given.ps - 1e-6,
        "temperature": abs(found["temperature_K"][0] / TEMPERATURE - 1) < 0.1,
        "walls": found["force_of_a_wall_meV_per_A"] < 1000 * tolerance,
        "telling": 2 / 3 < told / whole < 2,
        "traced": found["cut_untraced_doubts"][:2] == [0, 0],
    }
    return finish(found, [name for name, met in aims.items() if not met])


if __name__ == "__main__":
    sys.exit(main())
