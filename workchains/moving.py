"""The stages of a round in which trajectories move: stretches with the potential, and labels of what they came to."""

from typing import Any

from aiida import orm

from aiida_haml.calculations.probes import distort_start, select_probes, take_hot
from aiida_haml.calculations.rounds import flat, port
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.noise import noise_complaint
from aiida_haml.learning.plan import Plan, burst_steps
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.learning.seeds import derive
from aiida_haml.workchains import timeline
from aiida_haml.workchains.label import LabelWorkChain
from aiida_haml.workchains.md import MdWorkChain
from aiida_haml.workchains.names import labelled, reading
from aiida_haml.workchains.protocols import md_settings
from aiida_haml.workchains.side_by_side import SideBySideWorkChain

#: Extra of a run's node: why trajectories ended too soon, by slug.
FAILURES_EXTRA = "haml_failures"


class MovingWorkChain(SideBySideWorkChain):
    """What moves the trajectories of the hybrid dynamics; when, and what follows from it, is said by its outline."""

    def numbered(self, kind: str) -> str:
        """Return what a job is called: its kind and the number of the round."""
        return f"{kind}_{self.ctx.round:04d}"

    def fail(self, slug: str, message: str) -> None:
        """End a trajectory with what it has, and say why where queries find it; the others go on."""
        self.ctx.failures = {**self.ctx.failures, slug: self.ctx.failures.get(slug, message)}
        self.node.base.extras.set(FAILURES_EXTRA, dict(self.ctx.failures))
        self.report(f"{slug} ends in round {max(self.ctx.round, 0)}: {message}")
        self.drop(slug)

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return a stretch, a burst or a batch of probes."""
        return {"stretch": self._stretch, "burst": self._burst, "probes": self._probes}[kind](slug)

    def named(self, what: str, number: int | None = None) -> dict[str, str]:
        """Return what a calculation for all is called: by what it does, and the number of the round."""
        name = f"{what}_{self.ctx.round if number is None else number:04d}"
        return {"call_link_label": name, "label": reading(name)}

    def _labelled(self, what: str, slug: str) -> dict[str, Any]:
        return labelled(reading(port(slug, self.numbered(what))))

    def _seed(self, slug: str, role: str) -> int:
        """Return the seed of a draw; a run that goes on draws otherwise than the one before did in its rounds."""
        before = [name for name in flat(self.inputs.get("segments", {})) if name.startswith(port(slug, ""))]
        gone_on = ("after", len(before)) if before else ()
        return derive(self.inputs.candidates[slug]["seed"], role, slug, self.ctx.round, *gone_on)

    def _md(self, slug: str, role: str, steps: int) -> dict[str, Any]:
        temperature = self.inputs.candidates[slug]["temperature_K"]
        return md_settings(self.ctx.settings, steps, temperature, self._seed(slug, role))

    def queue_stretches(self) -> None:
        """Follow every trajectory with the potential, once there is one."""
        for slug in self.ctx.active:
            timeline.begin_round(self.ctx.trajectories[slug])
        if self.ctx.potential is not None:
            self.ctx.waiting = [("stretch", slug) for slug in self.ctx.active if self.ctx.plans[slug]["n_stretch"]]

    def _stretch(self, slug: str) -> tuple[Any, dict[str, Any]]:
        plan = self.ctx.plans[slug]
        inputs = self.exposed_inputs(MdWorkChain, namespace="md")
        md = self._md(slug, "stretch", plan["n_stretch"]) | {"save_every": self.ctx.settings["dynamics"]["save_every"]}
        inputs["job"] |= {
            "initial": self.ctx.trajectories[slug]["last"],
            "potential": self.ctx.potential,
            "md": orm.Dict(md),
            "watch": orm.Dict(plan["watch"]),
        }
        return MdWorkChain, inputs

    def inspect_stretches(self) -> None:
        """Choose what of each stretch is labelled."""
        for slug in list(self.ctx.active):
            had_one = self.was_launched("stretch", slug)
            child = self.take("stretch", slug)
            now = self.ctx.trajectories[slug]["round"]
            hot = {"hot": node} if (node := self.ctx.trajectories[slug]["hot"]) is not None else {}
            if child is None and had_one:
                self.fail(slug, "its stretch could not be run.")
            elif child is not None:
                self._note_stretch(slug, child, now, hot)
            elif self.ctx.potential is None:
                settings, seed = orm.Dict(self.ctx.settings["distortions"]), orm.Int(self._seed(slug, "distortions"))
                now |= distort_start(now["start"], settings, seed, **hot, **self._labelled("distortion", slug))
            elif hot:
                now |= take_hot(**hot, **self._labelled("hot_frames", slug))

    def _note_stretch(self, slug: str, child: orm.ProcessNode, now: dict[str, Any], hot: dict[str, FramesData]) -> None:
        self.ctx.records[port(slug, self.numbered("stretch"))] = child.outputs.output_parameters
        frames = timeline.note_stretch(now, child.outputs)
        if now["seen"]["stopped_by"]:
            self.report(f"{slug}: {child.outputs.output_parameters.get_dict()['reason']}")
        if frames:
            more = hot | ({"pool": self.ctx.pool} if self.ctx.pool is not None else {})
            settings = orm.Dict(self.ctx.settings["probes"])
            more |= self._labelled("selection", slug)
            now |= select_probes(settings=settings, candidate=orm.Str(slug), **frames, **more)

    def queue_labels(self) -> None:
        """Have a burst from the end of the trusted part labelled, and the chosen frames."""
        probed = [slug for slug in self.ctx.active if "selection" in self.ctx.trajectories[slug]["round"]]
        self.ctx.waiting = [("burst", slug) for slug in self.ctx.active] + [("probes", slug) for slug in probed]

    def _burst(self, slug: str) -> tuple[Any, dict[str, Any]]:
        now, plan = self.ctx.trajectories[slug]["round"], self.ctx.plans[slug]
        seen = now.get("seen") or {}
        # A first stop at once is answered by labels at the breach; one more by truth that leads past it.
        is_stuck = bool(seen.get("stopped_by")) and not seen["trusted_steps"] and plan["n_unmoved"] > 0
        passing = seen["stopped_at_step"] if is_stuck else None
        rounds = RoundSettings.from_dict(self.ctx.settings["rounds"])
        left = plan["remaining_steps"] - (seen.get("trusted_steps") or 0)
        steps = burst_steps(rounds, Plan.from_dict({n: plan[n] for n in Plan.__dataclass_fields__}), passing, left)
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs["job"] |= {
            "initial": now.get("stretch", now["start"]),
            "md": orm.Dict(self._md(slug, "burst", steps)),
        }
        if (remote := self.ctx.trajectories[slug]["remote"]) is not None:
            inputs["job"]["parent_folder"] = remote
        return LabelWorkChain, inputs

    def _probes(self, slug: str) -> tuple[Any, dict[str, Any]]:
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs["job"] |= {"initial": self.ctx.trajectories[slug]["round"]["selection"]}
        if (remote := self.ctx.trajectories[slug]["remote"]) is not None:
            inputs["job"]["parent_folder"] = remote
        return LabelWorkChain, inputs

    def inspect_labels(self) -> None:
        """Collect what was labelled; without a burst a trajectory cannot go on, without probes it can."""
        for slug in list(self.ctx.active):
            now = self.ctx.trajectories[slug]["round"]
            burst, probes = self.take("burst", slug), self.take_or_tell("probes", slug)
            if probes is not None:
                now |= {"probes": probes.outputs.frames, "parameters": probes.outputs.output_parameters}
                self.ctx.labels[port(slug, self.numbered("probes"))] = now["probes"]
            if burst is None:
                self.fail(slug, "its burst gave no labels.")
                continue
            now["burst"] = burst.outputs.frames
            now["remote"] = burst.outputs.remote_folder if "remote_folder" in burst.outputs else None
            if complaint := noise_complaint(now["burst"].force_noise):
                self.ctx.labels.pop(port(slug, self.numbered("probes")), None)  # the same is wrong with them
                self.fail(slug, complaint)
                continue
            self.ctx.labels[port(slug, self.numbered("burst"))] = now["burst"]
