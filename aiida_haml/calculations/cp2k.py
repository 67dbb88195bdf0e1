"""Labels from CP2K: a burst of AIMD, a relaxation, or the energies of configurations, through aiida-cp2k."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.extendeddicts import AttributeDict
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_cp2k.calculations import Cp2kCalculation
from aiida_cp2k.utils import merge_dict
from ase import Atoms

from aiida_haml.calculations.base import also, export_threads, failures_are_no_cache
from aiida_haml.calculations.cp2k_input import (
    PARENT_WAVE_FUNCTION,
    build_parameters,
    run_parameters,
    series_files,
    warm_start,
)
from aiida_haml.calculations.levels import GAUSSIAN_PORTS, check_pinned
from aiida_haml.calculations.molecular_dynamics import validate_initial, validate_md, validate_relax
from aiida_haml.data.frames import FramesData

#: What CP2K calls the wave function that it leaves behind.
WAVE_FUNCTION = "aiida-RESTART.wfn"


class Cp2kLabelCalculation(Cp2kCalculation):
    """CP2K from the last frame of a node: MD with CSVR (`md`), a relaxation (`relax`); with neither, every frame.

    Positions and velocities are handed over as they stand in the frames, without a structure node in between,
    and come back as one node of labelled frames in ASE's units.
    """

    CACHE_VERSION = 4

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        super().define(spec)
        for port in (
            "parameters",
            "structure",
            "trajectory",
            "kpoints",
            "file",
            "pseudos_upf",
            "parent_calc_folder",
        ):
            del spec.inputs[port]
        spec.input(
            "initial",
            valid_type=FramesData,
            validator=validate_initial,
            help="Its last frame is the start; without `md` and `relax` each of its frames is evaluated.",
        )
        spec.input("level", valid_type=orm.Dict, validator=validate_level, help="Level of theory.")
        spec.input("solver", valid_type=orm.Dict, required=False, help="CP2K keywords that lead to a converged SCF.")
        spec.input("md", valid_type=orm.Dict, required=False, validator=validate_md, help="Settings of the AIMD.")
        spec.input("relax", valid_type=orm.Dict, required=False, validator=validate_relax, help="Of a relaxation.")
        # As metadata it is neither linked nor hashed: a wave function decides how soon an SCF converges, not to what.
        # The job's own `.aiida/calcinfo.json` names its path.
        spec.input(
            "parent_folder",
            valid_type=orm.RemoteData,
            required=False,
            is_metadata=True,
            help="Folder of an earlier label of the same atoms, whose wave function the SCF starts from if it is "
            "still there.",
        )
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        ports: Any = spec.inputs
        options = ports["metadata"]["options"]
        options["parser_name"].default = "haml.cp2k"
        options["withmpi"].default = False
        options["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        spec.output("frames", valid_type=FramesData, required=False, help="Labelled frames, step 0 included.")
        define_exit_codes(spec)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write CP2K's input from the frames, the level of theory and the settings of the run."""
        given = self.inputs
        settings = {run: given[run].get_dict() if run in given else None for run in ("md", "relax")}
        is_series = not any(settings.values())
        frames = given.initial.frames if is_series else given.initial.read(-1)
        parent = self._parent_wave_function()
        parameters = build_parameters(
            frames[-1],
            theory=given.level["theory"],
            solver=given.solver.get_dict() if "solver" in given else {},
            run=run_parameters(frames, **settings),
            isolated=given.initial.kind == "isolated_atom",
            wall_time=given.metadata.options.get("max_wallclock_seconds"),
        )
        if parent is not None:
            merge_dict(parameters, warm_start())
        if is_series:
            for name, content in series_files(frames).items():
                with folder.open(name, "w", encoding="utf8") as handle:
                    handle.write(content)
        # aiida-cp2k reads its inputs by name. What it is shown here is a view of the linked inputs, made for
        # writing the file; it is never stored.
        view = AttributeDict(dict(given))
        view.parameters = orm.Dict(parameters)
        view.structure = orm.StructureData(
            ase=Atoms(frames.numbers, frames.positions[-1], cell=frames.cells[-1], pbc=frames.pbc)
        )
        self._parsed_inputs = view
        try:
            calcinfo = super().prepare_for_submission(folder)
        finally:
            self._parsed_inputs = given
        if parent is not None:
            calcinfo.remote_symlink_list.append((given.code.computer.uuid, str(parent), PARENT_WAVE_FUNCTION))
        calcinfo.prepend_text = export_threads(self.options)
        calcinfo.retrieve_list = ["aiida.out"]
        # What the frames node holds is not kept as text beside it. AiiDA fetches these again if it is stopped between
        # fetching and parsing.
        calcinfo.retrieve_temporary_list = [
            "aiida-pos-1.xyz",
            "aiida-vel-1.xyz",
            "aiida-frc-1.xyz",
            "aiida-1.ener",
            "aiida-1.cell",
        ]
        return calcinfo

    def _parent_wave_function(self) -> PurePosixPath | None:
        """Return where the wave function of the same atoms at the same level would lie on this computer, or None."""
        folder = self.inputs.get("parent_folder")
        if folder is None or folder.computer.uuid != self.inputs.code.computer.uuid:
            return None
        job = folder.creator
        if job is None or not {"initial", "level"} <= set(job.inputs):
            return None
        same = (
            np.array_equal(job.inputs.initial.get_array("numbers"), self.inputs.initial.get_array("numbers"))
            and job.inputs.level["theory"] == self.inputs.level["theory"]
        )
        return PurePosixPath(folder.get_remote_path()) / WAVE_FUNCTION if same else None


def define_exit_codes(spec: CalcJobProcessSpec) -> None:
    """Add ours to aiida-cp2k's exit codes, of which some failures would be served from the cache."""
    spec.exit_code(
        305, "ERROR_NO_CONVERGED_FRAME", message="Not one evaluation converged, so that there is no label to keep."
    )
    spec.exit_code(304, "ERROR_OUTPUT_CONTAINS_ABORT", message="CP2K gave up: {message}")
    spec.exit_code(302, "ERROR_OUTPUT_PARSE", message="The output of {version} could not be read: {message}")
    spec.exit_code(
        451,
        "ERROR_SCF_FALSE_STATE",
        message="The energy jumps by {jump:.3f} eV at step {step}: the SCF fell into another state.",
    )
    failures_are_no_cache(spec)


def validate_level(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse a level that is not CP2K's or lacks a part."""
    if node is None:
        return None
    level = node.get_dict()
    missing = {"engine", "name", "theory"} - set(level)
    if missing:
        return f"The level of theory lacks {', '.join(sorted(missing))}."
    if level["engine"] != "cp2k":
        return f"The level of theory {level['name']!r} belongs to the engine {level['engine']!r}, not to CP2K."
    return None


def validate_inputs(inputs: Any, _: Any) -> str | None:
    """Refuse foreign basis sets, electrons that cannot be paired, and two runs in one."""
    if "md" in inputs and "relax" in inputs:
        return "Both `md` and `relax` are given; a job does one of them."
    if "initial" not in inputs or "level" not in inputs:
        return None
    nodes = {port: inputs.get(port, {}) for port in GAUSSIAN_PORTS}
    return check_pinned(inputs["level"].get_dict(), nodes, inputs["initial"].elements) or _odd_electrons(inputs)


def _odd_electrons(inputs: Any) -> str | None:
    """Return what CP2K would abort on: an odd number of electrons where spins are paired and occupations integer."""
    if inputs["initial"].kind == "isolated_atom":
        return None
    dft = inputs["level"]["theory"].get("DFT", {})
    paired = not (dft.get("LSD") or dft.get("UKS")) and "SMEAR" not in dft.get("SCF", {})
    electrons = int(np.sum(inputs["initial"].get_array("numbers"))) - int(dft.get("CHARGE", 0))
    if paired and electrons % 2:
        return (
            f"The cell {inputs['initial'].base.attributes.get('formula')} has an odd number of electrons, and the "
            f"level of theory {inputs['level']['name']!r} pairs all spins; change the cell by one atom, or take a "
            "level with smearing."
        )
    return None
