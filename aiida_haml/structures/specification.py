"""What a candidate is to be, in plain numbers and words.

The specification of a solid is a dictionary::

    {
        "host": "Li6PS5Cl",                # or more than that, see aiida_haml.structures.host.settings
        "doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}],   # several are made together; or None
        "compensation": None,              # "vacancies" or "interstitials" of Li where the doping brings a charge
        "configuration": 0,                # of the distinct arrangements; or {"sample": k}, or "sqs"
        "interface": {"facet": "100", "layers": None, ...},   # of SolidInterface; or None: bulk
        "seed": 0,                         # of draws, of the quasi-random search, of disorder and lithium
    }

and that of a liquid::

    {
        "liquid": {"solvents": {"EC": 1, "DMC": 1}, "salt": "LiPF6", "molarity_M": 1.0, ...},
        "interface": {"facet": "100", "layers": None, "area_A2": 110.0, ...},   # of LiquidInterface; or None: bulk
        "seed": 0,                         # of shapes and packing
    }

and that of a cell of one's own::

    {
        "cell": {"name": ..., "symbols": ..., "positions": ..., "cell": ..., "metal": ...},   # of OwnCell
        "seed": 0,                         # of nothing; the cell is taken as it is
    }

Every key may be left out but ``liquid`` and ``cell``; unknown ones are refused. The same specification gives the same
atoms, bit for bit.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from aiida_haml.structures.doping import Configuration, Lattice, Substitution, read_doping
from aiida_haml.structures.doping.lattice import DopingPlan
from aiida_haml.structures.doping.settings import Compensation
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host import parent
from aiida_haml.structures.host.settings import Host, KnownHost
from aiida_haml.structures.interface import SolidInterface, make_layout
from aiida_haml.structures.interface.layout import Layout
from aiida_haml.structures.liquid import Liquid, LiquidInterface
from aiida_haml.structures.own_cell import OwnCell
from aiida_haml.structures.settings import Seed, Settings


class SolidCandidate(Settings):
    """A solid electrolyte, doped or not, as bulk or against a metal."""

    host: Host = Field(default=KnownHost(), description="The electrolyte's crystal.")
    doping: Annotated[tuple[Substitution, ...], BeforeValidator(lambda doping: read_doping(doping, ""))] = Field(
        default=(), description="Substitutions, made together."
    )
    compensation: Compensation | None = Field(default=None, description="How a charge is balanced.")
    configuration: Configuration = Field(default=0, description="Which arrangement of the dopants.")
    interface: SolidInterface | None = Field(default=None, description="The metal beside it; null: bulk.")
    seed: Seed = Field(default=0, description="Of whatever is drawn.")

    @property
    def host_key(self) -> str:
        """The host as text."""
        return json.dumps(self.host.to_dict(), sort_keys=True)

    @property
    def lattice(self) -> Lattice:
        """The host's sublattices; shared by all candidates of one host, not to be changed."""
        return _lattice(self.host_key)

    @property
    def plan(self) -> DopingPlan:
        """What the doping means in the host."""
        return self.lattice.plan(self.doping, self.compensation)

    @property
    def layout(self) -> Layout | None:
        """Match, cut and layers; found once for all candidates of one host."""
        return None if self.interface is None else _layout(self.host_key, self.interface)


class LiquidCandidate(Settings):
    """A liquid electrolyte, as bulk or between the faces of a metal."""

    liquid: Liquid = Field(description="Solvents and salts.")
    interface: LiquidInterface | None = Field(default=None, description="The metal beside it; null: bulk.")
    seed: Seed = Field(default=0, description="Of shapes and packing.")


class CellCandidate(Settings):
    """A cell of a person's own."""

    cell: OwnCell = Field(description="The cell, as it is.")
    seed: Seed = Field(default=0, description="Of what is drawn: nothing. Velocities have the run's.")


Candidate = SolidCandidate | LiquidCandidate | CellCandidate


@lru_cache(maxsize=32)
def _lattice(host: str) -> Lattice:
    settings = json.loads(host)
    return Lattice(parent(settings), settings["supercell"])


@lru_cache(maxsize=512)
def _layout(host: str, interface: SolidInterface) -> Layout:
    return make_layout(_lattice(host).parent, interface)


def read_candidate(spec: Mapping[str, Any]) -> Candidate:
    """Read a specification.

    Raises
    ------
    StructureError
        If a key is unknown or missing, or a value is refused.
    """
    if not isinstance(spec, Mapping):
        raise StructureError("specification", spec, "is not a dictionary", "Give keys and values.")
    kinds: dict[str, type[LiquidCandidate | CellCandidate]] = {"liquid": LiquidCandidate, "cell": CellCandidate}
    return next((kind for key, kind in kinds.items() if key in spec), SolidCandidate).read(spec)
