"""What `setup` sets of a profile, taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiida.manage.configuration import get_config


@contextmanager
def options_kept(scope: str) -> Iterator[None]:
    """Leave a profile's options as they were found."""
    config = get_config()
    names = ("caching.enabled_for", "daemon.timeout", "broker.task_timeout", "runner.poll.interval")
    before = {name: config.get_option(name, scope=scope, default=False) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            config.unset_option(name, scope=scope)
        else:
            config.set_option(name, value, scope=scope)
