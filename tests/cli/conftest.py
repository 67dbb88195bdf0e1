"""Fixtures of the commands."""

from contextlib import contextmanager
from importlib import import_module

import pytest
from aiida import orm
from aiida.manage.configuration import get_config

from tests.cli.running import run


@contextmanager
def options_kept(scope):
    """Take back what `setup` sets of a profile's options."""
    config = get_config()
    names = ("caching.enabled_for", "daemon.timeout", "broker.task_timeout", "runner.poll.interval")
    before = {name: config.get_option(name, scope=scope, default=False) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            config.unset_option(name, scope=scope)
        else:
            config.set_option(name, value, scope=scope)


@pytest.fixture(scope="module", autouse=True)
def options_of_the_file_restored(aiida_profile):
    """With caching on, the tests of another file would be given each other's results."""
    with options_kept(aiida_profile.name):
        yield


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
