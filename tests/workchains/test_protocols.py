"""Protocols and levels of theory: complete, checked, and merged without surprises."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_haml.calculations.levels import theory_key
from aiida_haml.data.frames import FramesData
from aiida_haml.workchains.hybrid import HybridWorkChain
from aiida_haml.workchains.inputs import settings_complaint
from aiida_haml.workchains.label import LabelWorkChain
from aiida_haml.workchains.protocols import level_of_theory, merge, protocol_settings

NAMES = ("quick", "fast", "moderate", "precise")


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_holds_what_the_workchains_ask_for(name):
    assert settings_complaint(protocol_settings(name)) is None


def test_protocols_grow_in_effort():
    times = [protocol_settings(name)["hybrid"]["simulated_fs"] for name in NAMES]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"learning": {"step_first": 3}}, "`learning.step_first`.*did you mean 'steps_first'"),
        ({"round": {}}, "did you mean 'rounds'"),
        ({"watch": 5}, "`watch` is 5; it has to be a mapping"),
    ],
)
def test_unknown_overrides_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        protocol_settings("quick", overrides)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no protocol 'quikc'"):
        protocol_settings("quikc")
    with pytest.raises(ValueError, match="no level of theory 'b3lyp'"):
        level_of_theory("b3lyp")


def test_merging_changes_only_what_is_named():
    base = {"a": {"b": 1, "c": 2}, "options": {}}
    assert merge(base, {"a": {"c": 3}, "options": {"queue_name": "long"}}) == {
        "a": {"b": 1, "c": 3},
        "options": {"queue_name": "long"},
    }
    assert base == {"a": {"b": 1, "c": 2}, "options": {}}


def test_levels_differ_in_their_keys():
    names = ("gfn1-xtb", "pbe-szv", "pbe-dzvp", "chgnet", "teacher")
    assert len({theory_key(level_of_theory(name)) for name in names}) == len(names)


def test_a_lammps_that_does_not_watch_is_watched_by_the_engine(
    aiida_profile, aiida_localhost, engine_code, lammps_code
):
    """Unwatched, each stretch would end in an error, and the screen with its first."""
    copper = FramesData.from_ase(bulk("Cu", cubic=True)).store()
    foreign = orm.InstalledCode(aiida_localhost, "/opt/lammps/bin/lmp", label="haml-lammps").store()
    watchers = []
    for lammps in (lammps_code, foreign):
        codes = {"label": engine_code, "engine": engine_code, "lammps": lammps}
        builder = HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick")
        watchers.append(builder.md.job.get("watcher"))
    assert watchers == [None, engine_code]


def test_builders_start_from_a_protocol(aiida_profile, engine_code, lammps_code):
    copper = FramesData.from_ase(bulk("Cu", cubic=True)).store()
    label = LabelWorkChain.get_builder_from_protocol(engine_code, copper, "teacher", "quick", steps=7, temperature=450)
    assert (label.job.md["steps"], label.job.md["temperature_K"], label.job.level["engine"]) == (7, 450, "teacher")
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    hybrid = HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick", {"watch": {"every": 7}})
    assert hybrid.settings["watch"]["every"] == 7
    with pytest.raises(ValueError, match="growth is 1"):
        HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick", {"rounds": {"growth": 1}})
