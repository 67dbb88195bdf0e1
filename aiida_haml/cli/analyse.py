"""The command that analyses a trajectory of any origin, without a screen and without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_haml.cli.files import making, table_form
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.sources import load, told

if TYPE_CHECKING:
    import numpy as np

    from aiida_haml.analysis.settings import DescriptionSettings
    from aiida_haml.frames import Frames


@click.command()
@click.argument("trajectory", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--candidate", "spec", required=True, metavar="SPEC.yaml", help="A specification of one candidate.")
@click.option("--step-fs", type=float, help="Time between frames, fs, where the file holds no times.")
@click.option("--every-fs", type=float, default=0.0, show_default=True, help="Describe one frame in each interval.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("analysis"),
              show_default=True, help="Folder for the tables.")  # fmt: skip
@table_form
def analyse(trajectory: Path, spec: str, step_fs: float | None, every_fs: float, output: Path, form: str) -> None:
    """Say what has reacted at each face of TRAJECTORY, a file that ASE reads.

    What has reacted is counted from the candidate's cell as built, or from the first frame where the file holds other
    atoms. One trajectory has a course and a law of growth; a verdict that means something needs three seeds.
    """
    from aiida_haml.analysis.description import describe_batch
    from aiida_haml.analysis.environments.basis import make_basis
    from aiida_haml.analysis.joining import join_descriptions
    from aiida_haml.analysis.table_files import write_tables
    from aiida_haml.analysis.tables import tables
    from aiida_haml.engines.description import series_arrays

    frames = _read(trajectory, step_fs)
    settings, built = _candidate(spec, frames, every_fs)
    basis = make_basis(settings)
    try:
        description = describe_batch({trajectory.name: frames}, basis, built=built)
    except ValueError as error:
        raise Refusal(f"{trajectory} cannot be analysed: {error}") from error
    series = join_descriptions([series_arrays(description, basis)])
    for line in _said(series):
        echo(line)
    for path in write_tables(making(output), [(trajectory.stem, tables(series))], form):
        echo(f"wrote {path}")


def _read(path: Path, step_fs: float | None) -> Frames:
    """Return the frames of a file with their times.

    Raises
    ------
    Refusal
        If it cannot be read, or neither the file nor the person gives times.
    """
    from dataclasses import replace

    import numpy as np
    from ase.io import read

    from aiida_haml.frames import Frames

    try:
        frames = Frames.from_ase(read(path, index=":"))
    except Exception as error:  # readers of foreign formats raise whatever they like
        raise Refusal(f"{path} cannot be read: {error}") from error
    if step_fs is not None:
        return replace(frames, times=step_fs * np.arange(len(frames), dtype=np.float64))
    if frames.times is None:
        raise Refusal(f"{path} holds no times; give the time between its frames with --step-fs.")
    return frames


def _candidate(spec: str, frames: Frames, every_fs: float) -> tuple[DescriptionSettings, Frames | None]:
    """Return the settings of the description, and the cell as built where it holds the atoms of the file."""
    from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
    from aiida_haml.frames import Frames
    from aiida_haml.structures.candidates import build

    wanted = load(spec)
    structures = list(wanted.structures())
    if len(structures) != 1:
        raise Refusal(f"--candidate: {spec} makes {len(structures)} candidates; give a specification of one.")
    elements = tuple({*DEFAULT_ELEMENTS, *wanted.elements(), *frames.symbols})
    with told():
        cell, _ = build(structures[0])
    settings = DescriptionSettings.from_dict({"elements": elements, "every_fs": every_fs} | wanted.own_phases)
    if cell.get_chemical_symbols() == list(frames.symbols):
        return settings, Frames.from_ase([cell])
    echo("The file holds other atoms than the candidate as built: what has reacted is counted from its first frame.")
    return settings, None


def _said(series: dict[str, np.ndarray]) -> list[str]:
    """Return in words what has happened at the faces."""
    from aiida_haml.analysis.balance.areal import balance
    from aiida_haml.analysis.kinetics.fit import growth

    known = balance(series)
    last = slice(-max(1, len(known.time) // 20), None)
    said = [
        f"{face} face: {consumed:.2f} Å of the electrolyte consumed"
        + (f", layer {thickness:.1f} Å" if thickness == thickness else "")
        for face, consumed, thickness in zip(
            known.faces, known.consumed[last].mean(axis=0), known.thickness[last].mean(axis=0), strict=True
        )
    ]
    said.append(
        f"metal consumed at a face: {known.lithium[last].mean():.2f} nmol/cm²; "
        f"metal over need as built: {known.reservoir:.2f}"
    )
    end, what = known.end
    if what is not None:
        said.append(f"{what} used up after {end - known.time[0]:g} fs: what comes later says nothing of a layer")
    found = growth([(known.time, known.consumed.mean(axis=1))], known.resolution * known.units / len(known.faces))
    rate = "" if found.rate is None else f", {found.rate.value:.3g} {found.unit} (one trajectory: no interval)"
    rate += "" if found.parabolic is None else f", {found.parabolic.value:.3g} nm²/h"
    said.append(f"growth: {found.law.replace('_', ' ')}{rate}{': ' + found.reason if found.reason else ''}")
    return said
