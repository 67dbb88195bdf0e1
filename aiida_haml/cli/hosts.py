"""Commands that show what there is to choose from: sublattices, arrangements, matches, cuts, reference phases."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from aiida_haml.cli.files import making
from aiida_haml.cli.messages import echo
from aiida_haml.cli.sources import WHAT, host_of, load, told
from aiida_haml.cli.structure import FOLDER, SPEC, structure

HOST = click.argument("what", metavar=f"[{WHAT}]", default="Li6PS5Cl")
ELECTROLYTE_FACET = click.option("--electrolyte-facet", default=None, help="Face of the electrolyte, as 100 or 1-10.")


@structure.command()
@click.argument("what", metavar=WHAT)
def host(what: str) -> None:
    """Show the sublattices of a host, what was assumed of it, and whether its cell can be built."""
    from aiida_haml.structures.errors import StructureError
    from aiida_haml.structures.host import parent, site_counts

    with told():
        atoms = parent(host_of(what)[0])
    echo(f"{len(atoms)} sites, cell {' x '.join(f'{length:.3f}' for length in atoms.cell.lengths())} A")
    for label, n in Counter(atoms.arrays["sites"].tolist()).items():
        shares = ", ".join(f"{element} {share:g}" for element, share in atoms.info["occupancies"][label].items())
        echo(f"  {label:6} {n:4} sites: {shares or 'empty'}")
    for note in atoms.info["notes"]:
        echo(f"! {note}")
    try:
        site_counts(atoms)
    except StructureError as error:
        echo(f"! {error}")


@structure.command()
@SPEC
def dopings(spec: Path) -> None:
    """Count the symmetry-distinct arrangements behind each doping of SPEC.yaml."""
    from aiida_haml.structures.candidates import candidate_label, count_configurations

    loaded = load(spec)
    seen: set[str] = set()
    for specification in loaded.structures():
        plain = {**specification, "configuration": 0}
        if "doping" not in specification or repr(plain) in seen:
            continue
        seen.add(repr(plain))
        with told():
            count = count_configurations(plain)
        echo(f"{candidate_label(plain).split('#')[0]:30} {count} distinct")


@structure.command()
@HOST
@click.option("--facet", default=None, help="Face of the metal: 100, 110 or 111.")
@ELECTROLYTE_FACET
@click.option("--max-strain", type=float, default=None, help="Largest strain.")
@click.option("--max-area", type=float, default=None, help="Largest area, Angstrom^2.")
def matches(
    what: str, facet: str | None, electrolyte_facet: str | None, max_strain: float | None, max_area: float | None
) -> None:
    """List the commensurate matches of metal and electrolyte, the default first."""
    from aiida_haml.structures.host import parent
    from aiida_haml.structures.interface import SolidInterface, list_matches

    host, given = host_of(what)
    asked = {
        "facet": facet, "electrolyte_facet": electrolyte_facet, "max_strain": max_strain, "max_area_A2": max_area,
    }  # fmt: skip
    given |= {name: value for name, value in asked.items() if value is not None}
    with told(), click.progressbar(length=1000, label="searching", file=click.get_text_stream("stderr")) as bar:
        settings = SolidInterface.read(given, "interface")
        found = list_matches(
            parent(host), settings, progress=lambda done, all_: bar.update(round(1000 * done / max(all_, 1)) - bar.pos)
        )
    _print_table(found)
    echo(f"{len(found)} matches up to {settings.max_area_A2:g} A2 and {100 * settings.max_strain:g} %")


@structure.command()
@HOST
@ELECTROLYTE_FACET
def cuts(what: str, electrolyte_facet: str | None) -> None:
    """List the cuts of the electrolyte that break no PS4, the default first, and how polar each is."""
    from aiida_haml.structures.host import parent
    from aiida_haml.structures.interface import SolidInterface, describe, list_cuts

    host, given = host_of(what)
    given |= {"electrolyte_facet": electrolyte_facet} if electrolyte_facet is not None else {}
    with told():
        settings = SolidInterface.read(given, "interface")
        found = list_cuts(parent(host), settings)
    for k, cut in enumerate(found):
        echo(f"{k:3}  {describe(cut)}")
    plural = "" if len(found) == 1 else "s"
    echo(f"{len(found)} cut{plural} of ({settings.electrolyte_facet}) for interface.cut; planes per cell of the host")


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


@structure.command()
@click.option("-o", "--output", type=FOLDER, default=None, help="Write a cell of each phase there as CIF too.")
def references(output: Path | None) -> None:
    """List what an interphase is compared with: each phase, its role, what it conducts, where it comes from.

    A screen leaves out what holds an element that no candidate has.
    """
    from ase.data import chemical_symbols
    from ase.io import write

    from aiida_haml.analysis.references.phases import reference_phases

    phases = reference_phases(tuple(sorted(chemical_symbols[1:])))
    _print_table([{name: getattr(phase, name) for name in ("name", "role", "conducts", "source")} for phase in phases])
    if output is not None:
        making(output)
        for phase in phases:
            write(output / f"{phase.name}.cif", phase.cells[0], format="cif")
