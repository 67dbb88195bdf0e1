"""Fixtures of the commands."""

import pytest


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
