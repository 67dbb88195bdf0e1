"""What comes before the first round: isolated atoms, and cells at rest and at temperature."""

from typing import Any

from aiida import orm
from aiida.engine import ToContext, if_, while_

from aiida_haml.calculations.rounds import port
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.seeds import derive
from aiida_haml.workchains.atoms import AtomsWorkChain
from aiida_haml.workchains.equilibrate import EquilibrateWorkChain, asks_for_equilibration
from aiida_haml.workchains.label import FILLED, LabelWorkChain
from aiida_haml.workchains.side_by_side import SideBySideWorkChain, why


class PrepareWorkChain(SideBySideWorkChain):
    """Have isolated atoms labelled, or found in the database, and equilibrate the cells that are to be followed.

    A cell that cannot be equilibrated is missing from the outputs; the reason stands in the report.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=FILLED)
        spec.input_namespace("structures", dynamic=True, valid_type=FramesData, help="By slug; the last frame counts.")
        spec.input_namespace("candidates", dynamic=True, valid_type=orm.Dict, help="By slug.")
        spec.input("settings", valid_type=orm.Dict, help="Sections `equilibration` and `dynamics` of a protocol.")
        spec.input("elements", valid_type=orm.List, help="Of the isolated atoms.")
        spec.output_namespace("atoms", dynamic=True, valid_type=FramesData, help="Labelled atoms by element.")
        spec.output_namespace("structures", dynamic=True, valid_type=FramesData, help="By slug, equilibrated.")
        spec.output_namespace("labels", dynamic=True, valid_type=FramesData, help="As SLUG__equilibration_STAGE.")
        spec.output_namespace("calmness", dynamic=True, valid_type=orm.Dict, help="By slug, stage by stage.")
        spec.outline(
            cls.setup,
            cls.label_atoms,
            cls.inspect_atoms,
            if_(cls.wants_equilibration)(while_(cls.has_waiting)(cls.launch), cls.inspect_equilibrations),
        )
        spec.exit_code(410, "ERROR_ATOMS_FAILED", message="The isolated atoms could not be labelled: {message}")

    def setup(self) -> None:
        """Put all cells into the queue."""
        self.prepare(sorted(self.inputs.structures))
        self.ctx.waiting = [("equilibration", slug) for slug in self.ctx.active]

    def label_atoms(self) -> ToContext:
        """Have the isolated atoms labelled, or found in the database."""
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        child = self.submit(
            AtomsWorkChain, label=inputs, elements=self.inputs.elements, metadata={"call_link_label": "atoms"}
        )
        return ToContext(atoms_chain=child)

    def inspect_atoms(self) -> Any:
        """Return the labelled atoms."""
        child = self.ctx.atoms_chain
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_ATOMS_FAILED.format(message=why(child))
        self.out("atoms", dict(child.outputs.atoms))
        return None

    def wants_equilibration(self) -> bool:
        """Whether the protocol relaxes or warms up, and there is a cell."""
        return asks_for_equilibration(self.inputs.settings.get_dict()) and bool(self.ctx.active)

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return the equilibration of one cell."""
        candidate = self.inputs.candidates[slug]
        inputs = {
            "label": self.exposed_inputs(LabelWorkChain, namespace="label"),
            "structure": self.inputs.structures[slug],
            "settings": self.inputs.settings,
            "temperature_K": orm.Float(candidate["temperature_K"]),
            "seed": orm.Int(derive(candidate["seed"], "equilibration", slug)),
        }
        return EquilibrateWorkChain, inputs

    def inspect_equilibrations(self) -> None:
        """Return the equilibrated cells, and the frames that led to them."""
        for slug in self.ctx.active:
            made = self.ctx[f"equilibration_{slug}"].outputs
            for name, frames in (made.labels if "labels" in made else {}).items():
                self.out(f"labels.{port(slug, f'equilibration_{name}')}", frames)
            if self.take("equilibration", slug) is not None:
                self.out(f"structures.{slug}", made.structure)
                self.out(f"calmness.{slug}", made.output_parameters)
