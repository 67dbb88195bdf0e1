"""Graphs of screens by bulk insertion: the nodes, links and attributes that rounds leave, by the hundred thousand."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

N_FRAMES = 21
#: What decides the labels' values, and the code's version.
THEORY = "pbe-0123456789ab"
LEVEL = f"{THEORY}@cp2k-2023.1"
#: A component whose lattice constant each screen looks for.
COMPONENT = {"host": {"name": "Li6PS5Cl"}}
#: Rows in one statement.
_BATCH = 20_000
_TYPES = {
    "frames": "data.haml.frames.FramesData.", "pool": "data.haml.pool.LabelPoolData.",
    "potential": "data.haml.potential.PotentialData.", "dict": "data.core.dict.Dict.",
    "array": "data.core.array.ArrayData.", "folder": "data.core.folder.FolderData.",
    "remote": "data.core.remote.RemoteData.", "code": "data.core.code.installed.InstalledCode.",
    "job": "process.calculation.calcjob.CalcJobNode.", "function": "process.calculation.calcfunction.CalcFunctionNode.",
    "chain": "process.workflow.workchain.WorkChainNode.",
}  # fmt: skip
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Bulk:
    """Nodes and links that are laid in memory and written at once.

    Parameters
    ----------
    seed : int
        Of keys and parts of labels.
    """

    seed: int = 0
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    members: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from aiida_haml.storage import read, tables

        highest = read(sa.select(sa.func.max(tables().node.id)))[0][0] or 0
        self._pks = itertools.count(highest + 1)
        self._rng = np.random.default_rng(self.seed)
        from aiida import orm

        self._user = orm.User.collection.get_default().pk
        self._code = self.node("code", {"label": "code"})
        self._atom = self.label(
            self.process("job", "haml.cp2k", initial=self.frames("structure", 1)), "isolated_atom", 1
        )

        constant = {"component": COMPONENT, "level_of_theory": LEVEL, "constant_A": 9.9, "pressure_GPa": 0.0}
        made = self.node("function", {"process_label": "lattice_constant"}, _constant_type())
        self.create(made, "result", self.dict(**constant))

    # -- nodes ---------------------------------------------------------------------------------------------

    def node(self, kind: str, attributes: dict[str, Any], process_type: str | None = None, label: str = "") -> int:
        """Lay a node; return its pk."""
        pk = next(self._pks)
        time = _START + timedelta(seconds=pk)
        self.nodes.append(
            {
                "id": pk, "uuid": str(uuid.UUID(int=int(self._rng.integers(2**62)) << 64 | pk)),
                "node_type": _TYPES[kind], "process_type": process_type, "label": label, "description": "",
                "ctime": time, "mtime": time + timedelta(seconds=60), "attributes": attributes,
                "extras": {"_aiida_hash": f"{pk:064x}"}, "repository_metadata": {}, "dbcomputer_id": None,
                "user_id": self._user,
            }
        )  # fmt: skip
        return pk

    def link(self, source: int, target: int, kind: str, label: str) -> None:
        """Lay a link."""
        self.links.append({"input_id": source, "output_id": target, "type": kind, "label": label})

    def process(self, kind: str, entry_point: str, caller: int | None = None, call: str = "CALL", **inputs: int) -> int:
        """Lay a finished process with its inputs."""
        work = kind == "chain"
        attributes = {
            "process_label": entry_point, "process_state": "finished", "exit_status": 0, "sealed": True,
            "version": {"core": "2.9.4", "plugin": "0.1.0"},
        }  # fmt: skip
        if kind == "job":
            attributes |= {"scheduler_lastchecktime": "2030-01-01T00:00:00+00:00", "remote_workdir": f"/scratch/{call}"}
            inputs["code"] = self._code
        group = "workflows" if work else "calculations"
        label = entry_point if kind == "chain" else ""
        pk = self.node(kind, attributes, f"aiida.{group}:{entry_point}", label)
        if caller is not None:
            self.link(caller, pk, "call_work" if work else "call_calc", call)
        for name, source in inputs.items():
            self.link(source, pk, "input_work" if work else "input_calc", name)
        return pk

    def create(self, process: int, name: str, data: int) -> int:
        """Link an output to the calculation that made it."""
        self.link(process, data, "create", name)
        return data

    def frames(self, kind: str, n: int, end: float = 0.0) -> int:
        """Lay frames."""
        level = LEVEL if kind in ("burst", "probes", "relaxation", "isolated_atom") else None
        attributes = {
            "kind": kind, "level_of_theory": level, "n_frames": n, "n_atoms": 68,
            "elements": ["Li"] if kind == "isolated_atom" else ["Cl", "Li", "P", "S"],
            "formula": "Cl4Li40P4S20", "time_start": end - n + 1, "time_end": end,
        }  # fmt: skip
        name = f"atom Li {level}" if kind == "isolated_atom" else ""
        pk = self.node("frames", attributes, label=name)
        if level is not None:
            self.members.setdefault("haml.labels", []).append(pk)
        return pk

    def dict(self, **content: Any) -> int:
        """Lay a Dict."""
        return self.node("dict", content)

    # -- what a screen consists of -------------------------------------------------------------------------

    def label(self, job: int, kind: str, n: int, end: float = 0.0) -> int:
        """Lay what a job of CP2K leaves; return the frames."""
        results = {"wall_time_s": 40.0, "seconds_per_step": 2.0, "steps_done": n - 1, "code_version": "2023.1"}
        self.create(job, "output_parameters", self.dict(**results))
        self.create(job, "retrieved", self.node("folder", {}))
        self.create(job, "remote_folder", self.node("remote", {"remote_path": f"/scratch/{job}"}))
        return self.create(job, "frames", self.frames(kind, n, end))

    def gather(self, number: int, previous: int | None, labels: dict[str, int], caller: int, n: int = N_FRAMES) -> int:
        """Lay a pool of labels by name."""
        inputs = {**labels, **({"previous": previous} if previous is not None else {})}
        columns = {name: self._columns(n) for name in labels}
        pool = {
            "level_of_theory": LEVEL, "round": number, "n_new": n * len(labels), "elements": ["Cl", "Li", "P", "S"],
            "n_labels": (number + 1) * n * len(labels), "previous": None if previous is None else "0" * 64,
            "labels": columns,
        }  # fmt: skip
        made = self.process("function", "haml.gather", caller, f"gather_{number:04d}", **inputs)
        pk = self.create(made, "result", self.node("pool", pool))
        self.members["haml.labels"].append(pk)
        return pk

    def _columns(self, n: int) -> dict[str, Any]:
        chances = self._rng.random(n)
        return {
            "source": "0" * 64, "kind": "burst", "n_dropped": 0, "frame": list(range(n)),
            "key": [f"{key:016x}" for key in self._rng.integers(2**62, size=n)],
            "part": ["held_out" if c < 0.1 else "valid" if c < 0.2 else "train" for c in chances],
            "max_force": [1.0] * n,
        }  # fmt: skip

    def learn(self, number: int, pool: int, champion: int | None, caller: int, wins: bool = True) -> int | None:
        """Lay a round of learning; return the potential, if the challenger won."""
        inputs = {"pool": pool, "isolated_atoms__Li": self._atom, "settings": self.dict(seed=number)}
        inputs |= {"champion": champion} if champion is not None else {}
        chain = self.process("chain", "haml.learn", caller, f"learn_{number:04d}", **inputs)
        job = self.process("job", "haml.learn", chain, "iteration_01", **inputs)
        self.create(job, "errors", self.dict(reason="the challenger is better"))
        self.create(job, "output_parameters", self.dict(wall_time_s=30.0))
        self.create(job, "retrieved", self.node("folder", {}))
        if not wins:
            return None
        attributes = {
            "n_members": 2, "sha256": [f"{job:064x}"] * 2, "elements": ["Cl", "Li", "P", "S"], "cutoff": 5.0,
            "precision": "float32", "level_of_theory": LEVEL, "errors": {"held_out": {"force_rmse": 0.1}},
        }  # fmt: skip
        potential = self.create(job, "potential", self.node("potential", attributes))
        self.members.setdefault("haml.potentials", []).append(potential)
        return potential

    def stretch(self, slug: str, number: int, initial: int, potential: int, caller: int, end: float) -> int:
        """Lay a stretch of MLP-MD; return its frames."""
        inputs = {"initial": initial, "potential": potential, "md": self.dict(steps=100, timestep_fs=1.0)}
        chain = self.process("chain", "haml.md", caller, f"{slug}__stretch_{number:04d}", **inputs)
        job = self.process("job", "haml.lammps", chain, "iteration_01", watch=self.dict(max_deviation=0.3), **inputs)
        self.create(job, "output_parameters", self.dict(wall_time_s=10.0, trusted_steps=100))
        self.create(job, "retrieved", self.node("folder", {}))
        return self.create(job, "frames", self.frames("stretch", 11, end))

    def labelled(self, slug: str, number: int, kind: str, initial: int, caller: int, end: float) -> int:
        """Lay a burst or probes; return the frames."""
        inputs = {"initial": initial}
        if kind == "burst":
            inputs["md"] = self.dict(steps=N_FRAMES - 1, timestep_fs=1.0)
        chain = self.process("chain", "haml.label", caller, f"{slug}__{kind}_{number:04d}", **inputs)
        job = self.process("job", "haml.cp2k", chain, "iteration_01", **inputs)
        return self.label(job, kind, N_FRAMES if kind == "burst" else 8, end)

    def screen(self, n_candidates: int, n_rounds: int, label: str = "screen") -> int:
        """Lay a screen of so many candidates and rounds; return its pk."""
        slugs = [f"c{i:03d}" for i in range(n_candidates)]
        given = {f"candidates__{slug}": self.dict(label=slug, structure={"host": "Li6PS5Cl"}) for slug in slugs}
        screen = self.process("chain", "haml.screen", **given)
        self.nodes[-1]["label"] = label
        last = {}
        for slug in slugs:
            built = self.process("function", "haml.candidate", screen, "build", structure=self.dict(host="Li6PS5Cl"))
            last[slug] = self.create(built, "structure", self.frames("structure", 1))
        inputs = given | {f"structures__{slug}": pk for slug, pk in last.items()}
        hybrid = self.process("chain", "haml.hybrid", screen, "dynamics", **inputs)
        pool = potential = None
        segments: dict[str, list[int]] = {slug: [] for slug in slugs}
        for number in range(n_rounds):
            labels, end = {}, 120.0 * (number + 1)
            for slug in slugs:
                if potential is not None:
                    last[slug] = self.stretch(slug, number, last[slug], potential, hybrid, end - 20)
                    segments[slug].append(last[slug])
                    chosen = self.process(
                        "function", "haml.select_probes", hybrid, f"{slug}__select_{number:04d}", frames=last[slug]
                    )
                    self.create(chosen, "why", self.dict(frames=[{"reason": "far"}] * 8))
                    selection = self.create(chosen, "selection", self.frames("selection", 8))
                    name = f"{slug}__probes_{number:04d}"
                    labels[name] = self.labelled(slug, number, "probes", selection, hybrid, end)
                last[slug] = self.labelled(slug, number, "burst", last[slug], hybrid, end)
                segments[slug].append(last[slug])
                labels[f"{slug}__burst_{number:04d}"] = last[slug]
            pool = self.gather(number, pool, labels, hybrid, n=8)
            potential = self.learn(number, pool, potential, hybrid, wins=number % 2 == 0) or potential
            judged = self.process("function", "haml.judge", hybrid, f"judge_{number:04d}", settings=self.dict())
            told = {slug: {"action": "accept", "reached_fs": end, "reason": "all probes agree"} for slug in slugs}
            self.create(judged, "verdicts", self.dict(**told))
            self.create(judged, "calibration", self.dict(threshold=0.3))
        self._finish(screen, hybrid, segments, {"pool": pool, "potential": potential}, 120.0 * n_rounds)
        return screen

    def _finish(
        self, screen: int, hybrid: int, segments: dict[str, list[int]], results: dict[str, int | None], end: float
    ) -> None:
        parts, slugs = {}, list(segments)
        told = self.process("function", "haml.history", hybrid, "history", settings=self.dict())
        for slug in slugs:
            history = self.create(told, slug, self.dict(rounds=[], simulated_fs=end))
            self.link(hybrid, history, "return", f"trajectories__{slug}__history")
            for i, segment in enumerate(segments[slug]):
                self.link(hybrid, segment, "return", f"trajectories__{slug}__segments__segment_{i:04d}")
            for part, start in enumerate(range(0, len(segments[slug]), 20)):
                batch = {f"segments__{i:04d}": pk for i, pk in enumerate(segments[slug][start : start + 20])}
                job = self.process("job", "haml.describe", screen, f"{slug}__description_{part:04d}", **batch)
                parts[f"environments__{slug}__part_{part:04d}"] = self.create(
                    job, "environments", self.node("array", {})
                )
        for name, pk in results.items():
            if pk is not None:
                self.link(hybrid, pk, "return", name)
        rank = self.process("job", "haml.rank", screen, "rank", **parts)
        lines = [{"label": slug, "rank": i + 1, "score": 0.5, "status": "ranked"} for i, slug in enumerate(slugs)]
        ranking = self.create(rank, "ranking", self.dict(candidates=lines, level_of_theory=LEVEL))
        self.link(screen, ranking, "return", "ranking")

    def chain(self, n_trainings: int) -> int:
        """Lay so many trainings, each from the one before; return the last potential."""
        start = self.frames("structure", 1)
        screen = self.process("chain", "haml.screen", structure=start)
        pool = potential = None
        for number in range(n_trainings):
            label = self.labelled("c000", number, "burst", start, screen, 20.0)
            pool = self.gather(number, pool, {f"c000__burst_{number:04d}": label}, screen, n=2)
            potential = self.learn(number, pool, potential, screen)
        assert potential is not None
        return potential

    # -- the database --------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write everything, and forget it."""
        from aiida.manage import get_manager

        from aiida_haml.storage import is_sqlite, tables

        found, listed = tables(), (self.nodes, self.links)
        storage: Any = get_manager().get_profile_storage()
        session = storage.get_session()
        with storage.transaction():
            for table, rows in zip((found.node.__table__, found.link.__table__), listed, strict=True):
                for batch in _batches(rows):
                    session.execute(sa.insert(table), batch)
            if not is_sqlite():
                for name in ("db_dbnode", "db_dblink"):
                    session.execute(sa.text(f"SELECT setval('{name}_id_seq', (SELECT MAX(id) FROM {name}))"))
        for kind, pks in self.members.items():
            self._put(storage, kind, pks)
        self.nodes, self.links, self.members = [], [], {}

    def _put(self, storage: Any, kind: str, pks: list[int]) -> None:
        """Put nodes into the group of their level."""
        from aiida_haml.groups import LabelGroup, PotentialGroup

        cls: Any = {"haml.labels": LabelGroup, "haml.potentials": PotentialGroup}[kind]
        group = cls.collection.get_or_create(label=LEVEL)[0].pk
        member = sa.table("db_dbgroup_dbnodes", sa.column("dbnode_id"), sa.column("dbgroup_id"))
        with storage.transaction():
            for batch in _batches([{"dbnode_id": pk, "dbgroup_id": group} for pk in pks]):
                storage.get_session().execute(sa.insert(member), batch)


def _constant_type() -> str:
    from aiida_haml.calculations.lattices import lattice_constant

    return str(lattice_constant.process_class.build_process_type())


def _batches(rows: list[Any]) -> Iterator[list[Any]]:
    return (rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH))
