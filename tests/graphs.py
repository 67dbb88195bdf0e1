"""Provenance graphs laid by hand, with the shape that a screen leaves behind and no engine run."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage.caching import disable_caching

from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.frames import Frames

N_STEPS = 4
TIMESTEP = 0.5
LABELLED = ("burst", "probes", "relaxation", "isolated_atom")


def frames(kind: str, start: float = 0.0, n: int = N_STEPS + 1, seed: int = 0) -> FramesData:
    """A run of one lithium pair, labelled if it is of a kind that holds labels."""
    rng = np.random.default_rng([LABELLED.index(kind) if kind in LABELLED else 9, seed])
    labelled = kind in LABELLED
    run = Frames(
        numbers=[3, 3],
        positions=rng.normal(size=(n, 2, 3)),
        cells=np.tile(10.0 * np.eye(3), (n, 1, 1)),
        pbc=[True] * 3,
        times=start + TIMESTEP * np.arange(n) if kind not in ("probes", "isolated_atom") else None,
        energies=rng.normal(size=n) if labelled else None,
        forces=rng.normal(size=(n, 2, 3)) if labelled else None,
    )
    return FramesData(run, kind=kind, level_of_theory="key" if labelled else None)


@dataclass
class Builder:
    """Lays processes and their data into the database, as the engine would."""

    computer: orm.Computer
    folder: Path
    counter: int = 0
    unsealed: list[orm.ProcessNode] = field(default_factory=list)
    made: dict[str, orm.Node] = field(default_factory=dict)

    def process(self, kind, entry_point, inputs, caller=None, call="CALL", state="finished", exit_status=0):
        """A process of a node class, with inputs by link label, called by another or started by a person."""
        work = issubclass(kind, orm.WorkflowNode)
        group = "workflows" if work else "calculations"
        node = kind(computer=self.computer) if kind is orm.CalcJobNode else kind()
        node.process_type = f"aiida.{group}:{entry_point}"
        node.base.attributes.set("process_label", entry_point)
        for label, data in inputs.items():
            link = LinkType.INPUT_WORK if work else LinkType.INPUT_CALC
            node.base.links.add_incoming(data if data.is_stored else data.store(), link, label)
        if caller is not None:
            node.base.links.add_incoming(caller, LinkType.CALL_WORK if work else LinkType.CALL_CALC, call)
        node.set_process_state(state)
        if state == "finished":
            node.set_exit_status(exit_status)
            self.unsealed.append(node)
        with disable_caching():  # laid by hand: not to be found with its outputs
            return node.store()

    def end(self):
        """Seal the processes that have finished, as the engine does after their last output."""
        while self.unsealed:
            self.unsealed.pop().seal()

    def create(self, process, **outputs):
        """Outputs that a calculation created."""
        for label, data in outputs.items():
            data.base.links.add_incoming(process, LinkType.CREATE, label)
            data.store()
        return next(iter(outputs.values()))

    def give_back(self, workflow, **outputs):
        """Outputs that a workflow returned."""
        for label, data in outputs.items():
            data if data.is_stored else data.store()
            data.base.links.add_incoming(workflow, LinkType.RETURN, label)

    def potential(self) -> PotentialData:
        """An unstored potential; the bytes of its model are never loaded."""
        self.counter += 1
        path = self.folder / f"{self.counter}.model"
        path.write_bytes(f"model {self.counter} in {self.folder}".encode())  # trust goes by content, across tests
        return PotentialData.from_files([path], ["Li"], 5.0, "float64", level_of_theory="key")

    def label(self, initial, caller=None, kind="burst", start=0.0, seed=0, call="CALL", n=N_STEPS + 1):
        """A job of CP2K on `initial`: a burst of AIMD from its last frame, or single points on each of its frames."""
        inputs = {"initial": initial}
        if kind == "burst":
            inputs["md"] = orm.Dict({"steps": n - 1, "timestep_fs": TIMESTEP, "seed": seed})
        job = self.process(orm.CalcJobNode, "haml.cp2k", inputs, caller, call)
        results = {"wall_time_s": 8.0, "code_version": "2023.1"}
        results |= {"seconds_per_step": 2.0, "steps_done": n - 1} if kind == "burst" else {}
        return self.create(job, frames=frames(kind, start, n, seed=seed), output_parameters=orm.Dict(results))

    def gather(self, labels, caller=None, previous=None):
        """A pool of labels by name, and of all that the one before holds."""
        inputs = {**labels, **({"previous": previous} if previous is not None else {})}
        return self.create(
            self.process(orm.CalcFunctionNode, "haml.gather", inputs, caller),
            result=LabelPoolData.of(labels, previous),
        )

    def train(self, pool, caller=None, champion=None, state="finished", call="learn", trained_on=None, **atoms):
        """A training on a pool, from a champion or from scratch; it tells the keys that it trained on, if any."""
        inputs = {"pool": pool, "settings": orm.Dict({"seed": 1})}
        inputs |= {"champion": champion} if champion is not None else {}
        inputs |= {f"isolated_atoms__{symbol}": node for symbol, node in atoms.items()}
        job = self.process(orm.CalcJobNode, "haml.learn", inputs, caller, call, state=state)
        results, told = orm.Dict({"wall_time_s": 30.0}), {} if trained_on is None else {"trained_on": trained_on}
        return self.create(job, potential=self.potential(), errors=orm.Dict(told), output_parameters=results)

    def stretch(self, initial, potential, caller=None, start=0.0, n=9, call="CALL"):
        """A stretch of MLP-MD."""
        inputs = {"initial": initial, "potential": potential}
        job = self.process(orm.CalcJobNode, "haml.lammps", inputs, caller, call)
        results = orm.Dict({"wall_time_s": 2.0})
        return self.create(job, frames=frames("stretch", start, n, seed=self.counter), output_parameters=results)

    def judge(self, hybrid, number, **reached):
        """The verdicts of a round: how far, in fs, each candidate has got."""
        job = self.process(
            orm.CalcFunctionNode, "haml.judge", {"settings": orm.Dict({})}, hybrid, f"judge_{number:04d}"
        )
        verdicts = {slug: {"action": "accept", "reached_fs": fs} for slug, fs in reached.items()}
        return self.create(job, verdicts=orm.Dict(verdicts))


def lay_screen(
    builder: Builder, structure_made_in_step: bool = False, ended: bool = True, **inputs_of_screen: orm.Data
) -> Builder:
    """Lay a screen of one candidate and two rounds; its parts stand in ``builder.made`` by name.

    With `structure_made_in_step`, the structure has no creator: the cut that an audit has to find. Without
    `ended`, the processes can still call others.
    """
    spec = orm.Dict({"label": "pristine", "temperature_K": 300.0, "seed": 1, "structure": {}}).store()
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__c000": spec, **inputs_of_screen})
    structure = frames("structure", n=1)
    if structure_made_in_step:
        structure.store()
    else:
        made_by = builder.process(orm.CalcFunctionNode, "haml.candidate", {"structure": orm.Dict({})}, screen)
        builder.create(made_by, structure=structure)
    inputs = {"structures__c000": structure, "candidates__c000": spec, "settings": orm.Dict({}).store()}
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", inputs, screen, "dynamics")
    first = builder.label(structure, hybrid, seed=1, call="c000__burst_0000")
    pool = builder.gather({"c000__burst_0000": first}, hybrid)
    potential = builder.train(pool, hybrid, call="learn_0000")
    stretch = builder.stretch(first, potential, hybrid, 2.0, call="c000__stretch_0001")
    second = builder.label(stretch, hybrid, start=6.0, seed=2, call="c000__burst_0001")
    grown = builder.gather({"c000__burst_0001": second}, hybrid, pool)
    refined = builder.train(grown, hybrid, potential, call="learn_0001")
    last = builder.stretch(second, refined, hybrid, 8.0, call="c000__stretch_0002")
    verdicts = builder.judge(hybrid, 2, c000=12.0)
    tell = builder.process(orm.CalcFunctionNode, "haml.history", {"verdicts_0002": verdicts}, hybrid)
    history = builder.create(tell, c000=orm.Dict({"rounds": [], "simulated_fs": 12.0, "n_labels": 0}))
    segments = dict(zip(("0000", "0001", "0002", "0003"), (first, stretch, second, last), strict=True))
    trajectory = {f"trajectories__c000__segments__segment_{n}": node for n, node in segments.items()}
    results = {"potential": refined, "pool": grown, **trajectory, "trajectories__c000__history": history}
    builder.give_back(hybrid, **results)
    builder.give_back(screen, **results)
    described = {f"segments__segment_{n}": node for n, node in segments.items()}
    describe = builder.process(orm.CalcJobNode, "haml.describe", described, screen, "c000__description_0000")
    environments = builder.create(describe, environments=orm.ArrayData(np.zeros(3)))
    rank = builder.process(orm.CalcJobNode, "haml.rank", {"environments__c000": environments}, screen)
    ranking = builder.create(rank, ranking=orm.Dict(RANKING))
    builder.give_back(screen, ranking=ranking)
    if ended:
        builder.end()
    builder.made = {
        "screen": screen, "hybrid": hybrid, "structure": structure, "first": first, "second": second, "pool": pool,
        "grown": grown, "potential": potential, "refined": refined, "stretch": stretch, "last": last,
        "ranking": ranking,
    }  # fmt: skip
    return builder


#: A ranking of the agreed form.
GROUP = "300 K, Li6PS5Cl | Li(100), 20 Å"
RANKING = {
    "candidates": [
        {
            "label": "pristine",
            "group": GROUP,
            "rank": 1,
            "score": 0.5,
            "interval": [0.25, 0.75],
            "verdict": "passivates",
            "sure": True,
            "reason": "the late rate is 0.1 of the early one",
            "status": "passivates: the late rate is 0.1 of the early one",
            "metrics": {"consumed": 3.125},
            "parts": {"consumed": 0.5},
            "replicates": 1,
            "seeds": 1,
            "reservoir": 2.0,
            "simulated_fs": 12.0,
            "tied_with": [],
            "members": ["c000"],
        }
    ],
    "groups": [
        {"name": GROUP, "sentence": f"{GROUP}: pristine: passivates.", "compared_fs": 12.0, "order": ["pristine"]}
    ],
    "metrics": {"consumed": {"unit": "Å", "direction": "low", "weight": 0.35, "half": 10.0, "description": "the cost"}},
    "clusters": [],
    "distances": [[0.0]],
    "warnings": ["Fewer than 3 replicates: pristine."],
    "level_of_theory": "key",
    "teacher": True,
}
