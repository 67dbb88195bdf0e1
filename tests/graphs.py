"""Provenance graphs laid by hand, with the shape that a screen leaves behind and no engine run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.frames import Frames

N_STEPS = 4
TIMESTEP = 0.5


def frames(kind: str, start: float = 0.0, n: int = N_STEPS + 1, seed: int = 0) -> FramesData:
    """A run of one lithium pair, labelled if it is a burst."""
    rng = np.random.default_rng(seed)
    labelled = kind in ("burst", "isolated_atom")
    run = Frames(
        numbers=[3, 3],
        positions=rng.normal(size=(n, 2, 3)),
        cells=np.tile(10.0 * np.eye(3), (n, 1, 1)),
        pbc=[True] * 3,
        times=start + TIMESTEP * np.arange(n),
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

    def process(self, kind, entry_point, inputs, caller=None, call="CALL", state="finished"):
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
            node.set_exit_status(0)
            self.unsealed.append(node)
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
        path.write_bytes(f"model {self.counter}".encode())
        return PotentialData.from_files([path], ["Li"], 5.0, "float64", level_of_theory="key")

    def burst(self, initial, caller, start, seed=0):
        """A burst of AIMD from the last frame of `initial`."""
        md = orm.Dict({"steps": N_STEPS, "timestep_fs": TIMESTEP, "seed": seed})
        job = self.process(orm.CalcJobNode, "haml.cp2k", {"initial": initial, "md": md}, caller, f"burst_{seed}")
        results = orm.Dict({"wall_time_s": 8.0, "seconds_per_step": 2.0, "steps_done": N_STEPS})
        return self.create(job, frames=frames("burst", start, seed=seed), output_parameters=results)

    def train(self, labels, caller, initial=None, state="finished"):
        """A training on labels by key; of each, the last frame is held out."""
        inputs = {f"labels__{key}": node for key, node in labels.items()}
        inputs |= {"settings": orm.Dict({"seed": 1})} | ({"initial": initial} if initial is not None else {})
        job = self.process(orm.CalcJobNode, "haml.train", inputs, caller, "train", state=state)
        split = {k: {"train": [0, 1, 2], "valid": [3], "held_out": [4]} for k in labels}
        results = orm.Dict({"wall_time_s": 30.0})
        return self.create(
            job, potential=self.potential(), errors=orm.Dict({"split": split}), output_parameters=results
        )

    def stretch(self, initial, potential, caller, start, n=9):
        """A stretch of MLP-MD."""
        inputs = {"initial": initial, "potential": potential}
        job = self.process(orm.CalcJobNode, "haml.lammps", inputs, caller, "stretch")
        results = orm.Dict({"wall_time_s": 2.0})
        return self.create(job, frames=frames("stretch", start, n), output_parameters=results)


def lay_screen(builder: Builder, structure_made_in_step: bool = False, ended: bool = True) -> Builder:
    """Lay a screen of one candidate and two cycles; its parts stand in ``builder.made`` by name.

    With `structure_made_in_step`, the structure has no creator: the cut that an audit has to find. Without
    `ended`, the processes can still call others.
    """
    spec = orm.Dict({"label": "pristine", "structure": {}}).store()
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__c000": spec})
    structure = frames("structure", n=1)
    if structure_made_in_step:
        structure.store()
    else:
        made_by = builder.process(orm.CalcFunctionNode, "haml.candidate", {"structure": orm.Dict({})}, screen)
        builder.create(made_by, structure=structure)
    settings = orm.Dict({"temperature": 300}).store()
    hybrid = builder.process(
        orm.WorkChainNode, "haml.hybrid", {"structure": structure, "settings": settings}, screen, "c000"
    )
    first = builder.burst(structure, hybrid, 0.0, 1)
    potential = builder.train({"burst_000": first}, hybrid)
    stretch = builder.stretch(first, potential, hybrid, 2.0)
    second = builder.burst(stretch, hybrid, 6.0, 2)
    refined = builder.train({"burst_000": first, "burst_001": second}, hybrid, potential)
    last = builder.stretch(second, refined, hybrid, 8.0)
    summary = builder.process(orm.CalcFunctionNode, "haml.summarize", {"segment_003": last}, hybrid)
    history = builder.create(summary, result=orm.Dict({"cycles": [], "simulated_fs": 12.0}))
    builder.give_back(hybrid, history=history, potential=refined, segments__segment_000=first)
    describe = builder.process(
        orm.CalcJobNode,
        "haml.describe",
        {"segments__segment_000": first, "segments__segment_001": last},
        screen,
    )
    environments = builder.create(describe, environments=orm.ArrayData(np.zeros(3)))
    rank = builder.process(orm.CalcJobNode, "haml.rank", {"environments__c000": environments}, screen)
    ranking = builder.create(rank, ranking=orm.Dict(RANKING))
    builder.give_back(screen, ranking=ranking)
    if ended:
        builder.end()
    builder.made = {
        "screen": screen, "hybrid": hybrid, "structure": structure, "first": first, "second": second,
        "potential": potential, "refined": refined, "stretch": stretch, "last": last, "ranking": ranking,
    }  # fmt: skip
    return builder


#: A ranking of the agreed form.
RANKING = {
    "candidates": [
        {
            "label": "pristine",
            "rank": 1,
            "score": 0.5,
            "interval": [0.25, 0.75],
            "metrics": {"formation": 0.125},
            "parts": {"formation": 0.5},
            "simulated_fs": 12.0,
            "tied_with": [],
            "status": "ranked",
        }
    ],
    "metrics": {"formation": {"unit": "1", "direction": "high", "weight": 0.35, "description": "how fast"}},
    "clusters": [],
    "distances": [[0.0]],
    "warnings": ["pristine: one seed only"],
    "level_of_theory": "key",
    "teacher": True,
}
