"""Fixtures of the commands."""

from importlib import import_module

import pytest
from aiida import orm

from tests.cli.running import run


@pytest.fixture(autouse=True)
def options_restored(aiida_profile):
    """Take back what `setup` sets, for the tests that come after."""
    from aiida.manage.configuration import get_config

    config, scope = get_config(), aiida_profile.name
    names = ("caching.enabled_for", "daemon.timeout", "broker.task_timeout", "runner.poll.interval")
    before = {name: config.get_option(name, scope=scope, default=False) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            config.unset_option(name, scope=scope)
        else:
            config.set_option(name, value, scope=scope)


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
