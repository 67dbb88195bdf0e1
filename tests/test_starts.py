"""What a screen starts from: the newest committee that fits, or the one that was named."""

import pytest

from aiida_haml.data.potential import PotentialData
from aiida_haml.starts import start_from
from tests.models import tiny_mace

THEORY = "pbe-0123456789ab"


@pytest.fixture
def committee(aiida_profile_clean, tmp_path):
    def make(elements=("Li", "S"), level=f"{THEORY}@cp2k-2025.1", trusted=True):
        node = PotentialData.from_files(
            [tiny_mace(tmp_path / "m.model", list(elements))], elements, 4.0, "float64", level
        )
        if trusted:
            node.trust()
        else:
            node.distrust()
        return node.store()

    return make


def test_the_newest_that_fits_is_taken(committee):
    committee()
    newest = committee()
    committee(("Li",))  # does not know sulfur
    committee(level="pbe-ffffffffffff@cp2k-2025.1")
    assert start_from("own", THEORY, ["Li", "S"])["potential"].uuid == newest.uuid
    assert start_from("own", THEORY, ["Li", "S", "O"]) == {}


def test_what_is_not_trusted_is_not_taken_unasked(committee):
    committee(trusted=False)
    assert start_from("own", THEORY, ["Li", "S"]) == {}


def test_one_may_be_named(committee):
    node = committee()
    for name in (str(node.pk), node.uuid):
        assert start_from(name, THEORY, ["Li"])["potential"].uuid == node.uuid


@pytest.mark.parametrize("name", ["999999", "nonsense", "-1"])
def test_what_is_no_potential_is_refused(committee, name):
    with pytest.raises(ValueError, match="no potential of this database"):
        start_from(name, THEORY, ["Li"])


def test_another_level_of_theory_is_refused(committee):
    node = committee(level="lda-0123456789ab@cp2k-2025.1")
    with pytest.raises(ValueError, match="forces differ"):
        start_from(str(node.pk), THEORY, ["Li"])
