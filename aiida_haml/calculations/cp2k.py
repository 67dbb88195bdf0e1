"""Labels from CP2K: a burst of AIMD, or the energy of one configuration, through aiida-cp2k."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.extendeddicts import AttributeDict
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_cp2k.calculations import Cp2kCalculation
from aiida_cp2k.utils import merge_dict
from ase import Atoms, units
from ase.data import ground_state_magnetic_moments

from aiida_haml.calculations.base import also
from aiida_haml.calculations.levels import GAUSSIAN_PORTS, check_pinned
from aiida_haml.calculations.molecular_dynamics import validate_initial, validate_md, validate_relax
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames, maxwell_boltzmann

#: Angstrom / fs in CP2K's unit of velocity, bohr per atomic unit of time.
VELOCITY_TO_CP2K = (units.AUT / units.fs) / units.Bohr
#: Share of the wall time after which CP2K is told to stop by itself, with its files whole.
USABLE_WALL_TIME = 0.9


class Cp2kLabelCalculation(Cp2kCalculation):
    """CP2K from the last frame of a node: MD with CSVR (`md`), a relaxation (`relax`), or else one evaluation.

    Positions and velocities are handed over as they stand in the frames, without a structure node in between,
    and come back as one node of labelled frames in ASE's units.
    """

    CACHE_VERSION = 1

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
        spec.input("initial", valid_type=FramesData, validator=validate_initial, help="Its last frame is the start.")
        spec.input("level", valid_type=orm.Dict, validator=validate_level, help="Level of theory.")
        spec.input("solver", valid_type=orm.Dict, required=False, help="CP2K keywords that lead to a converged SCF.")
        spec.input("md", valid_type=orm.Dict, required=False, validator=validate_md, help="Settings of the AIMD.")
        spec.input("relax", valid_type=orm.Dict, required=False, validator=validate_relax, help="Of a relaxation.")
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        ports: Any = spec.inputs
        options = ports["metadata"]["options"]
        options["parser_name"].default = "haml.cp2k"
        options["withmpi"].default = False
        options["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        spec.output("frames", valid_type=FramesData, required=False, help="Labelled frames, step 0 included.")
        spec.exit_code(
            451,
            "ERROR_SCF_FALSE_STATE",
            message="The conserved energy jumps by {jump:.3f} eV/atom at step {step}: the SCF fell into another state.",
        )
        spec.exit_code(
            305,
            "ERROR_NO_CONVERGED_FRAME",
            invalidates_cache=True,
            message="Not one evaluation converged, so that there is no label to keep.",
        )

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write CP2K's input from the frames, the level of theory and the MD settings."""
        given = self.inputs
        frame = given.initial.read(-1)
        parameters = build_parameters(
            frame,
            theory=given.level["theory"],
            solver=given.solver.get_dict() if "solver" in given else {},
            run=run_parameters(
                frame,
                md=given.md.get_dict() if "md" in given else None,
                relax=given.relax.get_dict() if "relax" in given else None,
            ),
            isolated=given.initial.kind == "isolated_atom",
            wall_time=given.metadata.options.get("max_wallclock_seconds"),
        )
        # aiida-cp2k reads its inputs by name. What it is shown here is a view of the linked inputs, made for
        # writing the file; it is never stored.
        view = AttributeDict(dict(given))
        view.parameters = orm.Dict(parameters)
        view.structure = orm.StructureData(
            ase=Atoms(frame.numbers, frame.positions[0], cell=frame.cells[0], pbc=frame.pbc)
        )
        self._parsed_inputs = view
        try:
            calcinfo = super().prepare_for_submission(folder)
        finally:
            self._parsed_inputs = given
        calcinfo.retrieve_list = [
            "aiida.out",
            "aiida-pos-1.xyz",
            "aiida-vel-1.xyz",
            "aiida-frc-1.xyz",
            "aiida-1.ener",
        ]
        return calcinfo


def build_parameters(
    frame: Frames,
    theory: dict[str, Any],
    solver: dict[str, Any],
    run: dict[str, Any],
    isolated: bool,
    wall_time: float | None,
) -> dict[str, Any]:
    """Return the whole CP2K input as a dictionary, but for the coordinates.

    Parameters
    ----------
    frame : Frames
        One frame, with velocities or not.
    theory, solver : dict
        CP2K's FORCE_EVAL section: what decides the values, and what only leads there.
    run : dict
        What is done with it, see `run_parameters`.
    isolated : bool
        Evaluate one atom with the spin of its ground state.
    wall_time : float or None
        Limit in seconds.
    """
    force_eval: dict[str, Any] = {"METHOD": "QUICKSTEP", "DFT": {"SCF": {"PRINT": {"RESTART": {"_": "OFF"}}}}}
    merge_dict(force_eval, copy.deepcopy({key: value for key, value in theory.items() if key != "kinds"}))
    merge_dict(force_eval, copy.deepcopy(solver))
    parameters = {
        "GLOBAL": {"PRINT_LEVEL": "LOW"},
        "FORCE_EVAL": force_eval,
    }
    if wall_time is not None:
        parameters["GLOBAL"]["WALLTIME"] = int(USABLE_WALL_TIME * wall_time)
    if isolated:
        element = int(frame.numbers[0])
        force_eval["DFT"]["LSD"] = True
        force_eval["DFT"]["MULTIPLICITY"] = round(ground_state_magnetic_moments[element]) + 1
        # Whole electrons in the spin's ground state: a small basis has no empty orbital left to smear into.
        for keyword in ("SMEAR", "ADDED_MOS"):
            force_eval["DFT"]["SCF"].pop(keyword, None)
    if "STRESS_TENSOR" in force_eval and not isolated:
        force_eval["PRINT"] = {"STRESS_TENSOR": {"_": "ON"}}
    force_eval.setdefault("SUBSYS", {})["CELL"] = {
        "PERIODIC": "".join(axis for axis, periodic in zip("XYZ", frame.pbc, strict=True) if periodic) or "NONE"
    }
    merge_dict(parameters, run)
    return parameters


def run_parameters(frame: Frames, md: dict[str, Any] | None, relax: dict[str, Any] | None) -> dict[str, Any]:
    """Return what CP2K is told to do with a frame: MD, a relaxation, or one evaluation."""
    forces = {"PRINT": {"FORCES": {"_": "ON"}}}
    if md is not None:
        return {
            "GLOBAL": {"RUN_TYPE": "MD", "SEED": int(md["seed"])},
            "MOTION": {"MD": md_section(md), "PRINT": printed("MD")},
            "FORCE_EVAL": {"SUBSYS": {"VELOCITY": {" ": velocity_lines(frame, md)}}},
        }
    if relax is not None:
        return {
            "GLOBAL": {"RUN_TYPE": "GEO_OPT"},
            "MOTION": {"GEO_OPT": relaxation_section(relax), "PRINT": printed("GEO_OPT")},
            "FORCE_EVAL": forces,  # CP2K's trajectory of a relaxation leaves the start out
        }
    return {"GLOBAL": {"RUN_TYPE": "ENERGY_FORCE"}, "FORCE_EVAL": forces}


def md_section(md: dict[str, Any]) -> dict[str, Any]:
    """Return CP2K's section of NVT dynamics with CSVR."""
    return {
        "ENSEMBLE": "NVT",
        "STEPS": int(md["steps"]),
        "TIMESTEP": float(md["timestep_fs"]),
        "TEMPERATURE": float(md["temperature_K"]),
        "COMVEL_TOL": 1e-8,  # the centre of mass stays at rest
        "THERMOSTAT": {
            "TYPE": "CSVR",
            "REGION": "GLOBAL",
            "CSVR": {"TIMECON": float(md["thermostat_time_fs"])},
        },
    }


def relaxation_section(relax: dict[str, Any]) -> dict[str, Any]:
    """Return CP2K's section of a relaxation at fixed cell, which ends by the largest force alone."""
    met = 1.0e3  # a criterion so loose that it is always met
    return {
        "TYPE": "MINIMIZATION",
        "OPTIMIZER": "BFGS",
        "MAX_ITER": int(relax["steps"]),
        "MAX_FORCE": float(relax["max_force"]) * units.Bohr / units.Hartree,
        "RMS_FORCE": met,
        "MAX_DR": met,
        "RMS_DR": met,
    }


def printed(run: str) -> dict[str, Any]:
    """Return CP2K's section of what a run writes at each of its steps."""
    each_step = {"EACH": {run: 1}}
    return {
        "TRAJECTORY": {"FORMAT": "XYZ", **each_step},
        "VELOCITIES": each_step,
        "FORCES": each_step,
        "RESTART": {"_": "OFF"},
        "RESTART_HISTORY": {"_": "OFF"},
    }


def velocity_lines(frame: Frames, md: dict[str, Any]) -> list[str]:
    """Return one line an atom: the frame's velocities, or a Maxwell-Boltzmann draw from the seed."""
    if frame.velocities is not None:
        velocities = frame.velocities[0]
    else:
        velocities = maxwell_boltzmann(frame.masses, md["temperature_K"], md["seed"])
    return [" ".join(f"{v:.16e}" for v in row) for row in velocities * VELOCITY_TO_CP2K]


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
