"""Interface cells of a person's own, taken as they are: from a structure file, with the metal told or found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from pydantic import ConfigDict, Field, ValidationInfo, model_validator

from aiida_haml.structures.checks import check, check_cell, find_reservoir
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.files import read_cell
from aiida_haml.structures.findings import require
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.host.crystal import Element, Vector
from aiida_haml.structures.reservoir import Reservoir
from aiida_haml.structures.settings import Integer, Settings

#: Lithium with nothing but lithium within this distance is metal, Angstrom: its bonds to anions are 2 to 2.9 long.
METAL_REACH = 3.2


class OwnCell(Settings):
    """A cell of metal and electrolyte of your own, which is followed as it stands in its file."""

    # A person gives the file, from which the rest is filled in.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=["name"]))

    name: str = Field(
        min_length=1, max_length=100, description="What it is called in tables; cells have different names."
    )
    file: str | None = Field(
        default=None,
        exclude=True,
        description="Any file that ASE reads; its last frame counts, and its content is kept.",
    )
    symbols: list[Element] = Field(min_length=1, description="Elements; filled in on reading.")
    positions: list[Vector] = Field(description="Places, Angstrom; filled in on reading.")
    cell: tuple[Vector, Vector, Vector] = Field(description="Cell vectors, Angstrom; filled in on reading.")
    metal: list[Annotated[Integer, Field(ge=0)]] = Field(
        description="Indices of the metal's atoms, from 0; where left out, those that the file labels `metal` in "
        "`sites`, or else lithium with nothing but lithium within 3.2 Angstrom.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the file's content in its place: a specification is whole without it."""
        if not isinstance(value, Mapping) or not isinstance(value.get("file"), str) or "symbols" in value:
            return value
        atoms = read_cell(Path((info.context or {}).get("folder", "."), value["file"])).atoms
        require(check_cell(atoms))
        return {
            "symbols": atoms.get_chemical_symbols(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "metal": find_metal(atoms),
            **value,
        }

    @model_validator(mode="after")
    def _consistent(self) -> OwnCell:
        if len(self.positions) != len(self.symbols):
            problem = f"places do not fit {len(self.symbols)} atoms"
            raise StructureError("positions", len(self.positions), problem, "Give one for each.")
        wrong = [i for i in self.metal if i >= len(self.symbols) or self.symbols[i] != "Li"]
        if wrong:
            raise StructureError("metal", wrong, "are no lithium atoms of the cell", "Give indices from 0 on.")
        return self

    @property
    def atoms(self) -> Atoms:
        """The cell, its atoms labelled as `metal` or `electrolyte` in ``arrays['sites']``."""
        atoms = Atoms(self.symbols, self.positions, cell=self.cell, pbc=True)
        atoms.arrays["sites"] = np.where(np.isin(np.arange(len(atoms)), self.metal), "metal", "electrolyte")
        return atoms

    @property
    def reservoir(self) -> Reservoir | None:
        """The metal beside the electrolyte; None where there is none, or it cannot be told."""
        return find_reservoir(self.atoms)

    def build(self) -> tuple[Atoms, dict[str, Any]]:
        """Return the checked cell and a report in plain values.

        Raises
        ------
        StructureError
            If the cell should not be simulated.
        """
        atoms = self.atoms
        check(atoms)
        metal = sorted(set(self.metal))
        electrolyte = sorted(set(range(len(atoms))) - set(metal))
        return atoms, {
            "label": self.name,
            "formula": atoms[electrolyte].get_chemical_formula(empirical=True),
            "interface": None,
            "regions": {"electrolyte": electrolyte, "metal": metal},
        }


def find_metal(atoms: Atoms) -> list[int]:
    """Return the indices of the metal's atoms: those labelled so, or else lithium among nothing but lithium."""
    if "sites" in atoms.arrays:
        return np.flatnonzero(atoms.arrays["sites"] == "metal").tolist()
    pairs = pairs_within(atoms, METAL_REACH)
    is_lithium = atoms.symbols == "Li"
    beside_others = np.zeros(len(atoms), dtype=bool)
    beside_others[np.asarray(pairs.i)[~is_lithium[np.asarray(pairs.j)]]] = True
    return np.flatnonzero(is_lithium & ~beside_others).tolist()
