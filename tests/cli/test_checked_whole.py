"""Checked whole means checked whole: what would fail after hours is refused before anything is stored."""

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.consent import RECORD

SOLID = "name: a\nhost: Li6PS5Cl\ndopings: [pristine]\n"
LIQUID = "name: a\nelectrolytes: [{solvents: {DME: 1}, salt: LiFSI}]\nlevel_of_theory: teacher\n"
#: A small cell of the composition Li4GeS4.
GERMANIUM = """data_Li4GeS4_like
_cell_length_a 8.0
_cell_length_b 8.0
_cell_length_c 8.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P -4 3 m'
_symmetry_Int_Tables_number 215
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Ge1 Ge 0 0 0 1
S1 S 0.16 0.16 0.16 1
Li1 Li 0.5 0.5 0.5 1
Li2 Li 0.5 0.5 0 1
"""


@pytest.fixture
def submit(aiida_profile_clean, tmp_path):
    """A function that submits a specification in a profile after `setup`, and returns code and output."""
    from pathlib import Path

    from aiida.manage.configuration import get_config

    (Path(get_config().dirpath) / RECORD).unlink(missing_ok=True)
    program = tmp_path / "cp2k.psmp"
    program.write_text("#!/bin/sh\n")
    CliRunner().invoke(haml, ["setup", "--cp2k", str(program)], catch_exceptions=False)

    def dry_run(text):
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        before = orm.QueryBuilder().append(orm.Node).count()
        result = CliRunner().invoke(haml, ["screen", "submit", "--dry-run", str(path)])
        assert orm.QueryBuilder().append(orm.Node).count() == before
        return result.exit_code, result.output

    return dry_run


def option(text, kind="label"):
    return SOLID + f"overrides: {{options: {{{kind}: {{{text}}}}}}}\n"


REFUSED = {
    # -- schedulers
    "kind of job": (option("max_wallclock_seconds: 999", "cp2k"), ["options.cp2k: 'cp2k' is no kind of job", "label"]),
    "option": (option("queue: gpu"), ["options.label.queue: 'gpu' is not an option", "Did you mean 'queue_name'?"]),
    "resources": (option("resources: {nodes: 1}"), ["options.label.resources", "core.direct", "nodes", "num_machines"]),
    "machines in words": (option("resources: {num_machines: one}"), ["options.label.resources"]),
    "wall time in text": (option('max_wallclock_seconds: "12:00:00"'), ["'12:00:00' is a str", "a whole number"]),
    "wall time below nothing": (option("max_wallclock_seconds: -5"), ["-5 is less than 1", "1 or more"]),
    "wall time below start-up": (option("max_wallclock_seconds: 5"), ["5 s is over before a job has started"]),
    "memory of a switch": (option("max_memory_kb: true"), ["max_memory_kb: True", "a whole number"]),
    # -- elements
    "dopant without a basis": (
        "name: a\ndopings: [{dopant: Te, site: 4d, fraction: 0.25}]\nlevel_of_theory: pbe-dzvp\n",
        ["dopings[0]: Te has no basis at the level of theory pbe-dzvp", "gfn1-xtb"],
    ),
    "potential without elements": (
        SOLID + "overrides: {learning: {elements: [Li, P]}}\n",
        ["learning.elements: ['Li', 'P'] lacks Cl, S of the candidates"],
    ),
    # -- each legal, together useless
    "code of another role": (
        SOLID + "codes: {cp2k: haml-engine@localhost}\n",
        ["codes.cp2k: 'haml-engine@localhost' is a code for 'haml.learn', not the cp2k of a screen"],
    ),
    "cut that is not there": (SOLID + "interface: {cut: 99}\n", ["interface.cut: 99", "0: non-polar"]),
    "too short to be ranked": (
        SOLID + "protocol: moderate\noverrides: {hybrid: {simulated_fs: 1000}}\n",
        ["hybrid.simulated_fs: 1000 fs is less than ranking.min_simulated_fs (50000)"],
    ),
    "cell narrower than the potential": (
        SOLID + "overrides: {learning: {r_max: 12.0}}\n",
        ["dopings[0]: the cell", "the potential's reach of 12", "Repeat the cell"],
    ),
    "time step without end": (
        SOLID + "overrides: {dynamics: {timestep_fs: 1.0e+9}}\n",
        ["dynamics.timestep_fs: 1e+09 fs is longer", "0.5 with hydrogen"],
    ),
    "thermostat within a step": (
        SOLID + "overrides: {dynamics: {thermostat_time_fs: 0.1}}\n",
        ["dynamics.thermostat_time_fs: 0.1 fs is less than a time step, 1 fs"],
    ),
    # A limit follows the temperature, so that none can be set below it.
    "limit below the temperature": (
        SOLID + "temperature_K: 4999\noverrides: {watch: {max_temperature_K: 300}}\n",
        ["`watch.max_temperature_K` is not a setting", "Did you mean 'temperature_sigmas'?"],
    ),
    # -- text
    "nested without end": (SOLID + "weights: " + "[" * 3000 + "]" * 3000 + "\n", ["nested too deeply"]),
    "digits without end": (SOLID + f"seeds: [{'9' * 5000}]\n", ["seeds[0]: 9999", "less than 2147483648"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_fail_later_is_refused_with_field_value_and_remedy(submit, case):
    text, wanted = REFUSED[case]
    code, output = submit(text)
    assert code == 1, output
    assert "1 problem\n" in output, output
    for part in wanted:
        assert part in output


def test_a_crystal_of_ones_own_needs_a_basis_too(submit, tmp_path):
    (tmp_path / "own.cif").write_text(GERMANIUM)
    code, output = submit("name: a\nhost: {file: own.cif}\ndopings: [pristine]\nlevel_of_theory: pbe-dzvp\n")
    assert code == 1
    assert "host: Ge has no basis at the level of theory pbe-dzvp. Levels that have one: gfn1-xtb" in output


def test_a_weight_of_nothing_is_a_weight(submit):
    """The other metrics keep their default weights."""
    code, output = submit(SOLID + "weights: {consumed: 0}\n")
    assert code == 0, output


def test_cells_are_built_and_counted(submit):
    code, output = submit(SOLID)
    assert code == 0
    assert "Li6PS5Cl_300K_s1  Li6PS5Cl, 108 atoms, 300 K, seed 1" in output


def test_hydrogen_at_a_long_step_is_warned_of(submit):
    code, output = submit(LIQUID)
    assert code == 0, output
    assert "! dynamics.timestep_fs is 1, and there is hydrogen" in output
    code, output = submit(LIQUID + "overrides: {dynamics: {timestep_fs: 0.5}}\n")
    assert "hydrogen" not in output


@pytest.mark.parametrize(
    ("level", "is_warned_of"),
    [
        ("pbe-dzvp", True),
        ("{preset: pbe-dzvp, theory: {DFT: {KPOINTS: {SCHEME: MONKHORST-PACK 2 2 1}}}}", False),
        ("gfn1-xtb", False),
        ("teacher", False),
    ],
)
def test_a_narrow_metal_at_the_gamma_point_is_warned_of(submit, level, is_warned_of):
    code, output = submit(SOLID + f"level_of_theory: {level}\n")
    assert code == 0, output
    assert ("Å wide, and its metal is sampled at the Γ point alone" in output) is is_warned_of


def test_all_that_is_wrong_is_told_at_once(submit):
    code, output = submit(
        SOLID + "codes: {engine: nobody@nowhere}\noverrides: {dynamics: {timestep_fs: 9}, options: {md: {queue: x}}}\n"
    )
    assert code == 1
    assert "3 problems" in output


def test_a_teacher_whose_package_is_not_there_is_refused(submit, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, output = submit(SOLID + "level_of_theory: chgnet\n")
    assert code == 1
    assert "level_of_theory: 'chgnet' asks for chgnet.model.dynamics:CHGNetCalculator" in output
    assert "pip install 'aiida-haml[teachers]'" in output


def test_more_at_a_time_than_the_daemon_has_slots_is_refused(submit):
    from aiida.manage.configuration import get_config

    get_config().set_option("daemon.worker_process_slots", 10)
    try:
        many = SOLID.replace("[pristine]", "[pristine]\nseeds: [1, 2, 3]")
        code, output = submit(many + "level_of_theory: teacher\nmax_in_flight: 3\n")
        assert code == 1
        assert "max_in_flight: 3" in output
        assert "Write 2 at most" in output
        assert "'verdi config set daemon.worker_process_slots 13'" in output
        assert submit(many + "level_of_theory: teacher\nmax_in_flight: 2\n")[0] == 0
        # One candidate never has more than its own jobs at a time.
        assert submit(SOLID + "level_of_theory: teacher\nmax_in_flight: 100\n")[0] == 0
    finally:
        get_config().unset_option("daemon.worker_process_slots")
