"""A failure is no result: no exit code of a job of ours may be served from the cache."""

import pytest
from aiida.engine import CalcJob
from aiida.plugins import CalculationFactory
from aiida.plugins.entry_point import get_entry_point_names

JOBS = [
    name
    for name in get_entry_point_names("aiida.calculations")
    if name.startswith("haml.") and isinstance(CalculationFactory(name), type)
]


def test_the_jobs_are_found():
    assert {"haml.cp2k", "haml.teacher", "haml.learn", "haml.lammps"} <= set(JOBS)
    assert all(issubclass(CalculationFactory(name), CalcJob) for name in JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_no_failure_is_a_valid_cache(name):
    codes = CalculationFactory(name).spec().exit_codes
    assert {label for label, code in codes.items() if code.status and not code.invalidates_cache} == set()
