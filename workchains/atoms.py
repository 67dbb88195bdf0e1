"""Energies of isolated atoms: made once per level of theory, found again ever after."""

from typing import Any

from aiida import orm
from aiida.engine import ToContext, if_

from aiida_haml.calculations.building import build_isolated_atom
from aiida_haml.calculations.levels import theory_key
from aiida_haml.data.frames import FramesData
from aiida_haml.groups import add_labels
from aiida_haml.queries.labels import isolated_atom, level_of_code
from aiida_haml.workchains.label import FILLED, LabelWorkChain
from aiida_haml.workchains.once import OnceWorkChain
from aiida_haml.workchains.side_by_side import why


class AtomsWorkChain(OnceWorkChain):
    """Return a labelled isolated atom of each element, computing those that the database does not hold."""

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=FILLED)
        spec.input("elements", valid_type=orm.List, help="Chemical symbols.")
        spec.output_namespace("atoms", dynamic=True, valid_type=FramesData, help="Labelled atoms by element.")
        spec.outline(cls.look_up, if_(cls.are_some_missing)(cls.compute, cls.inspect), cls.results)
        spec.exit_code(
            410, "ERROR_LABEL_FAILED", message="The isolated atom {element} could not be labelled: {message}"
        )

    def look_up(self) -> None:
        """Find the atoms that were labelled before, at the same level of theory and by the same version of the code."""
        job = self.inputs.label.job
        key = level_of_code(job.code, theory_key(job.level.get_dict()))
        known = {element: key and isolated_atom(key, element) for element in self.inputs.elements.get_list()}
        self.ctx.atoms = {element: node for element, node in known.items() if node}
        self.ctx.missing = sorted(set(known) - set(self.ctx.atoms))

    def are_some_missing(self) -> bool:
        """Whether anything has to be computed."""
        return bool(self.ctx.missing)

    def compute(self) -> ToContext:
        """Label the missing atoms side by side."""
        self.report(f"labelling isolated atoms: {', '.join(self.ctx.missing)}")
        children = {}
        for element in self.ctx.missing:
            inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
            inputs["job"]["initial"] = build_isolated_atom(orm.Str(element))
            inputs["metadata"] = {"call_link_label": f"atom_{element}"}
            children[f"atom_{element}"] = self.submit(LabelWorkChain, **inputs)
        return ToContext(**children)

    def inspect(self) -> Any:
        """Collect what was labelled."""
        for element in self.ctx.missing:
            child = self.ctx[f"atom_{element}"]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_LABEL_FAILED.format(element=element, message=why(child))
            self.ctx.atoms[element] = child.outputs.frames
        return None

    def results(self) -> None:
        """Return one labelled atom an element."""
        add_labels(self.ctx.atoms.values(), self.inputs.label.job.level.get_dict())
        self.out("atoms", self.ctx.atoms)
