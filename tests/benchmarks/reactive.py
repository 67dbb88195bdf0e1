"""Does the balance tell a believable story of real chemistry? Uninterrupted dynamics, analysed as a user would.

The trajectories are those that ``fidelity.py direct NAME SEED`` leaves: Li | Li6PS5Cl of 100 atoms at 300 K with the
CHGNet potential as **teacher**, a universal potential fitted to PBE that stands in for AIMD. It was not made for
interfaces: what is tested is the analysis, not the chemistry of Li6PS5Cl.

    python tests/benchmarks/reactive.py [--data FOLDER]... [--figure FILE]

They are written as extended XYZ, described by what ``aiida-haml analyse`` runs, and reported by cell and seed. The
last line is a JSON object; exit status 1 where an aim is missed:

- nothing has reacted in the first frame, and something has by the last;
- every P and every S is on one rung of the ladder in every frame, and the metal does not run dry;
- what the metal gives is what the broken bonds of P to S, O and Se take, two electrons each, within a plane of metal
  (8 atoms) at each face: lithium that wets the electrolyte is no metal, and has not reacted;
- P is on the rung that its own distances give it, without the analysis: bonds to S, O or Se (2.6 Angstrom) or none;
- what is called a product has the distances and the coordination of what the literature finds (Li2S-like, Li-P, Li-Cl;
  Li2O, Li2Se and LiF where these are): the middle of its Li-X bonds within 0.15 Angstrom of the crystal's bond, and
  at least three quarters of its lithium;
- in the last picosecond at most a quarter of the products is called no phase;
- three seeds of each cell.
"""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from _lessons import finish
from ase import Atoms
from ase.io import read, write
from numpy.typing import NDArray

from aiida_haml.analysis.balance.areal import NMOL_CM2, Balance, balance
from aiida_haml.analysis.balance.states import LADDER, PRODUCT, STATES
from aiida_haml.analysis.chemistry.surroundings import BIN, INTERPHASE, REGIONS, distribution
from aiida_haml.analysis.description import describe_batch
from aiida_haml.analysis.environments.basis import make_basis
from aiida_haml.analysis.joining import join_descriptions
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.engines.description import series_arrays
from aiida_haml.frames import Frames
from aiida_haml.structures.bonds import cutoff

DATA = Path(__file__).parent / "data"
CELLS, SEEDS = ("pristine", "O", "Se", "F"), 3
#: Between stored positions, fs.
EVERY_FS = 50.0
#: A P that has no S, O or Se nearer than this has lost all, Angstrom.
BOND = 2.6
#: Atoms in a plane of metal.
PLANE = 8
#: The bond (Angstrom) and the number of lithium about the anion in what the literature finds: Li2S, Li3P, LiCl, Li2O,
#: Li2Se, LiF.
PRODUCTS = {"S": (2.477, 8), "P": (2.60, 9), "Cl": (2.570, 6), "O": (2.001, 8), "Se": (2.599, 8), "F": (2.013, 6)}
FARTHEST, LEAST_SHARE, MOST_UNNAMED = 0.15, 0.75, 0.25
COLOURS = {"S": "#E69F00", "P": "#CC79A7", "Cl": "#009E73", "O": "#D55E00", "Se": "#56B4E9", "F": "#0072B2"}
TEACHER = "TEACHER: dynamics of the CHGNet potential at 300 K, not of DFT"
#: Frames of the last picosecond.
LAST = slice(-20, None)

Story = dict[str, Any]


def story(name: str, path: Path) -> Story:
    """Return the balance of a stored run, and what its positions say without it."""
    start = read(DATA / f"fidelity_start_{name}.extxyz")
    with np.load(path) as file:
        positions = file["positions"].astype(float)
    images = [Atoms(start.numbers, p, cell=start.cell, pbc=True) for p in positions]
    for k, image in enumerate(images):
        image.info["time"] = EVERY_FS * k
    with tempfile.TemporaryDirectory() as folder:  # as a person has it: a file of ASE's
        write(Path(folder) / "run.extxyz", images)
        frames = Frames.from_ase(read(Path(folder) / "run.extxyz", index=":"))
    basis = make_basis(DescriptionSettings(every_fs=0))
    description = describe_batch({path.stem: frames}, basis, built=Frames.from_ase([start]))
    series = join_descriptions([series_arrays(description, basis)])
    shape = (len(frames), frames.n_atoms)
    return {
        "series": series,
        "balance": balance(series),
        "states": description.environments.state.reshape(shape),
        "phases": description.environments.phase.reshape(shape),
        "numbers": frames.numbers,
        "bonds": np.array([phosphorus_bonds(image) for image in images]),
    }


def phosphorus_bonds(atoms: Atoms) -> NDArray[np.int64]:
    """Return the number of S, O and Se about each P."""
    corners = np.isin(atoms.numbers, (8, 16, 34))
    near = atoms.get_all_distances(mic=True)[np.ix_(atoms.numbers == 15, corners)] < BOND
    return np.asarray(near.sum(axis=1))


# -- what is found, and what is missed ---------------------------------------------------------------------


def judged(run: Story) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of one run, and the aims that it misses."""
    known: Balance = run["balance"]
    lost = run["bonds"][0].sum() - run["bonds"].sum(axis=1)
    per_atom = NMOL_CM2 / float(run["series"]["area"][0])
    given = known.lithium / per_atom * len(known.faces)
    of_phosphorus = run["states"][:, run["numbers"] == 15]
    agrees = np.mean((of_phosphorus == PRODUCT) == (run["bonds"] == 0))
    total = known.rungs.sum(axis=(1, 2))
    found = {
        "consumed_A": known.consumed[-1].sum(),
        "electrolyte_gone_at_fs": known.end[0] if known.end[1] else None,
        "thickness_A": known.thickness[-1].tolist(),
        "bonds": [int(run["bonds"][k].sum()) for k in (0, len(run["bonds"]) // 5, -1)],
        "metal_given_atoms": given[[0, len(given) // 5, -1]].tolist(),
        "metal_left": known.metal_left.min(),
        "phosphorus": _shares(known.phosphorus),
        "sulfur": _shares(known.sulfur),
        "mass_error": float(np.ptp(total) / total[0]),
        "largest_imbalance_atoms": np.abs(given - 2 * lost).max(),
        "final_imbalance_atoms": given[-1] - 2 * lost[-1],
        "phosphorus_agrees": agrees,
        "products": products(run),
        "phases": named(run),
    }
    aims = {
        "reacts": known.consumed[0].sum() < known.resolution / 2 < known.consumed[-1].sum(),
        "mass closed": found["mass_error"] < 1e-9,
        "metal left": found["metal_left"] > 0,
        "electrons": found["largest_imbalance_atoms"] <= PLANE * len(known.faces),
        "rungs of P": agrees > 0.95,
        "phases named": found["phases"].get("none", 0) <= MOST_UNNAMED,
    }
    missed = [aim for aim, met in aims.items() if not met]
    for element, (bond, lithium) in found["products"].items():
        expected, most = PRODUCTS[element]
        if abs(bond - expected) > FARTHEST or lithium < LEAST_SHARE * most:
            missed.append(f"Li-{element} {bond:.2f} A, {lithium:.1f} Li")
    return found, missed


def _shares(rungs: NDArray[np.float64]) -> dict[str, float]:
    """Return the last frame's shares of the rungs."""
    last = rungs[-1].sum(axis=0)
    return {STATES[state]: float(share) for state, share in zip(LADDER, last / last.sum(), strict=True)}


def products(run: Story) -> dict[str, tuple[float, float]]:
    """Return the middle of the Li-X bonds (Angstrom) and the lithium about X in the interphase, last picosecond."""
    series = run["series"]
    within, _ = distribution(series, _last(series))
    elements = series["elements"].tolist()
    found = {}
    for element in PRODUCTS:
        cumulative = within[REGIONS.index(INTERPHASE), elements.index(element), elements.index("Li")]
        if np.nan_to_num(cumulative).max() > 0:
            bonds = cumulative[: round(cutoff("Li", element) / BIN)]
            middle = BIN * np.interp(bonds[-1] / 2, bonds, np.arange(1, len(bonds) + 1))
            found[element] = (float(middle), float(bonds[-1]))
    return found


def named(run: Story) -> dict[str, float]:
    """Return the shares of the phases among what is no lithium and on the last rung, in the last picosecond."""
    chosen = (run["states"][LAST] == PRODUCT) & (run["numbers"] != 3)
    names = [*run["series"]["phases"].tolist(), "none"]
    phases, counts = np.unique(run["phases"][LAST][chosen], return_counts=True)
    return {names[p]: float(n / counts.sum()) for p, n in zip(phases, counts, strict=True)}


# -- the figure --------------------------------------------------------------------------------------------


def draw(cells: dict[str, list[Story]], path: Path) -> None:
    """Draw each cell as a row: what has reacted, P and S by state along time, and distances in the interphase."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from aiida_haml.report.figures.drawing import LOOK

    with mpl.rc_context(LOOK):
        figure, axes = plt.subplots(
            len(cells), 4, figsize=(10, 2.5 * len(cells) + 0.3), layout="constrained", squeeze=False, sharex="col"
        )
        for row, (name, runs) in zip(axes, cells.items(), strict=True):
            _consumed(row[0], runs)
            for axis, element in ((row[1], "phosphorus"), (row[2], "sulfur")):
                _rungs(axis, [run["balance"] for run in runs], element)
            _distances(row[3], runs)
            title = "Li | Li$_6$PS$_5$Cl" + (f", {name}-doped" if name != "pristine" else "")
            row[0].set_title(f"{title} ({len(runs)} seed{'s' * (len(runs) > 1)})")
            row[3].set_title("interphase, last ps")
        for axis in axes[-1, :3]:
            axis.set_xlabel("time / ps")
        axes[-1, 3].set_xlabel("distance from Li / $\\mathrm{\\AA}$")
        handles, labels = axes[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.suptitle(
            "TEACHER: dynamics of CHGNet at 300 K, not of DFT", fontsize=8, color="#777777", x=0.99, ha="right"
        )
        figure.savefig(path, dpi=150)


def _consumed(axis: Any, runs: Sequence[Story]) -> None:
    """Draw units that have reacted, bonds that are broken and metal that is gone, as shares of the whole reaction."""
    known = [run["balance"] for run in runs]
    total = [run["bonds"].sum(axis=1) for run in runs]
    courses = {
        "Li gone from the metal": ("#888888", [(1 - b.metal_left) * b.reservoir for b in known]),
        "units reacted": ("#0072B2", [1 - b.electrolyte_left for b in known]),
        "bonds of P broken": ("#D55E00", [1 - bonds / bonds[0] for bonds in total]),
    }
    for label, (colour, course) in courses.items():
        values = 100 * np.array(course)
        time = known[0].time / 1000
        axis.fill_between(time, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
        axis.plot(time, values.mean(axis=0), color=colour, label=label)
    axis.axhline(100, color="#999999", lw=0.8, ls=":")
    axis.set_ylim(-4, 180)
    axis.set_ylabel("% of the reaction")
    axis.legend(loc="upper left", fontsize=7)


def _distances(axis: Any, runs: Sequence[Story]) -> None:
    """Draw g(r) of lithium about the elements of the interphase; ticks are the bonds of `PRODUCTS`."""
    for element, (bond, _) in PRODUCTS.items():
        colour = COLOURS[element]
        found = [_about(run, element) for run in runs]
        g = np.nanmean(found, axis=0) if np.isfinite(found).any() else np.zeros(0)
        if g.any():
            axis.plot(BIN * (np.arange(len(g)) + 0.5), g, color=colour, label=f"{element}-Li")
            axis.axvline(bond, color=colour, lw=1.2, ls=":")
    axis.set_xlim(1.5, 4.5)
    axis.set_ylabel("g(r)")
    axis.legend(loc="upper right", fontsize=7)


def _about(run: Story, element: str) -> NDArray[np.float64]:
    series = run["series"]
    elements = series["elements"].tolist()
    g = distribution(series, _last(series))[1]
    return np.asarray(g[REGIONS.index(INTERPHASE), elements.index(element), elements.index("Li")])


def _last(series: dict[str, np.ndarray]) -> slice:
    """Return the frames of the last picosecond of five of which distances were taken."""
    return slice(-(len(series["pairs_time"]) // 5), None)


def _rungs(axis: Any, runs: Sequence[Balance], element: str) -> None:
    from aiida_haml.report.figures.drawing import STATE_COLOURS

    rungs = np.mean([getattr(run, element).sum(axis=1) for run in runs], axis=0)
    axis.stackplot(
        runs[0].time / 1000,
        rungs.T,
        labels=[STATES[state] for state in LADDER],
        colors=[STATE_COLOURS[STATES[state]] for state in LADDER],
        lw=0,
    )
    axis.margins(0)
    axis.set_ylabel(f"{element} / nmol cm$^{{-2}}$")
    axis.set_title(f"{element} by state")


def main(argv: list[str] | None = None) -> int:
    """Analyse what is stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[DATA], help="a folder with more runs")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    figures: dict[str, Any] = {}
    missed: list[str] = []
    cells: dict[str, list[Story]] = {}
    for name in CELLS:
        paths = {p.name: p for folder in given.data for p in sorted(folder.glob(f"fidelity_{name}_*_direct.npz"))}
        for path in paths.values():
            run = story(name, path)
            cells.setdefault(name, []).append(run)
            key = path.stem.removeprefix("fidelity_").removesuffix("_direct")
            figures[key], wrong = judged(run)
            missed += [f"{key}: {aim}" for aim in wrong]
        if len(paths) < SEEDS:
            missed.append(f"{name}: {len(paths)} of {SEEDS} seeds are stored")
    if given.figure is not None and cells:
        draw(cells, given.figure)
    return finish(figures, missed)


if __name__ == "__main__":
    sys.exit(main())
