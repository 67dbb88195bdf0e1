"""The sanity table of the docs: three cells whose answer is known."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "sanity.py"


@pytest.fixture(scope="module")
def table():
    return runpy.run_path(str(SCRIPT))["table"]()


def test_a_product_has_reacted_and_a_built_interface_has_not(table):
    assert table["Li2S"]["reacted_fraction"] > 0.97
    assert table["fully reacted"]["reacted_fraction"] > 0.97
    assert table["Li6PS5Cl on Li, as built"]["reacted_fraction"] < 0.15
    assert table["Li6PS5Cl on Li, as built"]["product_score"] < 0.1
    assert min(table[name]["product_score"] for name in ("Li2S", "fully reacted")) > 0.9


def test_phosphorus_is_reduced_from_five_to_minus_three(table):
    built, reacted = table["Li6PS5Cl on Li, as built"], table["fully reacted"]
    assert (built["ps4_fraction"], reacted["ps4_fraction"]) == (1, 0)
    assert (built["p_oxidation_state"], reacted["p_oxidation_state"]) == (5, -3)


def test_anions_of_the_products_have_their_crystals_neighbours(table):
    assert table["fully reacted"]["li_around_S"] == pytest.approx(8, abs=0.1)
    assert table["fully reacted"]["li_around_Cl"] == pytest.approx(6, abs=0.1)
