"""MLP-MD: LAMMPS with a MACE potential, from exact positions and velocities, under a watch."""

import dataclasses
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo, CodeRunMode
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_lammps.calculations.raw import LammpsRawCalculation

from aiida_haml.calculations.base import USABLE_WALL_TIME, export_threads, failures_are_no_cache, validate_potential
from aiida_haml.calculations.molecular_dynamics import validate_initial
from aiida_haml.calculations.stretch_inputs import (
    fault_of_frame,
    validate_settings,
    validate_stretch_md,
    validate_watch,
)
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.engines import lammps_dump, lammps_files
from aiida_haml.engines.stretch import CHECKS, PRECISIONS, RESULTS, TASK, StretchTask
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames, maxwell_boltzmann

#: Share of the usable wall time that LAMMPS gets where it is watched afterwards.
SHARE_OF_WATCHED = 2 / 3
#: What a LAMMPS of another make takes before its own clock starts (Python, torch, the model), s, which no run can
#: measure ahead: our choice. A short wall time loses no more than half of it.
START_UP_S = 60.0
#: What the watch prints where it is a program of its own.
WATCH_LOG = "watch.log"


class LammpsMdCalculation(LammpsRawCalculation):
    """A stretch: NVT dynamics of the last frame of a node under the first member of a committee.

    The code is `haml-lammps`, or a LAMMPS built with ML-IAP, which takes the same deck but does not know the
    watch. Such a run is watched afterwards, over the frames that it saved, by the code `watcher` (haml-engine) in the
    same job. For a LAMMPS with KOKKOS (not tested here) give ``settings``

        {"cmdline": ["-k", "on", "g", "1", "-sf", "kk", "-pk", "kokkos", "newton", "on", "neigh", "half"],
         "model_file": "member_0.model-mliap_lammps.pt"}

    and convert the model first, by ``mace_create_lammps_model member_0.model --format=mliap`` in
    ``metadata.options.prepend_text``. Where only LAMMPS is to run under MPI, say so on its code (`with_mpi`).
    """

    #: Raise when the deck or the launcher compute something else from the same inputs.
    CACHE_VERSION = 2

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Replace the script and files of aiida-lammps by nodes that carry science."""
        super().define(spec)
        ports: Any = spec.inputs
        for name in ("script", "files", "filenames"):
            del ports[name]
        del spec.outputs["results"]
        options = ports["metadata"]["options"]
        options["parser_name"].default = "haml.lammps"
        options["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        options["withmpi"].default = False
        ports["code"].required = True
        ports["settings"].validator = validate_settings
        spec.input("initial", valid_type=FramesData, validator=validate_initial, help="Its last frame is the start.")
        spec.input(
            "potential",
            valid_type=PotentialData,
            validator=validate_potential,
            help="Its driver drives the dynamics; the other members are compared with it by the watch.",
        )
        spec.input(
            "md",
            valid_type=orm.Dict,
            validator=validate_stretch_md,
            help="steps, timestep_fs, temperature_K, thermostat_time_fs, seed and save_every (steps).",
        )
        spec.input(
            "watch",
            valid_type=orm.Dict,
            validator=validate_watch,
            help="Thresholds: what ends the stretch, and what is given back then.",
        )
        spec.input(
            "watcher",
            valid_type=orm.AbstractCode,
            required=False,
            help="haml-engine, for a LAMMPS that does not watch: it looks at the saved frames when the run is over.",
        )
        spec.output("frames", valid_type=FramesData, help="Trusted frames; the first one is the initial frame.")
        spec.output("untrusted", valid_type=FramesData, required=False, help="What came after the last trusted frame.")
        spec.output(
            "checks",
            valid_type=orm.ArrayData,
            required=False,
            help="What each check measured: steps, energies, distances of pairs of elements, ...",
        )
        spec.output("output_parameters", valid_type=orm.Dict, help="How it ended, times, temperatures, parity.")
        spec.default_output_node = "output_parameters"
        _define_exit_codes(spec)
        failures_are_no_cache(spec)

    @classmethod
    def validate_inputs(cls, value: Any, ctx: Any) -> str | None:
        """Refuse inputs that do not fit each other."""
        if any(name not in value for name in ("initial", "potential", "md")):
            return None  # an exposed namespace leaves ports out
        potential, initial = value["potential"], value["initial"]
        unknown = sorted(set(initial.elements) - set(potential.elements))
        if unknown:
            return (
                f"The frames hold {', '.join(unknown)}, which the potential does not know (it knows "
                f"{', '.join(potential.elements)}); train it on labels with these elements."
            )
        watched = value["watch"].get_dict() if "watch" in value else {}
        if watched.get("max_deviation") is not None and potential.n_members < 2:
            return (
                "The watch's `max_deviation` compares the members of a committee, but the potential has only "
                "one; train two or more, or leave it out."
            )
        return fault_of_frame(initial.read(-1))

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write structure, deck and task; list the models and the files to bring back."""
        potential = self.inputs.potential
        settings = self.inputs.settings.get_dict() if "settings" in self.inputs else {}
        start = self._start()
        task = self._task(start, settings.get("precision", PRECISIONS[0]))
        task.write(Path(folder.abspath) / TASK)
        model = settings.get("model_file", potential.driver)
        with folder.open(self.options.input_filename, "w", encoding="utf8") as handle:
            handle.write(lammps_files.deck(start.elements, model, self._dynamics(task.thresholds)))
        with folder.open(lammps_files.STRUCTURE, "w", encoding="utf8") as handle:
            handle.write(lammps_files.data_file(start))

        calcinfo = CalcInfo()
        calcinfo.codes_info = self._commands(settings.get("cmdline", []))
        calcinfo.codes_run_mode = CodeRunMode.SERIAL
        calcinfo.prepend_text = export_threads(self.options)
        calcinfo.local_copy_list = [(potential.uuid, name, name) for name in task.models]
        calcinfo.provenance_exclude_list = [lammps_files.STRUCTURE]  # the frames node holds it
        calcinfo.retrieve_list = [
            self.options.output_filename,
            lammps_files.LOG,
            RESULTS,
            *([WATCH_LOG] if "watcher" in self.inputs else []),
            *settings.get("additional_retrieve_list", []),
        ]
        # The output nodes hold what is in them.
        frames = (lammps_dump.TRAJECTORY, lammps_dump.LAST_FRAME, lammps_dump.RESTARTS)
        calcinfo.retrieve_temporary_list = [CHECKS, *((name, ".", 0) for name in frames)]
        return calcinfo

    def _commands(self, cmdline: list[str]) -> list[CodeInfo]:
        """Return LAMMPS, and the watch where it is a program of its own."""
        run = CodeInfo()
        run.code_uuid = self.inputs.code.uuid
        run.cmdline_params = ["-in", self.options.input_filename, "-log", lammps_files.LOG, *cmdline]
        run.stdout_name = self.options.output_filename
        run.join_files = True
        if "watcher" not in self.inputs:
            return [run]
        watch = CodeInfo()
        watch.code_uuid = self.inputs.watcher.uuid
        watch.cmdline_params = ["watch"]
        watch.stdout_name = WATCH_LOG
        watch.join_files = True
        watch.withmpi = False
        return [run, watch]

    def _task(self, start: Frames, precision: str) -> StretchTask:
        potential, md = self.inputs.potential, self.inputs.md
        limit = self._usable_wall_time()
        is_watched_afterwards = "watcher" in self.inputs
        return StretchTask(
            models=potential.members,
            elements=start.elements,
            n_atoms=start.n_atoms,
            steps=md["steps"],
            timestep_fs=md["timestep_fs"],
            thresholds=Thresholds.from_dict(self.inputs.watch.get_dict()),
            precision=precision,
            max_wall_time_s=limit and limit * (1 - SHARE_OF_WATCHED if is_watched_afterwards else 1),
        )

    def _dynamics(self, thresholds: Thresholds) -> lammps_files.Dynamics:
        md, limit = self.inputs.md.get_dict(), self._usable_wall_time()
        return lammps_files.Dynamics(
            **md,
            restart_every=thresholds.every,
            n_restarts=thresholds.n_restarts(md["save_every"], md["timestep_fs"]),
            max_wall_time_s=limit and (_share_of_watched(limit) if "watcher" in self.inputs else limit),
        )

    def _start(self) -> Frames:
        """Return the last initial frame, with velocities drawn from the seed where it has none."""
        md = self.inputs.md
        frame = self.inputs.initial.read(-1)
        if frame.velocities is not None:
            return frame
        drawn = maxwell_boltzmann(frame.masses, md["temperature_K"], md["seed"])
        return dataclasses.replace(frame, velocities=drawn[None])

    def _usable_wall_time(self) -> float | None:
        limit = self.options.get("max_wallclock_seconds")
        return None if limit is None else USABLE_WALL_TIME * limit


def _share_of_watched(limit: float) -> float:
    """Return after how long on its own clock a LAMMPS that is watched afterwards has to end, s."""
    share = SHARE_OF_WATCHED * limit
    return max(share - START_UP_S, share / 2)


def _define_exit_codes(spec: CalcJobProcessSpec) -> None:
    spec.exit_code(
        310,
        "ERROR_NOTHING_HARVESTED",
        message="Not one frame after the initial one could be kept: {message}",
    )
    spec.exit_code(320, "ERROR_MODEL_REFUSED", message="A model was refused: {message}")
    spec.exit_code(
        330,
        "ERROR_NOT_WATCHED",
        message="Nothing watched the stretch, so that only its start is kept: the code is no haml-lammps. Give "
        "haml-engine as `watcher`. {message}",
    )
    spec.exit_code(
        340,
        "ERROR_LAMMPS",
        message="LAMMPS stopped with an error; the trusted frames are kept. {message}",
    )
    spec.exit_code(
        400,
        "ERROR_OUT_OF_WALLTIME",
        message="The wall time ended the stretch; the trusted frames are kept. {message}",
    )
    spec.exit_code(
        401,
        "ERROR_KILLED",
        message="Something killed the stretch; the trusted frames are kept. {message}",
    )
    spec.exit_code(
        410,
        "ERROR_LOST_ATOMS",
        message="Atoms were lost; the trusted frames are kept. {message}",
    )
    spec.exit_code(
        411,
        "ERROR_NOT_FINITE",
        message="Positions or forces were not finite; the trusted frames are kept. {message}",
    )
