"""Graphs laid by hand: one that is only read, laid once a module, and a builder for those that a test changes."""

import pytest
from aiida import orm

from tests.graphs import Builder, lay_screen


@pytest.fixture
def builder(aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


@pytest.fixture(scope="module")
def graph(aiida_profile, tmp_path_factory):
    computer = orm.Computer("laid-by-hand", "localhost", transport_type="core.local", scheduler_type="core.direct")
    found = orm.Computer.collection.find({"label": computer.label})
    return lay_screen(Builder(found[0] if found else computer.store(), tmp_path_factory.mktemp("models"))).made
