"""The stage of a round in which the potential is tested on what truth said, and taught where it fails."""

from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.engine import ToContext

from aiida_haml.calculations.pool import gather
from aiida_haml.calculations.rounds import port
from aiida_haml.groups import add_labels, add_potentials
from aiida_haml.learning.judge import false_states
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.workchains.learn import LearnWorkChain
from aiida_haml.workchains.moving import MovingWorkChain

#: A challenger has to survive this many times the temperature at which it would drive.
GATE_HEATING = 1.5
#: Share of the judge's tolerance beyond which a label is a reason to train: an error just within it will grow, and a
#: potential that is a little wrong about the way over a barrier goes over it later: nothing that it visits shows that.
TEACH_ABOVE = 0.35
#: The same of energies, of which small errors add up along a reaction, long before one of them is a reason to cut.
TEACH_ENERGIES_ABOVE = 0.2


class LearningWorkChain(MovingWorkChain):
    """What all trajectories of the hybrid dynamics learn from; when is said by its outline."""

    def learn(self) -> ToContext:
        """Gather the labels, test the potential on them, and train another one where it fails."""
        self.gather_labels()
        inputs = self.exposed_inputs(LearnWorkChain, namespace="learn")
        rounds = {slug: self.ctx.trajectories[slug]["round"] for slug in self.ctx.active}
        settings = self.ctx.settings["learning"] | self._lesson()
        inputs["job"] |= {
            "pool": self.ctx.pool,
            "isolated_atoms": self.ctx.atoms,
            "tests": {port(s, n): now[n] for s, now in rounds.items() for n in ("burst", "probes") if n in now},
            "starts": {slug: now["burst"] for slug, now in rounds.items()},
            "settings": orm.Dict(settings),
        }
        if self.ctx.potential is not None:
            inputs["job"]["champion"] = self.ctx.potential
        elif "foundation" in self.inputs:
            inputs["job"]["foundation"] = self.inputs.foundation
        inputs["metadata"] = self.named("learn")
        return ToContext(training=self.submit(LearnWorkChain, **inputs))

    def gather_labels(self) -> None:
        """Let what was labelled join the pool; what of the round before is in a false SCF state teaches no more."""
        more = {"previous": self.ctx.pool} if self.ctx.pool is not None else {}
        if self.ctx.false is not None and more:
            more["verdicts"] = self.ctx.false
        self.ctx.pool = gather(**more, **self.ctx.labels, metadata=self.named("gather", max(self.ctx.round, 0)))
        add_labels([*self.ctx.labels.values(), self.ctx.pool], self.inputs.label.job.level.get_dict())
        self.ctx.labels, self.ctx.false = {}, None

    def settle(self) -> None:
        """Keep what a round without an end has labelled, and what the last one found false, for other runs.

        Too few labels make no pool; they are in the group of their level then, where others find them.
        """
        if self.ctx.pool is not None and (self.ctx.labels or self.ctx.false is not None):
            self.gather_labels()
        elif self.ctx.labels:
            add_labels(list(self.ctx.labels.values()), self.inputs.label.job.level.get_dict())

    def promote(self) -> None:
        """Let the challenger of the round drive from now on, unless it learned from a false SCF state."""
        self.ctx.false = last_of_false_states([self.ctx.verdicts])
        if false := false_states(self.ctx.verdicts.get_dict()):
            told = f"what learned from a false SCF state of {', '.join(false)} is not used."
            self.report(f"round {self.ctx.round}: {told}")
        elif self.ctx.challenger is not None:
            self.ctx.potential = self.ctx.challenger
            add_potentials([self.ctx.potential])

    def _lesson(self) -> dict[str, Any]:
        """Return what a training has to know of this run: elements, how right and how hot a challenger has to be."""
        hottest = max(node["temperature_K"] for node in self.inputs.candidates.values())
        return {
            "elements": self._elements(),
            "force_rmse_tolerance": TEACH_ABOVE * self.ctx.settings["rounds"]["force_rmse_tolerance"],
            "energy_tolerance": TEACH_ENERGIES_ABOVE * self.ctx.settings["rounds"]["max_energy_error"],
            "gate_temperature_K": GATE_HEATING * hottest,
            "gate_timestep_fs": self.ctx.settings["dynamics"]["timestep_fs"],
        } | self._exploration()

    def _exploration(self) -> dict[str, Any]:
        """Return how the first potentials of a run, which know hardly more than its start, explore before they drive.

        One that explored has not driven, and few labels are unseen yet: the challenger, which learned from where it
        came to, need not be better on them.
        """
        settings = LearnerSettings.from_dict(self.ctx.settings["learning"])
        wanted = RoundSettings.from_dict(self.ctx.settings["rounds"]).n_explorations
        has_driven = self.ctx.potential is not None and not self.ctx.is_exploring
        is_wanted = self.ctx.explorations < wanted and not has_driven
        allowed = {"min_gain": max(1 - settings.max_regression, -0.5)} if self.ctx.is_exploring else {}
        return allowed | ({} if is_wanted else {"n_explored": 0})

    def _elements(self) -> list[str]:
        present = {symbol for node in self.inputs.structures.values() for symbol in node.elements}
        return sorted(self.ctx.settings["learning"].get("elements") or present)


def last_of_false_states(verdicts: Iterable[orm.Dict]) -> orm.Dict | None:
    """Return the last verdicts that speak of a false SCF state; None where none do."""
    spoken = (node for node in verdicts if false_states(node.get_dict()))
    return max(spoken, key=lambda node: node.ctime, default=None)
