"""Reading many nodes in one statement, and writing in company."""

import json
import re
import sqlite3

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, OperationalError

from aiida_haml import storage
from aiida_haml.storage import among, patiently, read, tables


@pytest.fixture
def in_haste(monkeypatch):
    monkeypatch.setattr(storage, "PAUSES", (0.0,) * 3)


def locked():
    return OperationalError("INSERT", {}, Exception("database is locked"))


def test_many_numbers_are_one_parameter(aiida_profile_clean):
    pks = [orm.Int(i).store().pk for i in range(5)]
    node = tables().node
    # SQLite takes 999 parameters, or 250,000 where it is new.
    rows = read(sa.select(node.id).where(among(node.id, [*pks, *range(10**6, 10**6 + 300_000)])))
    assert [row.id for row in rows] == pks


def test_postgresql_gets_one_parameter_too(aiida_profile, monkeypatch):
    monkeypatch.setattr(storage, "is_sqlite", lambda: False)
    for column, values, kind in ((tables().node.id, range(5), "INTEGER"), (tables().node.label, ["it's"], "VARCHAR")):
        compiled = sa.select(column).where(among(column, values)).compile(dialect=postgresql.dialect())
        assert list(compiled.params.values()) == [json.dumps(list(values))]
        where = " ".join(str(compiled).partition("WHERE")[2].split())
        assert re.search(rf"IN \(SELECT CAST\(anon_1.value AS {kind}\b", where), where
        assert "jsonb_array_elements_text(CAST(CAST(%(" in where


def test_reading_leaves_no_transaction_open(aiida_profile_clean):
    session = get_manager().get_profile_storage().get_session()
    session.rollback()
    read(sa.select(tables().node.id))
    assert not session.in_transaction()


def test_reading_does_not_make_the_orm_load_its_objects_again(aiida_profile_clean, in_haste):
    node = orm.Int(1).store()
    assert node.pk  # loads it
    get_manager().get_profile_storage().get_session().commit()
    assert node.pk
    statements = []
    engine = get_manager().get_profile_storage().get_session().get_bind()
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    read(sa.select(tables().node.id))
    assert node.pk
    assert len(statements) == 1


def test_a_write_is_tried_until_the_database_is_free(aiida_profile_clean, in_haste):
    answers = [locked(), IntegrityError("INSERT", {}, Exception("UNIQUE")), locked(), "written"]

    def write():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(write) == "written"


def test_patience_ends(aiida_profile_clean, in_haste):
    tries = []

    def write():
        tries.append(1)
        raise locked()

    with pytest.raises(OperationalError):
        patiently(write)
    assert len(tries) == 4


def test_what_is_really_wrong_is_not_tried_again(aiida_profile_clean, in_haste):
    tries = []

    def write():
        tries.append(1)
        raise OperationalError("INSERT", {}, Exception("no such table"))

    with pytest.raises(OperationalError):
        patiently(write)
    assert len(tries) == 1


def test_a_turn_with_nothing_to_write_keeps_nobody_out(aiida_profile_clean):
    """What looked, and found that all is there, has only read; another worker has to be able to write after it."""
    path = get_manager().get_profile_storage().filepath_database
    patiently(read, sa.select(tables().node.id))
    other = sqlite3.connect(path, timeout=0.0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    finally:
        other.close()
