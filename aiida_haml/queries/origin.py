"""What was made in this database, and what came with an archive and counts for less until somebody adopts it."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from aiida_haml.queries.people import emails
from aiida_haml.queries.rows import column, rows
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import among, read, tables

#: AiiDA hashes what it stores and takes the hash off what it imports. Who has none came with an archive, and
#: `aiida_haml.adoption` has not given it back.
HASH = "extras._aiida_hash"
_JOBS = "aiida.calculations:haml."


@dataclass(frozen=True)
class Foreign:
    """Nodes that came with an archive.

    Attributes
    ----------
    jobs, others : tuple of int
        Pks of the CalcJobs and calcfunctions of this package, and of all other nodes.
    codes : mapping of int to int
        Pk of each code that ran the jobs, and how many it ran.
    people : tuple of str
        E-mail addresses under which the archive holds the jobs.
    """

    jobs: tuple[int, ...]
    others: tuple[int, ...]
    codes: dict[int, int]
    people: tuple[str, ...]


def foreign(pks: Iterable[int] | None = None) -> Foreign:
    """Return which nodes came with an archive and have not been adopted.

    Parameters
    ----------
    pks : iterable of int, optional
        Only these; all nodes of the database otherwise.
    """
    node = tables().node
    query = sa.select(node.id, node.process_type, node.user_id, column(HASH).label("hash")).order_by(node.id)
    found = [row for row in read(query if pks is None else query.where(among(node.id, pks))) if not row.hash]
    jobs = [row for row in found if (row.process_type or "").startswith(_JOBS)]
    codes: dict[int, int] = {}
    for link in links_into((row.id for row in jobs), ["input_calc"], ["code"]):
        codes[link.source] = codes.get(link.source, 0) + 1
    own = {row.id for row in jobs}
    return Foreign(
        jobs=tuple(row.id for row in jobs),
        others=tuple(row.id for row in found if row.id not in own),
        codes=codes,
        people=tuple(sorted(emails(row.user_id for row in jobs).values())),
    )


def is_foreign(pks: Iterable[int]) -> set[int]:
    """Return those of the nodes that came with an archive and have not been adopted."""
    return {pk for pk, row in rows(pks, hash=HASH).items() if not row.hash}
