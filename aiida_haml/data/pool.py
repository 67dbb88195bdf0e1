"""The pool: the labels at one level of theory, as an index that grows by what each round brings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.manage import get_manager

from aiida_haml.data.fields import stored
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.pool import Entry, Labels, enter, without_false

#: Names of the links from a pool, and from the verdicts on its round, to the calcfunction that made the next one.
PREVIOUS, VERDICTS = "previous", "verdicts"

# From a pool to the calcfunction that made it, on to the pool before, and so on: one row a pool. The types are
# compared as expressions, as SQLite would otherwise read all links of a type instead of those of a node.
_CHAIN = f"""
WITH RECURSIVE chain(id) AS (
    SELECT id FROM db_dbnode WHERE id = :pool
    UNION
    SELECT before.input_id FROM chain
    JOIN db_dblink made ON made.output_id = chain.id AND made.type || '' = 'create'
    JOIN db_dblink before ON before.output_id = made.input_id
        AND before.type || '' = 'input_calc' AND before.label || '' = '{PREVIOUS}'
)"""
_ATTRIBUTES = f"{_CHAIN} SELECT node.id, node.attributes FROM chain JOIN db_dbnode node ON node.id = chain.id"
_SOURCES = f"""{_CHAIN}
SELECT chain.id, given.label, given.input_id FROM chain
JOIN db_dblink made ON made.output_id = chain.id AND made.type || '' = 'create'
JOIN db_dblink given ON given.output_id = made.input_id
    AND given.type || '' = 'input_calc' AND given.label || '' NOT IN ('{PREVIOUS}', '{VERDICTS}')"""


class Source(NamedTuple):
    """Frames that joined a pool: the round, their name in it, and the pk of their node."""

    round: int
    name: str
    pk: int


class LabelPoolData(orm.Data):
    """The labels that one round brought, and by its provenance those of all rounds before.

    Made by the calcfunction ``haml.gather`` and by nothing else. It stores, for each new label, the key of its
    configuration and the part that it serves in; the frames stay in their own nodes.
    """

    class AttributesModel(orm.Data.AttributesModel):
        level_of_theory: str = stored("level_of_theory", "Key of the level of theory of all labels")
        round: int = stored("round", "Number of pools before this one")
        n_new: int = stored("n_new", "Number of labels that joined")
        n_labels: int = stored("n_labels", "Number of all labels")
        elements: list[str] = stored("elements", "Chemical symbols of all labels")
        previous: str | None = stored("previous", "Content key of the pool before", None)
        labels: dict[str, Any] = stored(
            "labels",
            "By name key and kind of the frames that joined, and of each label frame, key, part and max_force",
        )
        false: list[str] = stored(
            "false", "Content keys of frames that joined before and were found to be of another electronic state", []
        )

    @classmethod
    def of(
        cls, labels: Mapping[str, FramesData], previous: LabelPoolData | None = None, false: Collection[str] = ()
    ) -> LabelPoolData:
        """Make an unstored pool of new labels and the pool before.

        Parameters
        ----------
        labels : mapping of str to FramesData
            By names such as ``Li6PS5Cl__burst_0003``: whose label it is, a double underscore, and what it is.
        previous : LabelPoolData, optional
            Stored.
        false : collection of str
            Candidates whose burst of the pool before was found to be of another electronic state. Its frames teach
            nothing from now on, and may be labelled again.

        Raises
        ------
        ValueError
            If frames have no labels, levels of theory are mixed, or there is nothing to begin with.
        """
        level = _level(labels, previous)
        before = previous.new if previous is not None else []
        wrong = sorted({entry.source for entry in before if entry.kind == "burst" and entry.candidate in false})
        so_far = without_false(previous.entries(), wrong) if previous is not None else []
        known = {entry.key for entry in so_far if entry.part != "false"}
        number = 0 if previous is None else previous.round + 1
        given = {name: Labels(node.frames, node.kind, node.content_key) for name, node in labels.items()}
        entries = enter(given, known, number)
        elements = {symbol for node in labels.values() for symbol in node.elements}
        pool = cls()
        pool.base.attributes.set_many(
            {
                "level_of_theory": level,
                "round": number,
                "n_new": len(entries),
                "n_labels": len(entries) + (previous.n_labels if previous is not None else 0),
                "elements": sorted(elements | set(previous.elements if previous is not None else ())),
                "previous": previous.content_key if previous is not None else None,
                "labels": {name: _columns(name, labels[name], entries) for name in sorted(labels)},
            }
            | ({"false": wrong} if wrong else {})
        )
        return pool

    # -- what a query sees ---------------------------------------------------------------------------------

    @property
    def level_of_theory(self) -> str:
        return self.base.attributes.get("level_of_theory")

    @property
    def round(self) -> int:
        return self.base.attributes.get("round")

    @property
    def n_labels(self) -> int:
        return self.base.attributes.get("n_labels")

    @property
    def elements(self) -> list[str]:
        return self.base.attributes.get("elements")

    @property
    def content_key(self) -> str:
        """Hash of what joined and of all pools before: equal pools have equal keys, wherever they were made."""
        return _key(self.base.attributes.all)

    # -- content -------------------------------------------------------------------------------------------

    @property
    def new(self) -> list[Entry]:
        """The labels that this round brought."""
        return _entries(self.base.attributes.all)

    def entries(self) -> list[Entry]:
        """Return all labels, the first round first, in one statement however many rounds there were.

        Raises
        ------
        NotExistent
            If a pool of the chain is not in this database (an archive without its history).
        """
        chain = self._chain()
        false = {source for attributes in chain for source in attributes.get("false", ())}
        return without_false([entry for attributes in chain for entry in _entries(attributes)], false)

    def rounds_up_to(self, content_key: str | None) -> int:
        """Return how many of the first rounds made the pool with this key; 0 if it is none of the chain."""
        keys = [_key(attributes) for attributes in self._chain()]
        return keys.index(content_key) + 1 if content_key in keys else 0

    def _chain(self) -> list[dict[str, Any]]:
        """Return the attributes of the pools of all rounds, the first one first."""
        pools = [_json(row.attributes) for row in self._rows(_ATTRIBUTES)] if self.is_stored else []
        pools = sorted(pools or [self.base.attributes.all], key=lambda attributes: attributes["round"])
        before = None
        for attributes in pools:
            if attributes["previous"] != before:
                raise NotExistent(
                    f"The pool before round {attributes['round']} of LabelPoolData<{self.pk}> is not in this database, "
                    "or was changed; import the archive with its history."
                )
            before = _key(attributes)
        return pools

    def sources(self) -> list[Source]:
        """Return the frames nodes behind all labels, by round and name, in two statements."""
        rounds = {row.id: _json(row.attributes)["round"] for row in self._rows(_ATTRIBUTES)}
        return sorted(Source(rounds[row.id], row.label, row.input_id) for row in self._rows(_SOURCES))

    def frames(self, entries: Iterable[Entry]) -> dict[str, FramesData]:
        """Return the frames nodes that some entries belong to, by their content key.

        Raises
        ------
        NotExistent
            If a node is gone, or no longer holds what joined the pool.
        """
        wanted = {(entry.round, entry.name): entry.source for entry in entries}
        pks = {source.pk: wanted[source[:2]] for source in self.sources() if source[:2] in wanted}
        nodes = orm.QueryBuilder().append(FramesData, filters={"id": {"in": list(pks)}}).all(flat=True) if pks else []
        found = {key: node for node in nodes if (key := node.content_key) == pks[node.pk]}
        if missing := sorted(set(wanted.values()) - set(found)):
            names = sorted(name for (_, name), source in wanted.items() if source in missing)
            raise NotExistent(
                f"The labels {', '.join(names)} of LabelPoolData<{self.pk}> are not in this database as they joined "
                "the pool; import the archive with its history."
            )
        return found

    def _rows(self, statement: str) -> list[Any]:
        return list(_session().execute(sa.text(statement), {"pool": self.pk}))


def _level(labels: Mapping[str, FramesData], previous: LabelPoolData | None) -> str:
    levels: dict[str, str] = {} if previous is None else {previous.level_of_theory: PREVIOUS}
    for name, node in sorted(labels.items()):
        if not node.has_labels or node.level_of_theory is None:
            raise ValueError(f"{name} has no energies and forces of a known level of theory; label its frames first.")
        levels.setdefault(node.level_of_theory, name)
    if len(levels) != 1:
        found = ", ".join(f"{level} ({name})" for level, name in levels.items()) or "nothing"
        raise ValueError(f"A pool holds labels of one level of theory, which are never mixed; there is {found}.")
    return next(iter(levels))


def _columns(name: str, node: FramesData, entries: list[Entry]) -> dict[str, Any]:
    own = [entry for entry in entries if entry.name == name]
    return {
        "source": node.content_key,
        "kind": node.kind,
        "n_dropped": len(node) - len(own),
        "frame": [entry.frame for entry in own],
        "key": [entry.key for entry in own],
        "part": [entry.part for entry in own],
        "max_force": [entry.max_force for entry in own],
    }


def _entries(attributes: Mapping[str, Any]) -> list[Entry]:
    return [
        Entry(key, part, max_force, columns["source"], frame, columns["kind"], name, attributes["round"])
        for name, columns in sorted(attributes["labels"].items())
        for frame, key, part, max_force in zip(
            *(columns[c] for c in ("frame", "key", "part", "max_force")), strict=True
        )
    ]


def _key(attributes: Mapping[str, Any]) -> str:
    content = {name: attributes[name] for name in ("level_of_theory", "previous", "labels")}
    content |= {name: attributes[name] for name in ("false",) if name in attributes}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _json(value: Any) -> dict[str, Any]:
    """Return a column of JSON, which SQLite hands out as text where the statement is plain SQL."""
    return json.loads(value) if isinstance(value, str) else value


def _session() -> Any:
    storage: Any = get_manager().get_profile_storage()
    return storage.get_session()
