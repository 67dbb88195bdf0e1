"""Fixtures of the commands."""

from importlib import import_module

import pytest
from aiida import orm

from tests.cli.running import run
from tests.options import options_kept


@pytest.fixture(autouse=True)
def options_restored(options_of_the_file_restored, aiida_profile):
    with options_kept(aiida_profile.name):
        yield


@pytest.fixture
def ready(aiida_profile_clean, tmp_path):
    run("setup")


@pytest.fixture
def started(monkeypatch):
    """Builders that would have been started."""
    builders = []
    ended = orm.WorkChainNode()
    ended.set_process_state("finished")
    ended.set_exit_status(0)
    ended.store()

    def take(builder, in_process):
        builders.append(builder)
        return ended

    for module in ("screen", "verbs"):  # the package has the command of that name
        monkeypatch.setattr(import_module(f"aiida_haml.cli.{module}"), "start", take)
    return builders
