"""What is done about a description that failed: one planted failure a test."""

import pytest
from aiida import orm

from aiida_haml.workchains.analysis import MORE_TIME, DescribeWorkChain
from aiida_haml.workchains.job import MAX_TRIES
from tests.graphs import frames
from tests.workchains.synthetic import inspect, job, workchain

LIMIT = 600


@pytest.fixture
def description(aiida_profile_clean, engine_code):
    cell = frames("structure", n=1)
    given = {"segments": {"segment_0000": frames("stretch")}, "built": cell, "settings": orm.Dict()}
    options = {"options": {"max_wallclock_seconds": LIMIT}}
    return workchain(DescribeWorkChain, job={"code": engine_code, "metadata": options, **given})


def test_a_description_that_was_cut_gets_more_time_each_time(description, engine_code):
    nodes = [job("haml.describe", engine_code.computer, 120) for _ in range(MAX_TRIES + 1)]
    codes, limits = [], []
    for node in nodes:
        codes.append(inspect(description, node).status)
        limits.append(description.ctx.inputs["metadata"]["options"]["max_wallclock_seconds"])
    assert codes == [*[0] * MAX_TRIES, 403]
    assert limits[:MAX_TRIES] == [LIMIT * MORE_TIME ** (i + 1) for i in range(MAX_TRIES)]
    assert not any(node.base.caching.is_valid_cache for node in nodes)


@pytest.mark.parametrize(("status", "tries"), [(300, MAX_TRIES), (301, 1), (100, 1)])
def test_a_description_that_left_nothing_is_started_anew(description, engine_code, status, tries):
    codes = [inspect(description, job("haml.describe", engine_code.computer, status)).status for _ in range(tries + 1)]
    assert codes == [*[0] * tries, 403]
    assert not description.ctx.is_finished


def test_what_the_engine_refused_is_not_asked_again(description, engine_code):
    """The same task would be refused for the same reason."""
    assert inspect(description, job("haml.describe", engine_code.computer, 302)).status == 402
