"""The people of a database."""

from collections.abc import Iterable

import sqlalchemy as sa

from aiida_haml.storage import among, read, tables


def emails(users: Iterable[int]) -> dict[int, str]:
    """Return the e-mail addresses of users, by the pks of the users."""
    user = tables().user
    return {row.id: row.email for row in read(sa.select(user.id, user.email).where(among(user.id, users)))}
