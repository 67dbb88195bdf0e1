"""The page with everything in it: safe, small, alive in a browser and whole without one."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from aiida_haml.analysis.balance.states import STATES
from aiida_haml.report import render
from aiida_haml.report.gallery import MAX_DETAILED
from aiida_haml.report.page import safe_json
from tests.report.fakes import EVIL, full_screen

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "</script><img src=x onerror=alert(1)><!--{}--> & $y$ \u2028"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=20000",
)  # fmt: skip


def hostile_screen():
    """Return a screen whose every text is an attack."""
    evil = HOSTILE.format
    data = full_screen(labels=("pristine", EVIL), n_atoms=40)
    phases = np.array([evil(f"phase {i}") for i in range(5)])
    candidates = [
        dataclasses.replace(
            c, key=evil(c.key), formula=evil("formula"), uuid=evil("uuid"),
            series=c.series | {
                "phases": phases, "events_pair": np.array([evil("pair")] * len(c.series["events_pair"])),
                "fragments": np.array([evil("piece")]), "units_" + evil("unit"): c.series["ps4_fraction"],
                "li_diffusivity_normal_reason": np.array(evil("too short")),
            },
            cycles=[dataclasses.replace(cycle, stopped_by=evil("watch")) for cycle in c.cycles],
        )
        for c in data.candidates
    ]  # fmt: skip
    for row, candidate in zip(data.ranking["candidates"], candidates, strict=True):
        row["members"] = [candidate.key]
        row["kinetics"] |= {"law": evil("law"), "reason": evil("reason")}
        row |= {"verdict": evil("verdict"), "group": evil("group")}
    data.ranking["groups"][0] |= {"name": evil("group"), "sentence": evil("sentence"), "tied": [[evil("tied"), "b"]]}
    data.ranking["warnings"] = [evil("warning")]
    data.ranking["arrhenius"] = [{"label": evil("energy"), "activation_energy_eV": None, "interval": None,
                                  "status": evil("status")}]  # fmt: skip
    for pair in data.ranking["differences"]:
        pair["clusters"][0] |= {"central": evil("central"), "nearest_phase": evil("nearest")}
    return dataclasses.replace(data, title=evil("title"), candidates=candidates, spec={evil("field"): evil("value")})


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts, self.inside = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.inside, _ = True, self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def hostile():
    return render(hostile_screen())


def test_no_text_of_the_database_becomes_an_element_or_a_script(hostile):
    page = Elements(hostile)
    assert not [tag for tag, attrs in page.tags if tag == "img" or any(k.startswith("on") for k in attrs)]
    assert [attrs.get("type") for tag, attrs in page.tags if tag == "script"] == ["application/json", None]
    text = " ".join(page.texts)
    for piece in ("title", "formula", "uuid", "piece", "too short", "watch", "law", "reason", "group", "sentence",
                  "tied", "verdict", "warning",
                  "energy", "status", "central", "nearest", "field", "value"):  # fmt: skip
        assert HOSTILE.format(piece).split("\u2028")[0] in text, piece


def test_only_the_script_of_the_package_may_run(hostile):
    page = Elements(hostile)
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    allowed = re.search(r"script-src 'sha256-([^']*)'", policy).group(1)
    assert base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode() == allowed
    assert "default-src 'none'" in policy


def test_the_viewer_gets_the_cells_as_they_are(hostile):
    data = hostile_screen()
    shown = json.loads(Elements(hostile).scripts[0])
    assert [s["label"] for s in shown] == [c.label for c in data.candidates]
    for entry, candidate in zip(shown, data.candidates, strict=True):
        for k, frame in enumerate(entry["frames"]):
            cell = np.array(frame["cell"])
            places = np.array(frame["positions"]).reshape(-1, 3) / 100
            moved = (places - candidate.series["snapshot_positions"][k]) @ np.linalg.inv(cell)
            assert np.abs(moved - np.rint(moved)).max() < 0.002  # whole cell vectors, to hundredths of an Angstrom
            names = [entry["states"][i]["name"] for i in frame["states"]]
            assert names == [STATES[i] for i in candidate.series["snapshot_states"][k]]


def test_json_inside_a_page_cannot_end_its_element():
    value = {"</script><!--": ["&", "\u2028", "<b>"]}
    text = str(safe_json(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_fifty_candidates_stay_small_and_all_are_listed():
    data = full_screen(tuple(f"doping {i:02d}" for i in range(50)), n_atoms=300)
    for c in data.candidates[MAX_DETAILED:]:
        c.cycles.clear()
    text = render(data)
    assert len(text.encode()) < 5_000_000
    page = Elements(text)
    index = text[text.index('id="index"') : text.index("</details>")]
    assert all(f"<td>doping {i:02d}</td>" in index for i in range(50))
    assert f"{50 - MAX_DETAILED} more candidates are not drawn" in " ".join(page.texts)
    targets = {a["id"] for _, a in page.tags if "id" in a}
    assert all(a["href"][1:] in targets for t, a in page.tags if t == "a")


def browse(page, tmp_path, *options):
    assert CHROMIUM, "no Chromium is on the PATH; `make test` installs it, or tells how"
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    flags = [*FLAGS, f"--user-data-dir={tmp_path / 'browser'}", *options, path.as_uri()]
    return subprocess.run([CHROMIUM, *flags], capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.engine
def test_a_browser_shows_every_figure_and_complains_of_nothing(hostile, tmp_path):
    done = browse(hostile, tmp_path, "--dump-dom")
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert '<html lang="en" class="live">' in done.stdout
    page = Elements(done.stdout)
    (canvas,) = [a for t, a in page.tags if t == "canvas"]
    assert "coloured by state: " in canvas["aria-label"]
    assert canvas["tabindex"] == "0"
    assert {a["aria-label"] for t, a in page.tags if t == "button"} >= {"Turn left", "Tilt up", "Zoom in"}
    assert sum(t == "svg" for t, _ in page.tags) == hostile.count("<svg ")


#: A browser without a screen draws no further frames: they are called by the clock instead.
CLOCK = "<script>window.requestAnimationFrame = (draw) => setTimeout(draw, 16);</script>"
PROBE = """<script>
const canvas = document.querySelector("canvas"), said = [];
const count = () => {
  const seen = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let total = 0, sum = 0;
  for (let i = 0; i < seen.length; i += 4) if (seen[i] + seen[i + 1] + seen[i + 2] < 720) { total++; sum += i % 9973; }
  return total + ":" + sum;
};
const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
const next = () => new Promise((done) => setTimeout(done, 100));
(async () => {
  await next(); said.push(count());
  for (const key of ["ArrowLeft", "+", "0"]) { press(key); await next(); said.push(count()); }
  const [which, when, colour] = document.querySelectorAll("#viewer select");
  colour.value = "1"; colour.dispatchEvent(new Event("change")); await next(); said.push(count());
  document.title = "probe " + said.join(" ");
})();
</script>"""


@pytest.mark.engine
def test_keys_turn_zoom_and_reset_the_cell(hostile, tmp_path):
    opened = re.sub(r"<meta http-equiv[^>]*>", CLOCK, hostile).replace("</body>", f"{PROBE}</body>")
    title = re.search(r"<title>probe ([^<]*)", browse(opened, tmp_path, "--dump-dom").stdout)
    start, turned, larger, reset, element = title.group(1).split()
    assert int(start.split(":")[0]) > 1000  # pixels that are not white
    assert len({start, turned, larger}) == 3
    assert reset == start
    assert element != start
    assert int(larger.split(":")[0]) > int(start.split(":")[0])
