"""The potential node: fixed content, queryable attributes, and trust that no archive carries."""

import hashlib

import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.tools.archive import create_archive, import_archive

from aiida_haml.data.potential import PotentialData
from aiida_haml.data.trust import distrust, is_trusted, trust

ERRORS = {"valid": {"force_rmse": 0.08, "energy_rmse_per_atom": 0.002, "n_frames": 3}}


@pytest.fixture
def make(tmp_path):
    """Return a function that makes an unstored potential from the bytes of its members."""

    def _make(*members: bytes, **changes) -> PotentialData:
        paths = []
        for i, content in enumerate(members):
            # The files' names on disk must not matter.
            path = tmp_path / f"{hashlib.sha256(content).hexdigest()[:8]}_{i}.pt"
            path.write_bytes(content)
            paths.append(path)
        arguments = {
            "elements": ["S", "Li"],
            "cutoff": 5.0,
            "precision": "float64",
            "level_of_theory": "xtb-1",
        }
        return PotentialData.from_files(paths, **(arguments | {"errors": ERRORS} | changes))

    return _make


def test_content_and_attributes(aiida_profile_clean, make):
    node = make(b"first", b"second").store()
    assert node.n_members == 2
    assert node.elements == ["Li", "S"]
    assert node.sha256 == [hashlib.sha256(b).hexdigest() for b in (b"first", b"second")]
    assert node.read_member(1) == b"second"
    assert node.base.repository.list_object_names() == ["member_0.model", "member_1.model"]


def test_same_content_same_hash(aiida_profile_clean, make):
    one, two, other = make(b"first").store(), make(b"first").store(), make(b"second").store()
    assert one.base.caching.get_hash() == two.base.caching.get_hash()
    assert one.base.caching.get_hash() != other.base.caching.get_hash()


def test_attributes_can_be_queried(aiida_profile_clean, make):
    node = make(b"first").store()
    make(b"second", level_of_theory="pbe-1").store()
    query = orm.QueryBuilder().append(
        PotentialData,
        filters={"attributes.level_of_theory": "xtb-1", "attributes.errors.valid.force_rmse": {"<": 0.1}},
        project="id",
    )
    assert query.all(flat=True) == [node.pk]
    assert PotentialData.fields.attributes.n_members is not None


def test_trust_is_given_by_file_and_not_by_node(aiida_profile_clean, make):
    node = make(b"known", b"unknown").store()
    assert not node.is_trusted
    trust(node.sha256[0])
    assert not node.is_trusted
    node.trust()
    assert node.is_trusted
    assert make(b"unknown", b"known").is_trusted
    distrust(node.sha256[1])
    assert not node.is_trusted


def test_an_imported_potential_is_not_trusted(aiida_profile_clean, make, tmp_path):
    node = make(b"shared").store()
    node.trust()
    uuid, sha256 = node.uuid, node.sha256[0]
    create_archive([node], filename=tmp_path / "potential.aiida")
    # A clean storage keeps its settings: take the trust back, as if this were another profile.
    aiida_profile_clean.reset_storage()
    distrust(sha256)
    assert not is_trusted(sha256)
    import_archive(tmp_path / "potential.aiida")
    imported = orm.load_node(uuid)
    assert imported.read_member(0) == b"shared"
    assert not imported.is_trusted
    imported.trust()
    assert imported.is_trusted


def test_files_that_do_not_match_their_hashes_are_not_stored(aiida_profile_clean, make):
    node = make(b"first")
    node.base.attributes.set("sha256", ["0" * 64])
    with pytest.raises(ValidationError, match="hashes"):
        node.store()
    with pytest.raises(ValidationError, match="from_files"):
        PotentialData().store()


@pytest.mark.parametrize(
    ("members", "changes", "message"),
    [
        ((), {}, "at least one model file"),
        ((b"x",), {"precision": "float16"}, "precision is 'float16'"),
        ((b"x",), {"elements": []}, "name the elements"),
        ((b"x",), {"cutoff": 0.0}, "cutoff is 0.0"),
    ],
)
def test_nonsense_is_refused(aiida_profile_clean, make, members, changes, message):
    with pytest.raises(ValueError, match=message):
        make(*members, **changes)


def test_only_a_hash_can_be_trusted(aiida_profile_clean):
    with pytest.raises(ValueError, match="64"):
        trust("all")
