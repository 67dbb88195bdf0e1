"""Graphs laid by hand: one that is only read, laid once a module, and a builder for those that a test changes."""

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from tests.graphs import Builder, lay_screen


@pytest.fixture
def builder(aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


@pytest.fixture(scope="module")
def graph(aiida_profile, tmp_path_factory):
    computer = orm.Computer("laid-by-hand", "localhost", transport_type="core.local", scheduler_type="core.direct")
    found = orm.Computer.collection.find({"label": computer.label})
    return lay_screen(Builder(found[0] if found else computer.store(), tmp_path_factory.mktemp("models"))).made


@pytest.fixture
def count_statements():
    """Return a function that says how many statements a call takes."""
    engine = get_manager().get_profile_storage().get_session().get_bind()

    def count(call, *args):
        statements = []

        def note(*event):
            # What opens and closes transactions is not counted.
            if not event[2].startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                statements.append(event[2])

        sa.event.listen(engine, "before_cursor_execute", note)
        try:
            call(*args)
        finally:
            sa.event.remove(engine, "before_cursor_execute", note)
        return len(statements)

    return count
