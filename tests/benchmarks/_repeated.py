"""One hybrid run, made again and again: followed to its end whatever happens meanwhile, and told what became of it."""

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _mishaps import ENGINES, processes
from _workplace import Shift, call, daemon_stopped, shifts, stamps, trajectories

TEACHER = {"calculator": "tests.faulty:SlowIons", "parameters": {"seconds": 0.05}}
CELL = {
    "host": "Li6PS5Cl",
    "interface": {"facet": [1, 0, 0], "layers": 1, "max_strain": 0.03},
    "seed": 1,
    "doping": None,
    "compensation": None,
}
SETTINGS: dict[str, Any] = {
    "equilibration": {"relax_steps": 0, "warm_up_steps": 0},
    "hybrid": {"simulated_fs": 70.0},
    "rounds": {
        "n_burst_first": 20,
        "min_burst": 10,
        "n_stretch_first": 40,
        "min_stretch": 40,
        "max_stretch": 40,
        "n_explorations": 0,
        "force_rmse_tolerance": 2.0,
        "max_force_error": 20.0,
        "max_energy_error": 1.0,
    },
    "probes": {"n_probes": 3},
    "distortions": {"n_rattled": 4, "contact_ratios": []},
    "learning": {"num_channels": 4, "steps_first": 100, "steps_per_round": 50, "gate_steps": 5},
}
#: A run in which nothing has happened for so long is taken up by hand, s.
STALLED_S = 120.0

Run = dict[str, Any]


class Bench:
    """The runs of one profile, and what the undisturbed one showed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stamps = folder / "stamps"
        self.repairs = 0

    def start(self, options: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
        """Submit a run with scheduler options of its own, and settings of its own, and return its node."""
        from aiida import orm
        from aiida.engine import submit

        from aiida_haml.codes import find_code
        from aiida_haml.data.frames import FramesData
        from aiida_haml.structures.candidates import build
        from aiida_haml.workchains.hybrid import HybridWorkChain
        from aiida_haml.workchains.label import level_inputs

        codes = {
            name: find_code(role, None)
            for name, role in (("label", "engine"), ("engine", "engine"), ("lammps", "lammps"))
        }
        kinds = {kind: stamps(self.stamps) | options.get(kind, {}) for kind in ("label", "md", "learn")}
        cell = FramesData.from_ase(build(CELL)[0])
        level: orm.Dict = level_inputs("teacher", TEACHER)["level"]
        wanted = {**SETTINGS, "options": kinds, **settings}
        builder = HybridWorkChain.get_builder_from_protocol(cell, codes, level, "quick", wanted)
        return submit(builder)

    def label_atoms(self) -> None:
        """Have the isolated atoms labelled, so that every run finds them in the database."""
        from aiida import orm
        from aiida.engine import submit

        from aiida_haml.codes import find_code
        from aiida_haml.structures.candidates import build
        from aiida_haml.workchains.atoms import AtomsWorkChain
        from aiida_haml.workchains.job import fill
        from aiida_haml.workchains.label import level_inputs

        builder: Any = AtomsWorkChain.get_builder()
        builder.elements = orm.List(sorted(set(build(CELL)[0].get_chemical_symbols())))
        fill(builder, {"label": {"job": {"code": find_code("engine", None), **level_inputs("teacher", TEACHER)}}})
        self.follow(submit(builder))

    def follow(self, node: Any) -> None:
        """Wait for the end of a run, and take it up where nothing happens any more, as `make demo` does."""
        changed, at = None, time.monotonic()
        while not node.is_terminated:
            time.sleep(0.5)
            now = _last_change(node)
            if now != changed:
                changed, at = now, time.monotonic()
            elif any(processes(self.folder, words) for words in ENGINES.values()):
                at = time.monotonic()
            elif time.monotonic() - at > STALLED_S:
                self.take_up()
                at = time.monotonic()

    def take_up(self) -> None:
        """Start the daemon anew, and give it back what the dead one had in its hands."""
        self.repairs += 1
        with daemon_stopped():
            call("verdi", "process", "repair", "--force")

    def run(
        self, mishap: Callable[[Any], bool], options: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> Run:
        """Run once, with something that happens meanwhile, and tell what became of it."""
        self.stamps.unlink(missing_ok=True)
        self.repairs = 0
        started = time.monotonic()
        node = self.start(options, settings or {})
        happened = mishap(node)
        self.follow(node)
        return self._told(node) | {
            "happened": happened,
            "seconds": round(time.monotonic() - started, 1),
            "repairs": self.repairs,
        }

    def _told(self, node: Any) -> Run:
        from aiida import orm

        from aiida_haml.queries import audit, called_descendants

        jobs = [job for pk in called_descendants(node) if isinstance(job := orm.load_node(pk), orm.CalcJobNode)]
        good = [job.base.caching.compute_hash() for job in jobs if job.is_finished_ok]
        scripts = shifts(self.stamps)
        return {
            "pk": node.pk,
            "ended": node.is_finished_ok,
            "message": node.exit_message,
            "jobs": len(jobs),
            "failed": sorted(f"{job.process_label} {job.exit_status}" for job in jobs if not job.is_finished_ok),
            "again": len(good) - len(set(good)) + _after_their_end(scripts),
            "scripts_twice": len(scripts) - len({script.folder for script in scripts}),
            "whole": _is_whole(node),
            "content": _content(node),
            "audit": [str(problem) for problem in audit(node).problems] if node.is_finished_ok else None,
        }


def _last_change(node: Any) -> Any:
    from aiida import orm

    builder = orm.QueryBuilder().append(orm.ProcessNode, project="mtime").order_by({orm.ProcessNode: {"mtime": "desc"}})
    return builder.limit(1).all(flat=True)[0]


def _after_their_end(scripts: list[Shift]) -> int:
    """Return how many scripts were run again though they had come to their end."""
    by_folder: dict[str, list[Shift]] = {}
    for script in sorted(scripts, key=lambda s: s.start):
        by_folder.setdefault(script.folder, []).append(script)
    pairs = itertools.chain.from_iterable(map(itertools.pairwise, by_folder.values()))
    return sum(first.end is not None and first.end < second.start for first, second in pairs)


def _segments(node: Any) -> list[Any]:
    line = trajectories(node).get("trajectory", {}).get("segments", {})
    return [line[name] for name in sorted(line)]


def _is_whole(node: Any) -> bool:
    """Whether the time line has its length with every step once: segments share the frame at which they meet."""
    times = [segment.get_array("times") for segment in _segments(node)]
    if not times:
        return False
    joined = np.concatenate([times[0], *(t[1:] for t in times[1:])])
    settings = node.inputs.settings.get_dict()
    step = settings["dynamics"]["timestep_fs"]
    wanted = step * np.arange(round(settings["hybrid"]["simulated_fs"] / step) + 1)
    return len(joined) == len(wanted) and np.allclose(joined, wanted)


def _content(node: Any) -> list[str]:
    """Return the keys of the contents of all segments and labels: equal keys, equal bits."""
    entries = node.outputs.pool.entries() if "pool" in node.outputs else []
    return [segment.content_key for segment in _segments(node)] + sorted(entry.key for entry in entries)
