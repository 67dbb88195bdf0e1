"""The screen: candidates through the hybrid dynamics, a bounded number in flight, and their ranking."""

from __future__ import annotations

import json
from typing import Any

from aiida import orm
from aiida.engine import ToContext, WorkChain, while_

from aiida_haml.analysis.settings import DescriptionSettings, RankingSettings
from aiida_haml.calculations.describe import DescribeCalculation, segments_ahead
from aiida_haml.calculations.functions import build_candidate
from aiida_haml.calculations.levels import GAUSSIAN_PORTS
from aiida_haml.calculations.rank import RankCalculation
from aiida_haml.codes import find_code
from aiida_haml.data.frames import FramesData
from aiida_haml.spec import ScreenSpec
from aiida_haml.workchains.atoms import AtomsWorkChain
from aiida_haml.workchains.hybrid import HybridWorkChain, hybrid_complaint
from aiida_haml.workchains.label import level_inputs
from aiida_haml.workchains.protocols import protocol_settings

#: Segments that one job describes: a trajectory that has grown is described anew from its last whole batch on.
SEGMENTS_PER_DESCRIPTION = 20


class ScreenWorkChain(WorkChain):
    """Run candidates and rank them.

    The window slides: candidate i starts once candidates 0 to i - `max_in_flight` have ended, and may learn from
    exactly those. What a candidate learns from is thus a function of the inputs alone, not of who was faster, and a
    finished screen that is run again finds everything in the cache.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(HybridWorkChain, include=("level", "codes", *GAUSSIAN_PORTS))
        spec.input(
            "settings", valid_type=orm.Dict, validator=validate_screen_settings, help="As a protocol gives them."
        )
        spec.input_namespace(
            "candidates",
            dynamic=True,
            valid_type=orm.Dict,
            help="By slug: `label`, `structure`, `temperature_K`, `seed`. They run in the order of their slugs.",
        )
        spec.input("max_in_flight", valid_type=orm.Int, default=lambda: orm.Int(2), help="Candidates at a time.")
        spec.input(
            "share_learning",
            valid_type=orm.Bool,
            default=lambda: orm.Bool(True),
            help="Learn from ended ones.",
        )
        spec.output("ranking", valid_type=orm.Dict, required=False, help="The ranking, with its parts.")
        spec.output("clusters", valid_type=orm.ArrayData, required=False, help="Environments over all candidates.")
        spec.output_namespace("candidates", dynamic=True, help="What each hybrid trajectory gave, by slug.")
        spec.outline(
            cls.setup,
            cls.label_atoms,
            cls.inspect_atoms,
            while_(cls.has_more)(cls.launch, cls.wait_for_oldest, cls.inspect_oldest),
            cls.wait_for_descriptions,
            cls.rank,
            cls.finish,
        )
        spec.exit_code(400, "ERROR_ATOMS_FAILED", message="The isolated atoms could not be labelled.")
        spec.exit_code(401, "ERROR_ALL_CANDIDATES_FAILED", message="Not one candidate was followed to its end.")
        spec.exit_code(402, "ERROR_RANKING_FAILED", message="The ranking failed: {message}")
        spec.exit_code(
            410, "ERROR_SOME_CANDIDATES_FAILED", message="Ranked without the candidates that failed: {names}."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        candidates: dict[str, dict[str, Any]],
        codes: dict[str, orm.AbstractCode],
        level: orm.Dict | str = "gfn1-xtb",
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder with the settings of a protocol; `get_builder_from_spec` makes one of a person's file.

        Parameters
        ----------
        candidates : dict
            By slug: `label`, `structure` (see `aiida_haml.structures.candidates`), `temperature_K`, `seed`.
        codes : dict
            ``label``, ``engine`` and ``lammps``.
        level : Dict or str
            A level of theory, or the name of a preset.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings. ``training.elements`` has to name all elements of the candidates.

        Raises
        ------
        ValueError
            If the protocol, the level or an override is unknown or refused.
        """
        builder = cls.get_builder()
        builder.codes = codes
        builder.candidates = {slug: orm.Dict(content) for slug, content in candidates.items()}
        builder.settings = orm.Dict(protocol_settings(protocol, overrides))
        for port, value in level_inputs(level).items():
            builder[port] = value
        return builder

    @classmethod
    def get_builder_from_spec(cls, spec: ScreenSpec) -> Any:
        """Return a builder for a screen as a person specified it.

        Raises
        ------
        ValueError
            If a setting is unknown or refused, or CP2K's data are not found.
        LookupError
            If a code is not set up.
        """
        inputs = level_inputs(spec.level_name, spec.teacher)
        is_teacher = inputs["level"]["engine"] == "teacher"
        roles = {"label": "engine" if is_teacher else "cp2k", "engine": "engine", "lammps": "lammps"}
        builder: Any = cls.get_builder()
        builder.codes = {port: find_code(role, getattr(spec.codes, role)) for port, role in roles.items()}
        builder.candidates = {slug: orm.Dict(content) for slug, content in spec.candidates().items()}
        builder.settings = orm.Dict(screen_settings(spec))
        for port, value in inputs.items():
            builder[port] = value
        builder.max_in_flight = orm.Int(spec.max_in_flight)
        builder.share_learning = orm.Bool(spec.share_learning)
        builder.metadata.label = spec.name
        return builder

    # -- start ---------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Set the counters."""
        self.ctx.settings = self.inputs.settings.get_dict()
        self.ctx.order = sorted(self.inputs.candidates)
        self.ctx.launched = 0
        self.ctx.inspected = 0
        self.ctx.failed = []
        self.ctx.taught = {}
        self.ctx.potential = None
        self.ctx.descriptions = {}
        self.ctx.histories = {}

    def label_atoms(self) -> ToContext:
        """Have the isolated atoms of all elements of the screen labelled, before the candidates ask for them."""
        inputs = self.exposed_inputs(HybridWorkChain)
        child = self.submit(
            AtomsWorkChain,
            code=inputs["codes"]["label"],
            level=inputs["level"],
            elements=orm.List(self.ctx.settings["training"]["elements"]),
            options=orm.Dict(self.ctx.settings["options"]["label"]),
            metadata={"call_link_label": "atoms"},
            **{port: inputs[port] for port in GAUSSIAN_PORTS if port in inputs},
        )
        return ToContext(atoms=child)

    def inspect_atoms(self) -> Any:
        """End here if there is nothing to train with."""
        return None if self.ctx.atoms.is_finished_ok else self.exit_codes.ERROR_ATOMS_FAILED

    # -- candidates ----------------------------------------------------------------------------------------

    def has_more(self) -> bool:
        """Whether a candidate has not ended, or not started."""
        return self.ctx.inspected < len(self.ctx.order)

    def launch(self) -> None:
        """Fill the window."""
        last = min(self.ctx.inspected + self.inputs.max_in_flight.value, len(self.ctx.order))
        for slug in self.ctx.order[self.ctx.launched : last]:
            # Not handed to ToContext: the step after this one waits for the oldest alone.
            self.ctx[f"pk_{slug}"] = self._submit(slug).pk
        self.ctx.launched = max(self.ctx.launched, last)

    def _submit(self, slug: str) -> orm.ProcessNode:
        candidate = self.inputs.candidates[slug]
        built = build_candidate(orm.Dict(candidate["structure"]))
        inputs = self.exposed_inputs(HybridWorkChain)
        if self.inputs.share_learning.value and self.ctx.potential is not None:
            inputs["labels"] = dict(self.ctx.taught)
            inputs["potential"] = self.ctx.potential
        node = self.submit(
            HybridWorkChain,
            structure=built["structure"],
            settings=self.inputs.settings,
            temperature_K=orm.Float(candidate["temperature_K"]),
            seed=orm.Int(candidate["seed"]),
            isolated_atoms=dict(self.ctx.atoms.outputs.atoms),
            metadata={"call_link_label": slug, "label": candidate["label"]},
            **inputs,
        )
        self.report(f"{candidate['label']}: launched as HybridWorkChain<{node.pk}>")
        return node

    def wait_for_oldest(self) -> ToContext:
        """Wait for the candidate that was launched first."""
        slug = self.ctx.order[self.ctx.inspected]
        return ToContext(oldest=orm.load_node(self.ctx[f"pk_{slug}"]))

    def inspect_oldest(self) -> None:
        """Keep what the candidate gave and taught, and have it described; a failure does not stop the rest."""
        slug = self.ctx.order[self.ctx.inspected]
        child = self.ctx.oldest
        self.ctx.inspected += 1
        if not child.is_finished_ok:
            self.report(f"{slug}: HybridWorkChain<{child.pk}> failed: {child.exit_message}")
            self.ctx.failed.append(slug)
            return
        self.out(f"candidates.{slug}", {name: child.outputs[name] for name in child.outputs})
        for segment in child.outputs.segments.values():
            if segment.has_labels:
                self.ctx.taught[f"shared_{len(self.ctx.taught):04d}"] = segment
        if "potential" in child.outputs:  # a run of one burst has trained none
            self.ctx.potential = child.outputs.potential
        self.ctx.descriptions[slug] = self._describe(slug, dict(child.outputs.segments))
        self.ctx.histories[slug] = child.outputs.history

    def _describe(self, slug: str, segments: dict[str, FramesData]) -> list[Any]:
        """Have a trajectory described, one job for each batch of segments; return their pks."""
        settings = self.ctx.settings["analysis"]
        labels, pks = sorted(segments), []
        more: dict[str, Any]
        for part, start in enumerate(range(0, len(labels), SEGMENTS_PER_DESCRIPTION)):
            batch = labels[start : start + SEGMENTS_PER_DESCRIPTION]
            before = segments_ahead(segments, batch[0], settings["every_fs"])
            more = {"previous": before, "origin": segments[labels[0]]} if before else {}
            node = self.submit(
                DescribeCalculation,
                code=self.inputs.codes.engine,
                segments={label: segments[label] for label in batch},
                settings=orm.Dict(settings),
                metadata={
                    "call_link_label": f"describe_{slug}_{part:04d}",
                    "options": self.ctx.settings["options"]["analysis"],
                },
                **more,
            )
            pks.append(node.pk)
        return pks

    # -- ranking -------------------------------------------------------------------------------------------

    def wait_for_descriptions(self) -> Any:
        """Wait for all descriptions; most have ended long ago."""
        if not self.ctx.descriptions:
            return self.exit_codes.ERROR_ALL_CANDIDATES_FAILED
        pks = {_part(slug, k): pk for slug, pks in self.ctx.descriptions.items() for k, pk in enumerate(pks)}
        return ToContext(**{name: orm.load_node(pk) for name, pk in pks.items()})

    def rank(self) -> Any:
        """Rank the candidates that were described whole."""
        parts = {
            slug: [self.ctx[_part(slug, k)] for k in range(len(pks))] for slug, pks in self.ctx.descriptions.items()
        }
        good = {slug: nodes for slug, nodes in parts.items() if all(node.is_finished_ok for node in nodes)}
        self.ctx.failed += sorted(set(parts) - set(good))
        if not good:
            return self.exit_codes.ERROR_ALL_CANDIDATES_FAILED

        def outputs(port: str) -> dict[str, dict[str, orm.Data]]:
            return {
                slug: {f"part_{k:04d}": n.outputs[port] for k, n in enumerate(nodes)} for slug, nodes in good.items()
            }

        child = self.submit(
            RankCalculation,
            code=self.inputs.codes.engine,
            environments=outputs("environments"),
            series=outputs("series"),
            candidates={slug: self.inputs.candidates[slug] for slug in good},
            histories={slug: self.ctx.histories[slug] for slug in good},
            level=self.inputs.level,
            settings=orm.Dict(self.ctx.settings["ranking"]),
            metadata={"call_link_label": "rank", "options": self.ctx.settings["options"]["analysis"]},
        )
        return ToContext(ranking=child)

    def finish(self) -> Any:
        """Return the ranking, and say who is missing from it."""
        child = self.ctx.ranking
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_RANKING_FAILED.format(message=child.exit_message)
        self.out("ranking", child.outputs.ranking)
        self.out("clusters", child.outputs.clusters)
        if self.ctx.failed:
            return self.exit_codes.ERROR_SOME_CANDIDATES_FAILED.format(names=", ".join(sorted(self.ctx.failed)))
        return None


def _part(slug: str, number: int) -> str:
    """Return where the context keeps a part of a candidate's description."""
    return f"described_{slug}_{number:04d}"


def screen_settings(spec: ScreenSpec) -> dict[str, Any]:
    """Return the settings that a specification asks for: protocol, overrides, elements and weights.

    Raises
    ------
    ValueError
        If a setting is unknown or refused.
    """
    settings = protocol_settings(spec.protocol, spec.overrides)
    elements = spec.elements()
    settings["training"]["elements"] = settings["training"]["elements"] or elements
    settings["analysis"]["elements"] = sorted({*settings["analysis"]["elements"], *elements})
    if spec.is_liquid:
        settings["analysis"]["reacted_by"] = "molecules"
    elif spec.host.crystal is not None:
        settings["analysis"]["host"] = json.dumps(spec.host.structure(), sort_keys=True)
    settings["ranking"]["weights"] |= spec.weights
    if complaint := _complaint(settings):
        raise ValueError(complaint)
    return settings


def validate_screen_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that a hybrid trajectory, a description or a ranking would refuse hours later."""
    return None if node is None else _complaint(node.get_dict())


def _complaint(settings: dict[str, Any]) -> str | None:
    if complaint := hybrid_complaint(settings):
        return complaint
    try:
        DescriptionSettings.from_dict(settings.get("analysis"))
        RankingSettings.from_dict(settings.get("ranking"))
    except ValueError as error:
        return str(error)
    return None
