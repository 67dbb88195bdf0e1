"""Candidates of all screens, and what those that are alike differ in."""

import copy

import pytest
from aiida import orm

from aiida_haml.queries import candidates_like, find_candidates, screen_cards
from tests.graphs import RANKING, Builder

OXYGEN = {
    "label": "Li6PS4OCl",
    "structure": {
        "host": "Li6PS5Cl",
        "interface": {"layers": 2},
        "doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}],
        "configuration": 0,
    },
    "temperature_K": 300.0,
    "seed": 1,
}


def changed(**changes):
    content = copy.deepcopy(OXYGEN)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = content
        for name in way:
            inner = inner[name]
        inner[last] = value
    return content


@pytest.fixture
def lay(aiida_profile_clean, aiida_localhost, tmp_path):
    builder = Builder(aiida_localhost, tmp_path)

    def screen(ranked=None, **candidates):
        inputs = {f"candidates__{slug}": orm.Dict(content) for slug, content in candidates.items()}
        node = builder.process(orm.WorkChainNode, "haml.screen", inputs)
        if ranked is not None:
            lines = [{**RANKING["candidates"][0], "label": ranked}]
            made = builder.process(orm.CalcJobNode, "haml.rank", {}, node)
            builder.give_back(node, ranking=builder.create(made, ranking=orm.Dict({**RANKING, "candidates": lines})))
        return node

    return screen


def test_candidates_of_all_screens_are_found_with_what_became_of_them(lay):
    old = lay(ranked="Li6PS4OCl", o=OXYGEN)
    new = lay(se=changed(label="Se", structure__doping=[{"dopant": "Se", "site": "16e", "fraction": 0.25}]))
    found = find_candidates()
    assert [(c.screen, c.slug) for c in found] == [(new.pk, "se"), (old.pk, "o")]
    assert (found[0].status, found[0].rank, found[0].level) == (None, None, None)
    assert (found[1].rank, found[1].score, found[1].level) == (1, 0.5, "key")
    assert found[1].status.startswith("passivates")
    assert [c.slug for c in find_candidates(dopant="Se")] == ["se"]
    assert find_candidates(owner="nobody@nowhere") == []


def test_candidates_of_the_same_material_say_in_what_they_differ(lay):
    lay(o=OXYGEN, p=changed(label="pristine", structure__doping=[]))
    lay(hot=changed(temperature_K=500.0), seed=changed(seed=2, structure__interface={"layers": 4}), twin=OXYGEN)
    lay(more=changed(structure__doping=[{"dopant": "O", "site": "16e", "fraction": 0.5}]))
    (own,) = [c for c in find_candidates() if c.slug == "o"]
    kin = {k.candidate.slug: k.differs for k in candidates_like(own)}
    assert list(kin) == ["twin", "hot", "seed"]
    assert kin == {"twin": (), "hot": ("temperature_K",), "seed": ("seed", "structure.interface")}


def test_the_number_of_statements_does_not_grow(lay, count_statements):
    counts = []
    for _ in range(3):
        lay(ranked="Li6PS4OCl", o=OXYGEN, hot=changed(temperature_K=500.0))
        counts.append(count_statements(find_candidates))
    assert len(set(counts)) == 1, counts


def test_the_number_of_statements_of_cards_does_not_grow(lay, count_statements):
    screens, counts = [], []
    for _ in range(3):
        screens.append(lay(ranked="Li6PS4OCl", o=OXYGEN, hot=changed(temperature_K=500.0)).pk)
        counts.append(count_statements(screen_cards, list(screens)))
    assert len(set(counts)) == 1, counts
    cards = screen_cards(screens)
    assert [[c.slug for c in cards[pk].candidates] for pk in screens] == [["hot", "o"]] * 3
