"""AiiDA's storage below its ORM: one statement for many nodes, and writes that outlast a locked database."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa
from aiida.common import exceptions
from aiida.manage import get_manager
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError, OperationalError

P = ParamSpec("P")
T = TypeVar("T")

#: Pauses between the tries of a write that finds the database locked, s; half a minute all together.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, *(1.6,) * 18)
#: What SQLite says when somebody else is writing.
_LOCKED = ("database is locked", "database table is locked")
#: What both databases say when somebody else made the same entry a moment before.
_RACES = (IntegrityError, exceptions.IntegrityError)

_SETTING = sa.table("db_dbsetting", sa.column("key", sa.String), sa.column("val", sa.JSON))


class Tables(NamedTuple):
    """The tables that hold the graph, as the storage of the profile maps them, and that of its settings."""

    node: Any
    link: Any
    group: Any
    member: Any
    user: Any
    setting: Any


def tables() -> Tables:
    """Return the tables of the loaded profile."""
    query = _storage().query()
    return Tables(query.Node, query.Link, query.Group, query.table_groups_nodes.c, query.User, _SETTING.c)


def read(statement: Any) -> list[Any]:
    """Run a statement that only reads, and return its rows.

    Where no transaction was open, none is left open: PostgreSQL would keep it for as long as a daemon lives. The
    objects of the ORM stay loaded.
    """
    session = _storage().get_session()
    if session.in_transaction():
        return session.execute(statement).all()
    expire, session.expire_on_commit = session.expire_on_commit, False
    try:
        with session.begin():
            return session.execute(statement).all()
    finally:
        session.expire_on_commit = expire


def among(column: Any, values: Iterable[int] | Iterable[str]) -> Any:
    """Return the condition that a column is one of many numbers or texts, which travel as one JSON value.

    A statement with a parameter for each has to be cut into pieces, and a walk that is cut into pieces goes the
    same way again for each.
    """
    listed = json.dumps(sorted(set(values)))
    if is_sqlite():
        return column.in_(sa.select(sa.func.json_each(listed).table_valued("value").c.value))
    texts = sa.func.jsonb_array_elements_text(sa.cast(sa.cast(listed, sa.Text), JSONB)).table_valued("value")
    return column.in_(sa.select(sa.cast(texts.c.value, column.type)))


def unindexed(column: Any) -> Any:
    """Return a column in a form that no index answers.

    SQLite has no statistics of the graph, takes the index on the type of a link for the best one, and so reads all
    calls of the database to find those of one process.
    """
    return sa.literal_column("+" + str(column.compile())) if is_sqlite() else column


def is_sqlite() -> bool:
    """Whether the profile's database is SQLite; PostgreSQL is the other one that AiiDA has."""
    return _storage().get_session().get_bind().dialect.name == "sqlite"


def patiently(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Write when it is one's turn, and try again where another writer was in the way.

    SQLite refuses at once, whatever its patience, a transaction that has read and wants to write while another one
    is writing, as AiiDA's settings and groups do; so the turn is waited for before the first read. And of two that
    make the same new entry, one fails.

    Parameters
    ----------
    write : callable
        Leaves nothing behind where it fails, and may be called again.
    *args, **kwargs
        What it is called with.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        If the database is still locked after all pauses.
    """
    session = _storage().get_session()
    if session.in_nested_transaction():  # what failed would take the caller's part of the transaction with it
        return write(*args, **kwargs)
    for pause in (*PAUSES, None):
        try:
            return _in_turn(session, write, *args, **kwargs)
        except (OperationalError, *_RACES) as error:
            session.rollback()
            if pause is None or not _is_passing(error):
                raise
            time.sleep(pause)
    raise AssertionError("The last try returns or raises.")


def _in_turn(session: Any, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Write, and let others write from then on, also where there was nothing to write."""
    _wait_for_the_turn(session)
    result = write(*args, **kwargs)
    expire, session.expire_on_commit = session.expire_on_commit, False
    try:
        session.commit()
    finally:
        session.expire_on_commit = expire
    return result


def _wait_for_the_turn(session: Any) -> None:
    connection = session.connection()
    if is_sqlite() and not connection.connection.dbapi_connection.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_passing(error: Exception) -> bool:
    return isinstance(error, _RACES) or any(text in str(error) for text in _LOCKED)


def _storage() -> Any:
    return get_manager().get_profile_storage()
