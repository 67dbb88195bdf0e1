"""Settings of a liquid electrolyte and of the metal beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, ValidationInfo, field_validator, model_validator

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import Element, Vector
from aiida_haml.structures.interface.settings import MetalSlab
from aiida_haml.structures.liquid.geometry import formal_charge_of, parse_smiles, read_molecule, require_charge
from aiida_haml.structures.liquid.graphs import fragments
from aiida_haml.structures.liquid.species import IONS, SOLVENTS, Species
from aiida_haml.structures.refusals import nearest
from aiida_haml.structures.settings import Integer, Number, Settings

#: Atoms of the whole cell where neither their number nor a thickness is given.
DEFAULT_ATOMS = 200

#: Short names of molecules: they stand in labels and on atoms.
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}")

Parts = Annotated[Number, Field(gt=0, le=1e6)]
Molarity = Annotated[Number, Field(gt=0, le=10)]


class Molecule(Settings):
    """A molecule or ion of your own: a SMILES string, or a file whose coordinates are kept."""

    smiles: str | None = Field(default=None, description="As SMILES; or give `file`.")
    file: str | None = Field(
        default=None, exclude=True, description="An xyz, mol or sdf file, relative to the specification."
    )
    symbols: list[Element] | None = Field(default=None, description="Elements in `file`; filled in on reading.")
    positions: list[Vector] | None = Field(default=None, description="Coordinates in `file`, Angstrom; filled in.")
    charge: Annotated[Integer, Field(ge=-4, le=4)] | None = Field(
        default=None, description="Charge, e, a whole number from -4 to 4; an xyz file needs it."
    )
    density: Annotated[Number, Field(ge=0.3, le=5)] | None = Field(
        default=None, description="Density of the neat liquid (of an anion: of its lithium salt), 0.3 to 5 g/cm^3."
    )
    source: str = Field(default="given by the user", description="Where the density comes from.")

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the file's content in its place: a specification is whole without it."""
        named = isinstance(value, Mapping) and isinstance(value.get("file"), str)
        if not named or value.get("symbols") is not None:
            return value
        path = Path((info.context or {}).get("folder", "."), value["file"])
        return {**value, **read_molecule(path, value.get("charge"))}

    @model_validator(mode="after")
    def _consistent(self) -> Molecule:
        if self.smiles is not None:
            require_charge(self.charge, formal_charge_of(parse_smiles(self.smiles)))
        elif self.symbols is None or self.positions is None:
            raise StructureError(
                "", None, "gives neither a SMILES string nor coordinates", "Give smiles, or symbols and positions."
            )
        if self.symbols is not None:
            self._require_one_piece()
        return self

    def _require_one_piece(self) -> None:
        symbols, positions = self.symbols or [], self.positions or []
        if not symbols or len(symbols) != len(positions):
            raise StructureError(
                "positions",
                len(positions),
                f"places do not fit {len(symbols)} atoms",
                "Give one symbol and three finite coordinates in Angstrom for each atom.",
            )
        pieces = len(fragments(Atoms(symbols, np.array(positions))))
        if pieces > 1:
            problem = "pieces that no bond joins are not one molecule"
            raise StructureError("", pieces, problem, "Give each molecule alone.")

    def species(self, name: str) -> Species:
        """Return it under its name."""
        charge = formal_charge_of(parse_smiles(self.smiles)) if self.smiles is not None else self.charge
        symbols = tuple(self.symbols) if self.symbols is not None else None
        positions = tuple(self.positions) if self.positions is not None else None
        return Species(name, self.smiles, charge or 0, self.density, self.source, symbols, positions)


class Liquid(Settings):
    """A liquid electrolyte: solvents, and salts at their molarities."""

    solvents: dict[str, Parts] = Field(
        min_length=1, description="Solvent (DME, DOL, EC, DMC, FEC, ...) -> parts, such as {EC: 1, DMC: 1}."
    )
    parts: Literal["volume", "mole"] = Field(default="volume", description="What the parts are of, before mixing.")
    salt: str | dict[str, Molarity] | None = Field(
        default=None,
        description="LiFSI, LiTFSI, LiPF6, LiNO3, or one of your own; several with their moles in a litre, such as "
        "{LiTFSI: 1.0, LiNO3: 0.2}; or null.",
    )
    molarity_M: Molarity | None = Field(
        default=None, description="Moles of the one salt in a litre of solution; null: 1, if there is one."
    )
    density_g_cm3: Annotated[Number, Field(ge=0.3, le=3)] | None = Field(
        default=None, description="Density of the solution; null: from the neat liquids and the salts."
    )
    n_atoms: Annotated[Integer, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Atoms of the cell, metal included, 1 to 100000; null: about 200."
    )
    thickness_A: Annotated[Number, Field(gt=4, le=500)] | None = Field(
        default=None, description="Thickness of the liquid, instead of `n_atoms`; in bulk the edge of the cube."
    )
    molecules: dict[str, Molecule] = Field(default={}, description="Molecules of your own, by the name used above.")

    @field_validator("molecules")
    @classmethod
    def _names(cls, value: dict[str, Molecule]) -> dict[str, Molecule]:
        for name in value:
            if not NAMES.fullmatch(name) or name == "Li":
                raise StructureError(
                    name,
                    name,
                    "is no name for a molecule of your own",
                    "Use up to 20 letters, digits, dashes and underscores, and not Li, which is the cation.",
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Liquid:
        if self.molarity_M is not None and not isinstance(self.salt, str):
            problem = "is given without a salt" if not self.salt else "stands beside salts that have their own"
            raise StructureError("molarity_M", self.molarity_M, problem, "Name the salt, or leave it out.")
        if self.n_atoms is not None and self.thickness_A is not None:
            raise StructureError("thickness_A", self.thickness_A, "contradicts n_atoms", "Give one of the two.")
        self.species()  # unknown names are refused here
        return self

    @property
    def salts(self) -> dict[str, float]:
        """Moles of each salt in a litre of solution."""
        if isinstance(self.salt, str):
            return {self.salt: 1.0 if self.molarity_M is None else self.molarity_M}
        return dict(self.salt or {})

    @property
    def target_atoms(self) -> int | None:
        """Atoms of the cell; None where its thickness is given."""
        return None if self.thickness_A is not None else self.n_atoms or DEFAULT_ATOMS

    def anions(self) -> dict[str, Species]:
        """Return the anion of each salt.

        Raises
        ------
        StructureError
            If a salt is unknown.
        """
        own = {name: given.species(name) for name, given in self.molecules.items()}
        known = {name: ion for name, ion in {**IONS, **own}.items() if ion.charge < 0}
        salts = {f"Li{name}": ion for name, ion in known.items()}
        salts |= {f"Li{-ion.charge}{name}": ion for name, ion in known.items() if ion.charge < -1}
        for salt in self.salts:
            if salt not in salts:
                raise StructureError("salt", salt, "is not a known salt", nearest(salt, salts))
        return {salt: salts[salt] for salt in self.salts}

    def species(self) -> dict[str, Species]:
        """Return the solvents, lithium and the anions by short name, in this order.

        Raises
        ------
        StructureError
            If one is unknown, is an ion among the solvents, or lacks the density that the mixture needs.
        """
        found = {name: self._solvent(name) for name in self.solvents}
        if anions := self.anions():
            found |= {"Li": IONS["Li"]} | {anion.name: anion for anion in anions.values()}
        for name, species in found.items():
            needs = self.density_g_cm3 is None or (name in self.solvents and self.parts == "volume")
            if needs and species.density is None and name != "Li":
                raise StructureError(
                    f"molecules.{name}.density",
                    None,
                    "is missing, and the mixture's density or volume parts need it",
                    "Give it in g/cm^3 (of an anion: its lithium salt's), or density_g_cm3 and mole parts.",
                )
        return found

    def _solvent(self, name: str) -> Species:
        if name not in self.molecules and name not in SOLVENTS:
            remedy = f"{nearest(name, [*SOLVENTS, *self.molecules])} Or describe it under molecules."
            raise StructureError(f"solvents.{name}", name, "is not a known solvent", remedy)
        species = self.molecules[name].species(name) if name in self.molecules else SOLVENTS[name]
        if species.charge != 0:
            problem = "is the charge of this solvent"
            raise StructureError(f"solvents.{name}", species.charge, problem, "Name ions by their salt.")
        return species


class LiquidInterface(MetalSlab):
    """The metal beside a liquid, which takes its shape, so that nothing is strained."""

    area_A2: Annotated[Number, Field(gt=20, le=10_000)] = Field(
        default=110.0,
        description="Area beside a liquid, Angstrom^2: that multiple of the surface's cell is taken which comes "
        "nearest to it and to a square.",
    )
    repeat: tuple[Annotated[Integer, Field(ge=1, le=50)], Annotated[Integer, Field(ge=1, le=50)]] | None = Field(
        default=None, description="Rectangular surface cells along both sides, in place of `area_A2`."
    )
    max_area_A2: Annotated[Number, Field(gt=20, le=10_000)] = Field(
        default=2000.0, description="Limit of the area, Angstrom^2."
    )
