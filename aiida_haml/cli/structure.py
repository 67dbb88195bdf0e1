"""Commands that build, check and show the cells of candidates; only `store` needs a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.files import file_name, making, writing
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.waiting import waiting

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_haml.spec import ScreenSpec

SPEC = click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def structure() -> None:
    """Build, check and show cells: hosts, dopings, interfaces with solids and liquids."""


# -- build -------------------------------------------------------------------------------------------------


@structure.command()
@SPEC
@click.option("-o", "--output", type=FOLDER, default=Path("structures"), show_default=True, help="Folder of the files.")
@click.option("-c", "--choose", multiple=True, metavar="LABEL", help="Build these labels only; may be repeated.")
@click.option("--picture", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Kind of picture.")
def build(spec: Path, output: Path, choose: tuple[str, ...], picture: str) -> None:
    """Build the cells of SPEC.yaml: extended XYZ, CIF, a picture and a report of the choices for each."""
    from aiida_haml.structures.candidates import build as build_cell

    wanted = _wanted(_load(spec), choose)
    making(output)
    lines = []
    with waiting("building") as say, _told():
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
@click.option("-c", "--choose", multiple=True, metavar="LABEL", help="Build these labels only; may be repeated.")
@with_profile
def store(spec: Path, choose: tuple[str, ...]) -> None:
    """Build the cells of SPEC.yaml in the database, each by a calcfunction that keeps what was asked for."""
    from aiida.orm import Dict

    from aiida_haml.calculations.building import build_candidate

    for name, specification in _wanted(_load(spec), choose):
        with waiting(f"building {name}"), _told():
            made = build_candidate(Dict(specification))
        echo(f"{name}: structure <{made['structure'].pk}>, report <{made['report'].pk}>")


def _load(path: Path) -> ScreenSpec:
    from aiida_haml.spec import SpecError, load_spec

    try:
        return load_spec(path)
    except SpecError as error:
        raise Refusal(str(error)) from error


def _wanted(spec: ScreenSpec, choose: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Return a file's name and the specification of each cell asked for."""
    from aiida_haml.structures.candidates import candidate_label

    labelled = [(candidate_label(structure), structure) for structure in spec.structures()]
    if unknown := sorted(set(choose) - {label for label, _ in labelled}):
        known = ", ".join(label for label, _ in labelled[:10])
        raise Refusal(f"--choose: {', '.join(unknown)} is not made by the specification, which makes {known}.")
    chosen = [pair for pair in labelled if not choose or pair[0] in choose]
    return [(f"{i:03d}_{file_name(label)}", structure) for i, (label, structure) in enumerate(chosen)]


@contextmanager
def _told() -> Iterator[None]:
    """Tell what a builder refuses as a message instead of a traceback."""
    from aiida_haml.structures.errors import StructureError

    try:
        yield
    except StructureError as error:
        raise Refusal(str(error)) from error


def _require_whole(path: Path) -> None:
    """Refuse an XYZ file that announces more atoms than it has, before a reader goes looking for them."""
    from aiida_haml.reading import ReadingError, require_whole

    if path.suffix in (".xyz", ".extxyz"):
        try:
            require_whole(path)
        except ReadingError as error:
            raise Refusal(f"{path} cannot be read: {error}") from error


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
        parts.append(f"liquid {report['density']:.3f} g/cm3, {report['molarity']:.2f} M")
    return ", ".join(parts)


# -- check and show ----------------------------------------------------------------------------------------


@structure.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--reach", type=float, default=5.0, show_default=True, help="Cutoff of the potential, Angstrom.")
def check(files: tuple[Path, ...], reach: float) -> None:
    """Run all checks on FILES (anything that ASE reads) and tell what passed, with numbers."""
    from aiida_haml.structures.checks import check_file
    from aiida_haml.structures.liquid import check_molecules

    failed = 0
    for path in files:
        echo(f"{path}")
        _require_whole(path)
        with _told():
            findings = check_file(path, reach=reach, more=[check_molecules])
        for finding in findings:
            failed += finding.passed is False
            echo(f"  {finding}")
    if failed:
        raise Refusal(f"{failed} check{'s' if failed > 1 else ''} failed")


@structure.command()
@click.argument("file", type=FILE)
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
def draw(file: Path, picture: Path) -> None:
    """Draw the last frame of FILE to PICTURE (.png or .svg)."""
    from ase.io import read

    from aiida_haml.structures.pictures import draw as draw_cell

    _require_whole(file)
    try:
        atoms: Any = read(file, index=-1)
    except Exception as error:  # ASE's readers raise whatever the text provokes
        raise Refusal(f"{file} cannot be read: {error}") from error
    with _told(), writing(picture):
        draw_cell(atoms, _regions(atoms), picture)
    echo(f"wrote {picture}")


def _regions(atoms: Atoms) -> dict[str, list[int]]:
    """Return metal and electrolyte by index, from the site labels that a built cell carries."""
    sites = atoms.arrays.get("sites", [""] * len(atoms))
    metal = [i for i, site in enumerate(sites) if site == "metal"]
    return {"electrolyte": sorted(set(range(len(atoms))) - set(metal)), "metal": metal}


@structure.command()
@click.argument("host", metavar="NAME_OR_FILE")
def host(host: str) -> None:
    """Show the sublattices of a host: a name, a CIF, or any file that ASE reads."""
    from aiida_haml.structures.host import parent, read_crystal

    path = Path(host)
    with _told():
        atoms = parent({"name": path.stem, "crystal": read_crystal(path)} if path.is_file() else host)
    labels = [str(label) for label in atoms.arrays["sites"]]
    echo(f"{len(atoms)} sites, cell {' x '.join(f'{length:.3f}' for length in atoms.cell.lengths())} A")
    for label in dict.fromkeys(labels):
        shares = ", ".join(f"{element} {share:g}" for element, share in atoms.info["occupancies"][label].items())
        echo(f"  {label:6} {labels.count(label):4} sites: {shares}")


@structure.command()
@SPEC
def dopings(spec: Path) -> None:
    """Count the symmetry-distinct arrangements behind each doping of SPEC.yaml."""
    from aiida_haml.structures.candidates import candidate_label, count_configurations

    loaded = _load(spec)
    seen: set[str] = set()
    for specification in loaded.structures():
        plain = {**specification, "configuration": 0}
        if "doping" not in specification or repr(plain) in seen:
            continue
        seen.add(repr(plain))
        with _told():
            count = count_configurations(plain)
        echo(f"{candidate_label(plain).split('#')[0]:30} {count} distinct")


@structure.command()
@click.option("--host", default="Li6PS5Cl", show_default=True, help="The electrolyte.")
@click.option("--facet", default="100", show_default=True, help="Face of the metal.")
@click.option("--electrolyte-facet", default="100", show_default=True, help="Face of the electrolyte.")
@click.option("--max-strain", type=float, default=0.03, show_default=True, help="Largest strain.")
@click.option("--max-area", type=float, default=200.0, show_default=True, help="Largest area, Angstrom^2.")
def matches(host: str, facet: str, electrolyte_facet: str, max_strain: float, max_area: float) -> None:
    """List the commensurate matches of metal and electrolyte, the default first."""
    from aiida_haml.structures.host import parent
    from aiida_haml.structures.interface import InterfaceSettings, list_matches

    with _told(), click.progressbar(length=1000, label="searching", file=click.get_text_stream("stderr")) as bar:
        settings = InterfaceSettings(
            facet=_indices(facet), electrolyte_facet=electrolyte_facet, max_strain=max_strain, max_area_A2=max_area
        )
        found = list_matches(
            parent(host), settings, progress=lambda done, all_: bar.update(round(1000 * done / max(all_, 1)) - bar.pos)
        )
    _print_table(found)
    echo(f"{len(found)} matches up to {max_area:g} A2 and {100 * max_strain:g} %")


@structure.command()
@click.option("--host", default="Li6PS5Cl", show_default=True, help="The electrolyte.")
@click.option("--electrolyte-facet", default="100", show_default=True, help="Face of the electrolyte.")
def cuts(host: str, electrolyte_facet: str) -> None:
    """List the cuts of the electrolyte that break no PS4, the default first, and how polar each is."""
    from aiida_haml.structures.host import parent
    from aiida_haml.structures.interface import InterfaceSettings, list_cuts

    with _told():
        found = list_cuts(parent(host), InterfaceSettings(electrolyte_facet=electrolyte_facet))
    _print_table(found)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows of plain values under their names."""
    if not rows:
        return
    cells = [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(list(rows[0]), *cells, strict=True)]
    for line in (list(rows[0]), *cells):
        echo("  ".join(f"{text:>{width}}" for text, width in zip(line, widths, strict=True)))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _indices(text: str) -> tuple[int, int, int]:
    if not text.isdigit() or len(text) != 3:
        raise click.BadParameter(f"'{text}' are no Miller indices; write them as 110.")
    return int(text[0]), int(text[1]), int(text[2])


@structure.command()
@click.option("-o", "--output", type=FOLDER, default=None, help="Write each phase there as CIF too.")
def references(output: Path | None) -> None:
    """List the reference phases, their lattice constants and where these come from."""
    from ase.io import write

    from aiida_haml.structures.crystals import REFERENCE_PHASES

    for name, phase in REFERENCE_PHASES.items():
        atoms = phase.build()
        constants = ", ".join(f"{length:.4g}" for length in atoms.cell.lengths())
        echo(f"{name:10} {atoms.get_chemical_formula():16} {constants:22} A  {phase.source}")
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            write(output / f"{name}.cif", atoms, format="cif")
