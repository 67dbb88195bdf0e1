"""The screens of a database: whose they are, and how far they came."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_haml.queries.anatomy import CANDIDATES, ENDED, SCREEN
from aiida_haml.queries.people import emails
from aiida_haml.queries.rows import column
from aiida_haml.queries.walks import links_into, links_out_of
from aiida_haml.storage import read, tables


@dataclass(frozen=True)
class ScreenEntry:
    """A screen.

    Attributes
    ----------
    pk : int
    uuid, name, owner : str
        The owner by e-mail address.
    is_own : bool
        Whether it is the person's who asks.
    made : datetime
    state : str
        ``created``, ``running``, ``waiting``, ``finished``, ``excepted`` or ``killed``.
    exit_status : int or None
    n_candidates : int
    has_ranking : bool
    """

    pk: int
    uuid: str
    name: str
    owner: str
    is_own: bool
    made: datetime
    state: str
    exit_status: int | None
    n_candidates: int
    has_ranking: bool

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def find_screens(
    name: str | None = None, owner: str | None = None, unfinished: bool | None = None
) -> list[ScreenEntry]:
    """Return screens: one's own before those of others, and the newest first.

    Parameters
    ----------
    name : str, optional
        Only those of this name. Several people may use one, and one person may use it again.
    owner : str, optional
        Only those of this e-mail address.
    unfinished : bool, optional
        Only those that have not ended (True) or have (False).
    """
    node = tables().node
    state, status = column("attributes.process_state"), column("attributes.exit_status")
    query = sa.select(
        node.id, node.uuid, node.label, node.user_id, node.ctime, state.label("state"), status.label("exit_status")
    ).where(node.process_type == SCREEN)
    found = read(query if name is None else query.where(node.label == name))
    people = emails(row.user_id for row in found)
    pks = [row.id for row in found]
    candidates = Counter(link.target for link in links_into(pks, ["input_work"], prefix=CANDIDATES))
    ranked = {link.source for link in links_out_of(pks, ["return"], ["ranking"])}
    profile = get_manager().get_profile()
    myself = profile.default_user_email if profile is not None else None
    entries = [
        ScreenEntry(
            pk=row.id,
            uuid=str(row.uuid),
            name=row.label,
            owner=people[row.user_id],
            is_own=people[row.user_id] == myself,
            made=row.ctime,
            state=row.state or "created",
            exit_status=row.exit_status,
            n_candidates=candidates[row.id],
            has_ranking=row.id in ranked,
        )
        for row in found
    ]
    chosen = [e for e in entries if owner in (None, e.owner) and unfinished in (None, not e.ended)]
    return sorted(chosen, key=lambda entry: (not entry.is_own, -entry.pk))
