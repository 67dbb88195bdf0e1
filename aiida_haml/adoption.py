"""Taking what came with an archive for one's own.

AiiDA takes the hash off every node that it imports, and looks for finished work by hash: an imported screen that is
submitted again is paid for again. To adopt nodes is to give them their hashes back, which says that what the archive
claims of these jobs is as good as if they had run here. Their isolated atoms count from then on too
(`queries.labels`). Potentials stay what they were: to load one is another decision (`data.trust`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiida import orm
from aiida.common.hashing import make_hash
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes

from aiida_haml.storage import patiently

#: Nodes whose hashes are written at once.
BATCH = 500


def adopt(pks: Iterable[int], codes: Mapping[int, orm.AbstractCode] | None = None) -> int:
    """Give nodes the hashes that they would have, had they been made here.

    Parameters
    ----------
    pks : iterable of int
        Of nodes that came with an archive, see `queries.origin.foreign`.
    codes : mapping of int to AbstractCode, optional
        Pk of a code of the archive -> the code of one's own that gives the same results. Its jobs are found when one
        submits with the own code: the computer and the paths of somebody else are part of no hash that ever comes up
        here. Jobs of other codes are found by those who run that very code.

    Returns
    -------
    int
        Number of nodes adopted.
    """
    same = {orm.load_node(pk).uuid: code for pk, code in (codes or {}).items()}
    ordered, n_adopted = sorted(set(pks)), 0
    storage = get_manager().get_profile_storage()
    for start in range(0, len(ordered), BATCH):
        found = list(_hashed(ordered[start : start + BATCH], same))
        patiently(storage.bulk_update, EntityTypes.NODE, found)
        n_adopted += len(found)
    return n_adopted


def _hashed(pks: list[int], codes: Mapping[str, orm.AbstractCode]) -> Iterator[dict[str, Any]]:
    query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": pks}}, project="*")
    for node in query.all(flat=True):
        digest = _hash_of_job(node, codes) if isinstance(node, orm.CalcJobNode) else node.base.caching.compute_hash()
        if digest is not None:
            yield {"id": node.pk, "extras": {**node.base.extras.all, node.base.caching._HASH_EXTRA_KEY: digest}}


def _hash_of_job(job: orm.CalcJobNode, codes: Mapping[str, orm.AbstractCode]) -> str | None:
    """Return the hash of the job as if the equivalent code, on its computer, had run it."""
    codes_run: Any = job.base.links.get_incoming(link_label_filter="code").all_nodes()
    own = codes.get(codes_run[0].uuid) if codes_run else None
    if own is None:
        return job.base.caching.compute_hash()
    content: Any = job.base.caching.get_objects_to_hash()
    content["inputs"]["code"] = own.base.caching.compute_hash()
    content["computer_uuid"] = own.computer.uuid if own.computer is not None else None
    return make_hash(content)
