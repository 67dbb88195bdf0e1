"""The screen: cells built, followed by the hybrid dynamics in one learner, described, and ranked."""

from typing import Any

from aiida import orm
from aiida.engine import ToContext, if_, while_

from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.calculations.building import build_candidate
from aiida_haml.calculations.describe import segments_ahead
from aiida_haml.calculations.label_engines import label_engine
from aiida_haml.calculations.levels import theory_key
from aiida_haml.codes import find_code
from aiida_haml.data.frames import FramesData
from aiida_haml.groups import add_screen
from aiida_haml.spec import ScreenSpec
from aiida_haml.workchains.analysis import DescribeWorkChain, RankWorkChain
from aiida_haml.workchains.hybrid import HybridWorkChain
from aiida_haml.workchains.inputs import SECTIONS, engine_inputs
from aiida_haml.workchains.job import fill, restart_inputs
from aiida_haml.workchains.label import level_inputs
from aiida_haml.workchains.lattices import LatticesWorkChain, asks_for_relaxation
from aiida_haml.workchains.names import labelled
from aiida_haml.workchains.protocols import protocol_settings
from aiida_haml.workchains.screen_settings import screen_settings, screen_starts, validate_screen_settings
from aiida_haml.workchains.side_by_side import SideBySideWorkChain, why

#: Segments that one job describes: a trajectory that has grown is described anew from its last whole batch on.
SEGMENTS_PER_DESCRIPTION = 20


class ScreenWorkChain(SideBySideWorkChain):
    """Build candidates, follow all of them in rounds that share one learner, and rank them.

    A cell that cannot be built, or a trajectory that fails, is a failed candidate and no failed screen. A screen
    that is extended, or that candidates are added to, goes on from the time lines and labels of the one before.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(HybridWorkChain, exclude=("structures", "settings", "max_in_flight"))
        spec.expose_inputs(
            DescribeWorkChain,
            namespace="analysis",
            exclude=tuple(f"job.{name}" for name in ("segments", "settings", "built", "previous", "origin")),
        )
        spec.inputs["analysis"]["job"].validator = None  # it asks for what is filled in here, later
        spec.input(
            "settings", valid_type=orm.Dict, validator=validate_screen_settings, help="As a protocol gives them."
        )
        spec.input("specification", valid_type=orm.Dict, required=False, help="What a person wrote, for the record.")
        spec.input_namespace(
            "histories", dynamic=True, required=False, valid_type=orm.Dict, help="Of time lines that are gone on with."
        )
        spec.output("ranking", valid_type=orm.Dict, required=False, help="The ranking, with its parts.")
        spec.output("clusters", valid_type=orm.ArrayData, required=False, help="Environments over all candidates.")
        spec.expose_outputs(HybridWorkChain)
        spec.outline(
            cls.setup,
            if_(cls.wants_lattices)(cls.relax_lattices, cls.inspect_lattices),
            cls.build,
            cls.follow,
            cls.inspect_dynamics,
            while_(cls.has_waiting)(cls.launch),
            cls.rank,
            cls.finish,
        )
        spec.exit_code(400, "ERROR_NO_CELL", message="Not one cell could be built; the first: {message}")
        spec.exit_code(401, "ERROR_ALL_CANDIDATES_FAILED", message="Not one candidate could be followed: {message}")
        spec.exit_code(402, "ERROR_RANKING_FAILED", message="The ranking failed: {message}")
        some = "Ranked without the candidates that failed: {names}."
        spec.exit_code(410, "ERROR_SOME_CANDIDATES_FAILED", message=some)
        spec.exit_code(411, "ERROR_ENDED_EARLY", message="Ranked as far as it came; it ended early: {message}")

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
            Merged into the protocol's settings. ``learning.elements`` has to name all elements of the candidates.

        Raises
        ------
        ValueError
            If the protocol, the level or an override is unknown or refused.
        """
        settings = protocol_settings(protocol, overrides)
        return cls._builder(candidates, codes, level_inputs(level), settings)

    @classmethod
    def get_builder_from_spec(cls, spec: ScreenSpec) -> Any:
        """Return a builder for a screen as a person specified it.

        Raises
        ------
        ValueError
            If a setting is unknown or refused, CP2K's data are not found, or what it starts from does not go with it.
        LookupError
            If a code is not set up.
        """
        level = level_inputs(spec.level_name, spec.theory, spec.gaussians)
        roles = {"label": label_engine(level["level"]["engine"]).role, "engine": "engine", "lammps": "lammps"}
        codes = {port: find_code(role, getattr(spec.codes, role)) for port, role in roles.items()}
        settings = screen_settings(spec)
        builder = cls._builder(spec.candidates(), codes, level, settings)
        fill(builder, screen_starts(spec, settings, theory_key(level["level"].get_dict()), codes["label"]))
        builder.max_in_flight = orm.Int(spec.max_in_flight)
        builder.specification = orm.Dict(spec.model_dump(mode="json"))
        builder.metadata.label = spec.name
        return builder

    @classmethod
    def _builder(
        cls,
        candidates: dict[str, dict[str, Any]],
        codes: dict[str, orm.AbstractCode],
        level: dict[str, Any],
        settings: dict[str, Any],
    ) -> Any:
        analysis = {"code": codes["engine"], "metadata": {"options": settings["options"]["analysis"]}}
        builder: Any = cls.get_builder()
        builder.candidates = {slug: orm.Dict(content) for slug, content in candidates.items()}
        builder.settings = orm.Dict({name: settings[name] for name in settings if name not in ("options", "restarts")})
        fill(builder, engine_inputs(codes, level, settings))
        fill(builder, {"analysis": {"job": analysis} | restart_inputs(settings)})
        return builder

    # -- cells and dynamics --------------------------------------------------------------------------------

    def setup(self) -> None:
        """Join the screens of the same owner and name, and set the counters."""
        specification = self.inputs.specification.get_dict() if "specification" in self.inputs else {}
        add_screen(self.node, self.node.label or str(self.node.pk), specification)
        self.ctx.settings = self.inputs.settings.get_dict()
        self.prepare(sorted(self.inputs.candidates))
        self.ctx.structures = {}
        self.ctx.parts = {}
        self.ctx.trajectories = {}
        self.ctx.specifications = {
            slug: orm.Dict(self.inputs.candidates[slug]["structure"]) for slug in self.inputs.candidates
        }

    def wants_lattices(self) -> bool:
        """Whether the cells are built of lattice constants at the level of theory."""
        return asks_for_relaxation(self.ctx.settings)

    def relax_lattices(self) -> ToContext:
        """Relax the electrolytes' bulk and the metal, or find them in the database."""
        inputs = {
            "label": self.exposed_inputs(HybridWorkChain)["label"],
            "candidates": dict(self.inputs.candidates),
            "settings": orm.Dict(self.ctx.settings["lattice"]),
            "max_in_flight": self.inputs.max_in_flight,
            "metadata": {"call_link_label": "lattices"},
        }
        return ToContext(lattices=self.submit(LatticesWorkChain, **inputs))

    def inspect_lattices(self) -> None:
        """Take the constants; a candidate without them has failed."""
        child = self.ctx.lattices
        found = child.outputs.specifications if "specifications" in child.outputs else {}
        self.ctx.specifications = dict(found)
        for slug in [slug for slug in self.ctx.active if slug not in found]:
            self.ctx.failures = {**self.ctx.failures, slug: why(child)}
            self.drop(slug)

    def build(self) -> Any:
        """Build all cells before they are followed; one that cannot be built is a failed candidate."""
        for slug in list(self.ctx.active):
            given = self.ctx.specifications[slug]
            built, node = build_candidate.run_get_node(given, **labelled(f"cell of {slug}"))
            if built is not None and node.is_finished_ok:
                self.ctx.structures[slug] = built["structure"]
                continue
            self.report(f"{slug}: {node.exit_message}")
            self.ctx.failures = {**self.ctx.failures, slug: node.exit_message}
            self.drop(slug)
        if not self.ctx.structures:
            return self.exit_codes.ERROR_NO_CELL.format(message=next(iter(self.ctx.failures.values())))
        return None

    def follow(self) -> ToContext:
        """Follow all candidates by the hybrid dynamics."""
        inputs = self.exposed_inputs(HybridWorkChain)
        inputs |= {
            "structures": self.ctx.structures,
            "candidates": {slug: self.inputs.candidates[slug] for slug in self.ctx.structures},
            "settings": orm.Dict({name: self.ctx.settings[name] for name in SECTIONS}),
            "max_in_flight": self.inputs.max_in_flight,
            "metadata": {"call_link_label": "dynamics", "label": self.node.label},
        }
        return ToContext(dynamics=self.submit(HybridWorkChain, **inputs))

    def inspect_dynamics(self) -> Any:
        """Take every time line that there is, whatever ended it, and queue its description."""
        child = self.ctx.dynamics
        self.out_many(self.exposed_outputs(child, HybridWorkChain))
        trajectories = child.outputs.trajectories if "trajectories" in child.outputs else {}
        for slug in self.ctx.active:
            if slug not in trajectories or "segments" not in trajectories[slug]:
                self.ctx.failures = {**self.ctx.failures, slug: "it has no time line"}
                continue
            self.ctx.trajectories[slug] = trajectories[slug]
            labels = sorted(trajectories[slug]["segments"])
            starts = range(0, len(labels), SEGMENTS_PER_DESCRIPTION)
            self.ctx.parts[slug] = [labels[i : i + SEGMENTS_PER_DESCRIPTION] for i in starts]
        self.ctx.waiting = [
            (f"description_{part:04d}", slug) for slug, parts in self.ctx.parts.items() for part in range(len(parts))
        ]
        if not child.is_finished_ok and not self.ctx.parts:
            return self.exit_codes.ERROR_ALL_CANDIDATES_FAILED.format(message=why(child))
        return None

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return the description of a batch of segments."""
        batch = self.ctx.parts[slug][int(kind.rpartition("_")[2])]
        segments: dict[str, FramesData] = dict(self.ctx.trajectories[slug]["segments"])
        settings = self.ctx.settings["analysis"]
        inputs = self.exposed_inputs(DescribeWorkChain, namespace="analysis")
        inputs["job"] |= {
            "segments": {label: segments[label] for label in batch},
            "built": self.ctx.structures[slug],
            "settings": orm.Dict(settings),
        }
        if before := segments_ahead(segments, batch[0], DescriptionSettings.from_dict(settings)):
            inputs["job"] |= {"previous": before, "origin": segments[min(segments)]}
        return DescribeWorkChain, inputs

    # -- ranking -------------------------------------------------------------------------------------------

    def rank(self) -> Any:
        """Rank the candidates that were described whole."""
        described: dict[str, dict[str, orm.ProcessNode]] = {}
        for slug, parts in self.ctx.parts.items():
            jobs = {f"part_{i:04d}": self.take(f"description_{i:04d}", slug) for i in range(len(parts))}
            good = {part: job for part, job in jobs.items() if job is not None}
            if len(good) == len(jobs):
                described[slug] = good
        if not described:
            return self.exit_codes.ERROR_ALL_CANDIDATES_FAILED.format(message=str(self.ctx.failures))
        earlier = self.inputs.get("histories", {})
        histories = {slug: self.ctx.trajectories[slug].get("history", earlier.get(slug)) for slug in described}
        inputs = {name: self.inputs.analysis[name] for name in ("max_iterations", "clean_workdir")}
        inputs["job"] = {
            "code": self.inputs.analysis.job.code,
            **{port: _outputs(described, port) for port in ("environments", "series")},
            "candidates": {slug: self.inputs.candidates[slug] for slug in described},
            "histories": {slug: node for slug, node in histories.items() if node is not None},
            "level": self.inputs.label.job.level,
            "settings": orm.Dict(self.ctx.settings["ranking"]),
            "metadata": {"options": self._analysis_options()},
        }
        return ToContext(ranking=self.submit(RankWorkChain, **inputs, metadata={"call_link_label": "rank"}))

    def _analysis_options(self) -> dict[str, Any]:
        """Return the scheduler options of descriptions, for another job: its parser is its own."""
        options = dict(self.inputs.analysis.job.metadata.get("options", {}))
        return {name: value for name, value in options.items() if name != "parser_name"}

    def finish(self) -> Any:
        """Return the ranking, and say who is missing from it."""
        child = self.ctx.ranking
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_RANKING_FAILED.format(message=why(child))
        self.out("ranking", child.outputs.ranking)
        self.out("clusters", child.outputs.clusters)
        failed = set(self.ctx.failures) | set(self.ctx.dynamics.base.extras.get("haml_failures", {}))
        if failed:
            return self.exit_codes.ERROR_SOME_CANDIDATES_FAILED.format(names=", ".join(sorted(failed)))
        if not self.ctx.dynamics.is_finished_ok:
            return self.exit_codes.ERROR_ENDED_EARLY.format(message=why(self.ctx.dynamics))
        return None


def _outputs(jobs: dict[str, dict[str, orm.ProcessNode]], port: str) -> dict[str, dict[str, orm.Data]]:
    return {slug: {part: job.outputs[port] for part, job in parts.items()} for slug, parts in jobs.items()}
