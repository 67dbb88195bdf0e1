"""Lattice constants of a screen's components: relaxed once per level of theory, found again ever after."""

import json
from typing import Any

from aiida import orm
from aiida.engine import while_

from aiida_haml.calculations.lattices import build_bulk, lattice_constant, set_constants
from aiida_haml.calculations.levels import theory_key
from aiida_haml.queries.labels import level_of_code
from aiida_haml.queries.lattices import known_constant
from aiida_haml.settings import require_integer, require_number
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.lattices import components
from aiida_haml.workchains.label import FILLED, LabelWorkChain
from aiida_haml.workchains.side_by_side import SideBySideWorkChain


class LatticesWorkChain(SideBySideWorkChain):
    """Give candidates the lattice constants that electrolyte and metal have at the level of theory.

    Each component that several candidates share is relaxed once. A candidate one of whose components could not be
    relaxed is missing from the outputs; the reason stands in the report and in the exit message.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=FILLED)
        spec.input_namespace("candidates", dynamic=True, valid_type=orm.Dict, help="By slug; `structure` counts.")
        spec.input(
            "settings", valid_type=orm.Dict, validator=validate_settings, help="Section `lattice` of a protocol."
        )
        spec.output_namespace("specifications", dynamic=True, valid_type=orm.Dict, help="Of the cells, by slug.")
        spec.output_namespace("constants", dynamic=True, valid_type=orm.Dict, help="By component.")
        spec.outline(cls.setup, while_(cls.has_waiting)(cls.launch), cls.collect, cls.results)
        spec.exit_code(410, "ERROR_SOME_NOT_RELAXED", message="Some lattice constants are missing: {message}")

    def setup(self) -> None:
        """Find the components, and which of them the database knows at this level of theory and version of the code."""
        self.ctx.settings = self.inputs.settings.get_dict()
        self.ctx.components = {}
        self.ctx.needs = {}
        for slug in sorted(self.inputs.candidates):
            self.ctx.needs[slug] = self._needs(self.inputs.candidates[slug]["structure"])
        self.prepare(sorted(self.ctx.components))
        job = self.inputs.label.job
        key = level_of_code(job.code, theory_key(job.level.get_dict()))
        limit = self.ctx.settings["max_pressure_GPa"]
        known = {name: key and known_constant(key, part, limit) for name, part in self.ctx.components.items()}
        self.ctx.constants = {name: node for name, node in known.items() if node}
        self.ctx.waiting = [("relaxation", name) for name in self.ctx.active if name not in self.ctx.constants]

    def _needs(self, structure: dict[str, Any]) -> dict[str, str]:
        """Return the names of a candidate's components by what they are, new ones numbered."""
        try:
            parts = components(structure)
        except StructureError:
            return {}  # the builder says why it is refused
        names = {json.dumps(part, sort_keys=True): name for name, part in self.ctx.components.items()}
        needs = {}
        for what, part in parts.items():
            key = json.dumps(part, sort_keys=True)
            needs[what] = names.get(key) or f"{what}_{len(self.ctx.components):03d}"
            self.ctx.components[needs[what]] = part
        return needs

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return the relaxation of one component's bulk cell."""
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs["job"] |= {"initial": build_bulk(orm.Dict(self.ctx.components[slug])), "relax": self._relax()}
        return LabelWorkChain, inputs

    def _relax(self) -> orm.Dict:
        return orm.Dict({name: self.ctx.settings[name] for name in ("steps", "max_force", "max_pressure_GPa")})

    def collect(self) -> None:
        """Read the constants off the relaxations."""
        for name in self.ctx.active:
            child = self.take("relaxation", name)
            if child is None:
                continue
            part = orm.Dict(self.ctx.components[name])
            found: Any
            found, node = lattice_constant.run_get_node(part, child.outputs.frames, self._relax())
            if not node.is_finished_ok:
                self.report(f"{name}: {node.exit_message}")
                self.ctx.failures = {**self.ctx.failures, name: node.exit_message}
                continue
            self.ctx.constants[name] = found
            self.report(
                f"{name}: {found['constant_A']:.3f} A at this level of theory, and {found['measured_A']:.3f} as "
                f"measured, where the pressure is {found['pressure_as_measured_GPa']:+.2f} GPa."
            )

    def results(self) -> Any:
        """Return the specifications of those whose components are all known."""
        self.out("constants", self.ctx.constants)
        for slug, needs in self.ctx.needs.items():
            if set(needs.values()) <= set(self.ctx.constants):
                constants = {what: self.ctx.constants[name] for what, name in needs.items()}
                given = orm.Dict(self.inputs.candidates[slug]["structure"])
                changed, node = set_constants.run_get_node(given, **constants)
                if node.is_finished_ok:
                    self.out(f"specifications.{slug}", changed)
                else:
                    self.ctx.failures = {**self.ctx.failures, slug: node.exit_message}
        if self.ctx.failures:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(self.ctx.failures.items()))
            return self.exit_codes.ERROR_SOME_NOT_RELAXED.format(message=reasons)
        return None


def asks_for_relaxation(settings: dict[str, Any]) -> bool:
    """Return whether a protocol's settings ask for lattice constants at the level of theory."""
    return bool(settings["lattice"]["steps"])


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse a relaxation that is out of range."""
    return None if node is None else lattice_complaint({"lattice": node.get_dict()})


def lattice_complaint(settings: dict[str, Any]) -> str | None:
    """Return what is wrong with the settings of the relaxed lattice constants, or None."""
    lattice = settings.get("lattice")
    if not isinstance(lattice, dict):
        return "The settings lack `lattice`; start from a protocol."
    try:
        require_integer("lattice.steps", lattice.get("steps"), 0)
        for name in ("max_force", "max_pressure_GPa"):
            require_number(f"lattice.{name}", lattice.get(name))
    except ValueError as error:
        return str(error)
    return None
