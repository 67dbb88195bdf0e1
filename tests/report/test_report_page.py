"""The report: complete, escaped, marked where its numbers mean nothing, and free of the network."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from aiida_haml.analysis.ranking.order import rank
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.report import Candidate, Cycle, Level, ReportData, Segment, render
from aiida_haml.report.gallery import gallery
from aiida_haml.report.page import number
from tests.report.fakes import full_series, report_of
from tests.stories import PROTECTIVE, STORIES, replicate

EVIL = "<script>alert('x')</script> & $x$"
#: A story for each label.
TOLD = ("thin layer that stops", "endless linear", "inert")


def series(level, seed=0):
    """Return what a description says of a candidate without its cells."""
    left_out = ("profile", "snapshot")
    return {name: values for name, values in full_series(level, seed).items() if not name.startswith(left_out)}


def candidate(key, label, level, seed=1):
    return Candidate(
        key=key, label=label, uuid=f"uuid-{key}", formula="Li6PS5Cl", temperature_K=300.0, seed=seed,
        simulated_fs=2000.0, series=series(level, seed=seed),
        segments=[Segment("burst", 0, 200), Segment("stretch", 200, 900), Segment("burst", 900, 1000),
                  Segment("stretch", 1000, 2000)],
        cycles=[Cycle(0, 200, None, 0.3, 700, 700), Cycle(1, 100, 0.12, 0.2, 1000, 900, "deviation")],
    )  # fmt: skip


def screen(labels=("pristine", "O-doped", EVIL), engine="cp2k", name="pbe-dzvp"):
    candidates = [candidate(f"c{i}", label, 0.2 + 0.3 * i) for i, label in enumerate(labels)]
    told = [
        dataclasses.replace(replicate(story, STORIES[story], 1, label=c.label), key=c.key)
        for c, story in zip(candidates, TOLD, strict=False)
    ]
    ranking = rank(told, RankingSettings(min_simulated_fs=0, n_weight_draws=50), PROTECTIVE)
    n = len(labels)
    ranking |= {"distances": (1 - np.eye(n)).tolist(), "teacher": engine == "teacher"}
    return report_of(ranking, candidates, engine, name)


def undrawn(data):
    """Return the data without series: tables are fast, figures are not."""
    return dataclasses.replace(data, candidates=[dataclasses.replace(c, series={}) for c in data.candidates])


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that what is opened is closed."""

    VOID = ("meta", "br", "img", "hr", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.ids, self.texts = [], [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def html():
    return render(screen())


def test_the_page_is_whole_and_small(html):
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert len(html.encode()) < 1_000_000
    drawn = gallery(screen())
    assert set(drawn.shared) >= {"comparison", "motion", "learning", "cost"}
    assert set(drawn.groups[0][1]) >= {"consumed", "scores", "order", "tree"}
    assert sum(tag == "svg" for tag, _ in page.tags) == len(list(drawn))
    assert {t for t, _ in page.tags} >= {"main", "nav", "caption", "figure", "figcaption", "h1", "h2"}


def test_labels_from_the_database_are_escaped(html):
    assert len(re.findall(r"<script", html, re.IGNORECASE)) == 1  # the page's own, which the policy names by its hash
    assert not any(k.startswith("on") for _, attrs in Page(html).tags for k in attrs)
    assert "&lt;script&gt;alert(" in html
    assert EVIL in Page(html).text  # dollars too stand as they were written, in tables and figures


def test_nothing_is_fetched_from_the_network(html):
    for _, attrs in Page(html).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert not (attrs.get(name) or "#").startswith(("http", "//")), attrs
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_the_same_data_gives_the_same_text(html):
    assert render(screen()) == html


def test_ids_are_unique_and_referred_to(html):
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    for _, attrs in page.tags:
        for name in ("href", "xlink:href"):
            if (attrs.get(name) or "").startswith("#"):
                assert attrs[name][1:] in page.ids


def test_readers_without_mouse_or_eyes_get_everything(html):
    page = Page(html)
    assert all(a.get("role") == "img" and a.get("aria-label") for t, a in page.tags if t == "svg")
    assert all(a.get("scope") in ("col", "row") for t, a in page.tags if t == "th")
    scrolled = [a for _, a in page.tags if a.get("class") == "scroll"]
    assert scrolled
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in scrolled)
    assert "@media print" in html
    assert ("html", {"lang": "en"}) in page.tags


def test_rank_interval_cost_audit_and_provenance_are_told(html):
    text = Page(html).text
    pieces = [
        "Speed-up over AIMD alone: 3.21", "1234-uuid", "uuid-c0", "CP2K 2023.1", "dopant: O", "abc123",
        "without a creator: 0", "Fewer than 3 replicates", "How fast the layer forms", "is first, tied with",
        "does not react", "0.25",
    ]  # fmt: skip
    for piece in pieces:
        assert piece in text, piece
    first = screen().ranking["candidates"][0]
    assert f"{first['score']:.3g}" in text


def test_the_index_tells_each_candidates_pressure_or_that_it_is_not_known():
    data = screen()
    first, *others = data.candidates
    pressed = [
        dataclasses.replace(first, pressure_GPa=-1.25),
        *(dataclasses.replace(c, pressure_GPa=None) for c in others),
    ]
    page = render(dataclasses.replace(data, candidates=pressed))
    table = re.search(r'<details id="index".*?</details>', page, re.DOTALL)[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
    column = rows[0].index("Pressure / GPa")
    told = {row[0]: row[column] for row in rows[1:]}
    assert told == {first.key: "-1.2", **{c.key: number(None) for c in others}}


def test_each_group_has_its_verdict_ahead_of_any_number(html):
    text = Page(html).text
    (group,) = screen().ranking["groups"]
    place = text.index(group["sentence"])
    assert text.index("Verdict") < place < text.index("Candidates, best first")


def test_handovers_and_bursts_are_marked(html):
    assert html.count("burst (AIMD)") == 3
    assert html.count(">handover<") == 3


@pytest.mark.parametrize(
    ("engine", "name", "banner"),
    [("teacher", "teacher", "TEACHER"), ("cp2k", "gfn1-xtb", "PIPELINE ONLY"), ("cp2k", "pbe-dzvp", None)],
)
def test_numbers_that_mean_nothing_are_marked(engine, name, banner):
    text = render(undrawn(screen(("a", "b"), engine, name)))
    if banner is None:
        assert 'class="banner"' not in text
        assert 'class="mark"' not in text
        return
    assert f"<strong>{banner}</strong>" in text
    sections = text.count("<h2")
    assert text.lower().count(f'<span class="mark">{banner.lower()}</span>') == sections
    captions = re.findall(r"<caption>(?:Candidates|Metrics of|Parts|Growth|Cycles|Work).*?</caption>", text)
    assert len(captions) == 6
    assert all(banner.lower() in c.lower() for c in captions)


def test_a_ranking_made_by_a_teacher_is_marked_whatever_the_level_says():
    data = screen(("a", "b"))
    data.ranking["teacher"] = True
    assert "<strong>TEACHER</strong>" in render(undrawn(data))


def test_undetermined_candidates_show_their_reason():
    data = screen(("a", "b"))
    row = data.ranking["candidates"][1]
    row |= {
        "rank": None,
        "score": None,
        "interval": [None, None],
        "verdict": "undetermined",
        "reason": "simulated 5 fs",
    }
    row["parts"] = dict.fromkeys(row["parts"])
    text = render(undrawn(data))
    assert "undetermined" in text
    assert "simulated 5 fs" in text
    Page(text)


def test_a_screen_that_has_just_begun_has_a_report():
    text = render(ReportData("Empty", {}, Level("pbe-dzvp", "key", "cp2k"), [Candidate("a", "a")]))
    page = Page(text)
    for piece in (
        "no ranking yet",
        "Not described",
        "No cycle",
        "No account",
        "No audit",
        "No specification",
    ):
        assert piece in page.text, piece


def test_series_of_nothing_but_nan_are_left_out():
    data = screen(("a",))
    nothing = dict(data.candidates[0].series)
    nothing |= {k: np.full_like(v, np.nan) for k, v in nothing.items() if v.dtype.kind == "f" and k != "time"}
    Page(render(dataclasses.replace(data, candidates=[dataclasses.replace(data.candidates[0], series=nothing)])))
