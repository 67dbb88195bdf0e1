"""What a person names where a structure is meant: a host, a structure file, or a specification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_haml.cli.messages import Refusal

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_haml.spec import ScreenSpec

#: What the arguments are called in the help.
WHAT = "NAME|FILE|SPEC.yaml"


@dataclass(frozen=True)
class NamedCell:
    """A cell, what to call it, and what of it is outlined and labelled in a picture."""

    name: str
    atoms: Atoms
    regions: dict[str, list[int]]
    dopants: list[int] = field(default_factory=list)
    demonstration: bool = False


@contextmanager
def told() -> Iterator[None]:
    """Tell what a builder or reader refuses as a message instead of a traceback."""
    from aiida_haml.structures.errors import StructureError

    try:
        yield
    except StructureError as error:
        raise Refusal(str(error)) from error


def is_spec(what: str) -> bool:
    """Say whether a specification is named."""
    return Path(what).suffix.lower() in (".yaml", ".yml")


def load(path: Path | str) -> ScreenSpec:
    """Read a specification, or stop with all that is wrong."""
    from aiida_haml.spec import SpecError, load_spec

    try:
        return load_spec(path)
    except SpecError as error:
        raise Refusal(str(error)) from error


def host_of(what: str) -> tuple[Any, dict[str, Any]]:
    """Return a host as the builders take it, and the interface settings that come with it.

    Raises
    ------
    Refusal
        If a specification of liquids is named.
    """
    if is_spec(what):
        spec = load(what)
        if spec.is_liquid:
            raise Refusal(f"{what} compares liquids, which have no host.")
        return spec.host.to_dict(), spec.interface.to_dict()
    return ({"file": what} if _is_file(what) else what), {}


def cells_of(what: str, file_format: str | None = None, elements: str = "") -> Iterator[NamedCell]:
    """Yield the cells that a name (its bulk), a structure file (its last frame) or a specification (all) means."""
    from aiida_haml.structures.candidates import build, candidate_label
    from aiida_haml.structures.files import read_cell

    if is_spec(what):
        spec = load(what)
        for structure in spec.structures():
            with told():
                atoms, report = build(structure)
            dopants = (report.get("doping") or {}).get("substituted", [])
            yield NamedCell(candidate_label(structure), atoms, report["regions"], dopants, spec.demonstration)
    elif _is_file(what) or file_format:
        _require_whole(Path(what))
        with told():
            found = read_cell(what, file_format, elements.split())
        frame = f", frame {found.frame} of {found.frames}" if found.frames > 1 else ""
        yield NamedCell(f"{what}{frame}", found.atoms, _regions(found.atoms))
    else:
        with told():
            atoms, report = build({"host": what})
        yield NamedCell(report["label"], atoms, report["regions"])


def _require_whole(path: Path) -> None:
    """Refuse an XYZ file that announces more atoms than it has, before a reader goes looking for them."""
    from aiida_haml.reading import ReadingError, require_whole

    if path.suffix in (".xyz", ".extxyz") and path.is_file():
        try:
            require_whole(path)
        except ReadingError as error:
            raise Refusal(f"{path} cannot be read: {error}") from error


def _is_file(what: str) -> bool:
    """Say whether a file is meant: there is one, or it looks like one that is not there."""
    return Path(what).is_file() or "/" in what or "." in what


def _regions(atoms: Atoms) -> dict[str, list[int]]:
    """Return metal and electrolyte by index, from the site labels that a built cell carries."""
    sites = atoms.arrays.get("sites", [""] * len(atoms))
    metal = [i for i, site in enumerate(sites) if site == "metal"]
    return {"electrolyte": sorted(set(range(len(atoms))) - set(metal)), "metal": metal}
