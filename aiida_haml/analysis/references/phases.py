"""The library of reference phases, which give names to environments.

Crystals are read from ``structures/data/references/NAME.cif``; two tags of their own say what a phase is in a reaction
(``_haml_role``) and what it conducts (``_haml_conducts``). Users add their own
(`aiida_haml.structures.reference.Reference`). Besides them stand the products that have no crystal
of their own: see `aiida_haml.analysis.references.solutions`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from io import StringIO

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.io.cif import CIFBlock, parse_cif

from aiida_haml.analysis.references.solutions import AMORPHOUS, SOLID_SOLUTION, amorphous_products, solid_solutions
from aiida_haml.structures import crystals
from aiida_haml.structures.host import host_settings, order, parent, site_counts
from aiida_haml.structures.reference import Reference

#: What a phase is in the reaction of lithium with an electrolyte, from the metal and the electrolyte to the end
#: product: a *thiophosphate* still holds the bonds of P (or C, N) to what is more electronegative, in an *intermediate*
#: P is bound to P.
METAL, ELECTROLYTE, THIOPHOSPHATE, INTERMEDIATE, PRODUCT = ROLES = (
    "metal", "electrolyte", "thiophosphate", "intermediate", "product",
)  # fmt: skip

#: What carries charge through a phase. A layer that conducts ions alone can protect; one that conducts both grows on.
IONS, ELECTRONS, BOTH = CONDUCTS = ("ions", "electrons", "both")

CRYSTAL = "crystal"

#: About the length of a reference cell's vectors, Angstrom.
CELL_LENGTH = 9.5


@dataclass(frozen=True, eq=False)
class ReferencePhase:
    """A phase that environments are compared with.

    Attributes
    ----------
    name : str
        What it is called in results.
    role : str
        One of `ROLES`.
    cells : tuple of Atoms
        Of some 50 to 200 atoms; one of a crystal, several of what has no order.
    form : str
        `CRYSTAL`, `SOLID_SOLUTION` or `AMORPHOUS`.
    conducts : str
        One of `CONDUCTS`.
    source : str
        Where the cells come from.
    """

    name: str
    role: str
    cells: tuple[Atoms, ...]
    form: str = CRYSTAL
    conducts: str = IONS
    source: str = ""


@lru_cache(maxsize=8)
def reference_phases(
    elements: tuple[str, ...], host: str = "", references: tuple[str, ...] = ()
) -> tuple[ReferencePhase, ...]:
    """Return the phases that an element set can form; those that need another element are left out.

    Parameters
    ----------
    elements : tuple of str
    host : str
        The electrolyte as `aiida_haml.structures.hosts` takes it, in JSON; the hosts known by name if empty.
    references : tuple of str
        Phases of one's own, as `aiida_haml.structures.reference.Reference` takes them, in JSON.

    Raises
    ------
    ValueError
        If two phases have the same name, or one of one's own is refused.
    """
    phases = [*_hosts(host), *_library(), *(_own(text) for text in references)]
    phases = [p for p in phases if set(p.cells[0].get_chemical_symbols()) <= set(elements)]
    phases += [
        ReferencePhase(name, PRODUCT, tuple(cells), form, source="built")
        for form, families in (
            (SOLID_SOLUTION, solid_solutions(elements)),
            (AMORPHOUS, amorphous_products(elements)),
        )
        for name, cells in families.items()
    ]
    names = [p.name for p in phases]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Two reference phases are called {name}; give the host or your own phase another name.")
    return tuple(phases)


def _library() -> Iterator[ReferencePhase]:
    folder = resources.files("aiida_haml.structures").joinpath("data", "references")
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".cif"):
            yield _of_library(entry.read_text(encoding="utf-8"))


def _hosts(host: str) -> Iterator[ReferencePhase]:
    if not host:
        for name, phase in crystals.HOSTS.items():
            yield ReferencePhase(name, ELECTROLYTE, (_repeated(phase.build()),), source=phase.source)
        return
    settings = host_settings(json.loads(host))
    sites = parent(settings)
    atoms, _ = order(sites, site_counts(sites))
    yield ReferencePhase(settings["name"], ELECTROLYTE, (_repeated(atoms),))


def _own(text: str) -> ReferencePhase:
    own = Reference.read(json.loads(text), "references")
    return ReferencePhase(own.name, own.role, (_repeated(own.atoms),), CRYSTAL, own.conducts, own.crystal.source)


def _of_library(text: str) -> ReferencePhase:
    block: CIFBlock = next(iter(parse_cif(StringIO(text))))
    atoms = _repeated(block.get_atoms(store_tags=False))
    role, conducts, source = (str(block[f"_haml_{tag}"]) for tag in ("role", "conducts", "source"))
    return ReferencePhase(block.name, role, (atoms,), CRYSTAL, conducts, source)


def _repeated(atoms: Atoms) -> Atoms:
    """Repeat a cell until its vectors are about `CELL_LENGTH` long."""
    repeats = np.maximum(np.rint(CELL_LENGTH / atoms.cell.lengths()).astype(int), 1)
    return make_supercell(atoms, np.diag(repeats))
