"""Commands that build, check and draw the cells of candidates; only `store` needs a profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.files import file_name, making, writing
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.sources import WHAT, cells_of, is_spec, load, told
from aiida_haml.cli.waiting import waiting

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_haml.spec import ScreenSpec

SPEC = click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
FOLDER = click.Path(path_type=Path, file_okay=False)
CHOOSE = click.option("-c", "--choose", multiple=True, metavar="LABEL", help="These labels only; may be repeated.")
SEEDS = click.option(
    "-s", "--seed", "seeds", multiple=True, type=click.IntRange(0), help="Of these seeds; may be repeated."
)
FORMAT = click.option("--format", "file_format", default=None, help="Format of a file by ASE's name, as lammps-data.")
ELEMENTS = click.option("--elements", default="", help="Of the atom types of LAMMPS data, as 'Li P S Cl'.")


@click.group()
def structure() -> None:
    """Build, check and show cells: hosts, dopings, interfaces with solids and liquids.

    Where a structure is meant, the name of a host, a structure file or a specification can be given.
    """


# -- build -------------------------------------------------------------------------------------------------


@structure.command()
@SPEC
@click.option("-o", "--output", type=FOLDER, default=Path("structures"), show_default=True, help="Folder of the files.")
@CHOOSE
@SEEDS
@click.option("--picture", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Kind of picture.")
def build(spec: Path, output: Path, choose: tuple[str, ...], seeds: tuple[int, ...], picture: str) -> None:
    """Build the cells of SPEC.yaml: extended XYZ, CIF, a picture and a report of the choices for each.

    Of several replicates the first is built, or those of the seeds that are named.
    """
    from aiida_haml.structures.candidates import build as build_cell

    wanted = _wanted(load(spec), choose, seeds)
    making(output)
    lines = []
    with waiting("building") as say, told():
        for i, (name, specification) in enumerate(wanted, 1):
            say(f"{i} of {len(wanted)}, {name}")
            atoms, report = build_cell(specification)
            write_cell(output / name, atoms, report, picture)
            lines.append(f"{name}: {summary(report)}")
    for line in lines:
        echo(line)
    echo(f"wrote {len(lines)} cells to {output}")


@structure.command()
@SPEC
@CHOOSE
@SEEDS
@with_profile
def store(spec: Path, choose: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    """Build the cells of SPEC.yaml in the database, each by a calcfunction that keeps what was asked for."""
    from aiida.orm import Dict

    from aiida_haml.calculations.building import build_candidate

    for name, specification in _wanted(load(spec), choose, seeds):
        with waiting(f"building {name}"), told():
            made, node = build_candidate.run_get_node(Dict(specification))
        if made is None or not node.is_finished_ok:
            raise Refusal(f"{name}: {node.exit_message}")
        echo(f"{name}: structure <{made['structure'].pk}>, report <{made['report'].pk}>")


def _wanted(spec: ScreenSpec, choose: tuple[str, ...], seeds: tuple[int, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Return a file's name and the specification of each cell asked for."""
    from aiida_haml.structures.candidates import candidate_label

    labelled = [(candidate_label(structure), structure) for structure in spec.structures()]
    if unknown := sorted(set(choose) - {label for label, _ in labelled}):
        known = ", ".join(label for label, _ in labelled[:10])
        raise Refusal(f"--choose: {', '.join(unknown)} is not made by the specification, which makes {known}.")
    chosen = [pair for pair in labelled if not choose or pair[0] in choose]
    named = [(f"{i:03d}_{file_name(label)}", structure) for i, (label, structure) in enumerate(chosen)]
    if not seeds:
        return named
    return [(f"{name}_s{seed}", {**structure, "seed": seed}) for name, structure in named for seed in seeds]


def write_cell(stem: Path, atoms: Atoms, report: dict[str, Any], picture: str = "png") -> None:
    """Write a cell as ``stem``.extxyz, .cif, .json (the report) and a picture."""
    from ase.io import write

    from aiida_haml.structures.pictures import draw

    def file(suffix: str) -> Path:
        return stem.with_name(f"{stem.name}.{suffix}")

    write(file("extxyz"), atoms, format="extxyz")
    write(file("cif"), atoms, format="cif")
    file("json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    dopants = (report.get("doping") or {}).get("substituted", [])
    draw(atoms, report["regions"], file(picture), outlined=dopants, title=report["label"])


def summary(report: dict[str, Any]) -> str:
    """Return one line on what was built."""
    parts = [f"{report['n_atoms']} atoms {report['composition']}"]
    interface = report.get("interface") or {}
    if "largest_strain" in interface:
        parts.append(f"strain {100 * interface['largest_strain']:.2f} %")
    if "shortest_distance" in interface:
        parts.append(f"{interface['shortest_pair']} {interface['shortest_distance']:.2f} A across")
    if "density" in report:
        molarity = " + ".join(f"{m:.2f} M {salt}" for salt, m in report["molarity"].items())
        parts.append(f"liquid {report['density']:.3f} g/cm3{', ' * bool(molarity)}{molarity}")
    if reservoir := interface.get("reservoir"):
        ratio = reservoir["ratio"]
        of_needed = "" if ratio is None else f", {ratio:.2f} of what can be taken up"
        short = "" if reservoir["enough"] else " (too little for results)"
        parts.append(f"metal {reservoir['thickness_A']:.1f} A{of_needed}{short}")
    return ", ".join(parts)


# -- check and draw ----------------------------------------------------------------------------------------


@structure.command()
@click.argument("what", metavar=f"{WHAT}...", nargs=-1, required=True)
@click.option("--reach", type=float, default=5.0, show_default=True, help="Cutoff of the potential, Angstrom.")
@click.option("--demonstration", is_flag=True, help="Do not ask for metal enough for results.")
@FORMAT
@ELEMENTS
def check(what: tuple[str, ...], reach: float, demonstration: bool, file_format: str | None, elements: str) -> None:
    """Run all checks on cells and tell what passed, with numbers."""
    from dataclasses import replace

    from aiida_haml.structures.checks import examine
    from aiida_haml.structures.liquid import check_molecules

    failed = 0
    for one in what:
        if is_spec(one):
            for advice in load(one).advice():
                echo(f"! {advice}")
        for cell in cells_of(one, file_format, elements):
            echo(cell.name)
            with told():
                findings = examine(cell.atoms, reach=reach, more=[check_molecules])
            for finding in findings:
                if finding.check == "reservoir" and (demonstration or cell.demonstration) and not finding.passed:
                    finding = replace(finding, passed=None)
                failed += finding.passed is False
                echo(f"  {finding}")
    if failed:
        raise Refusal(f"{failed} check{'s' if failed > 1 else ''} failed")


@structure.command()
@click.argument("what", metavar=WHAT)
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@FORMAT
@ELEMENTS
def draw(what: str, picture: Path, file_format: str | None, elements: str) -> None:
    """Draw a cell to PICTURE (.png or .svg); of a specification with several, a picture for each, numbered."""
    from aiida_haml.structures.pictures import draw as draw_cell

    cells = list(cells_of(what, file_format, elements))
    for k, cell in enumerate(cells):
        path = picture if len(cells) == 1 else picture.with_stem(f"{picture.stem}_{k:03d}")
        with told(), writing(path):
            draw_cell(cell.atoms, cell.regions, path, outlined=cell.dopants)
        echo(f"wrote {path}")
