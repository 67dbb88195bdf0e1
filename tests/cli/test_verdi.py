"""What AiiDA's own commands show of a screen, with the options that the docs name."""

import re
import shlex
from pathlib import Path

import graphviz
import pytest
from aiida.cmdline.commands.cmd_verdi import verdi
from click.testing import CliRunner

from tests.graphs import Builder, lay_screen

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "database.md"


@pytest.fixture
def screen(aiida_profile_clean, aiida_localhost, tmp_path):
    return lay_screen(Builder(aiida_localhost, tmp_path)).made["screen"]


def shown(command, screen):
    """Return the command of AiiDA's that the docs show, on a screen."""
    (line,) = re.findall(rf"^\$ verdi ({command} [^#\n]+)", PAGE.read_text(), re.MULTILINE)
    return [str(screen.pk) if word == "SCREEN" else word for word in shlex.split(line)]


def verdi_prints(arguments):
    result = CliRunner().invoke(verdi, arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_the_folders_of_a_dump_are_named_by_what_was_done(screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verdi_prints(shown("process dump", screen))
    folders = {path.name for path in tmp_path.rglob("*") if path.is_dir()}
    for name in ("dynamics", "c000__burst_0000", "learn_0000", "c000__stretch_0001", "judge_0002"):
        assert any(re.fullmatch(rf"\d\d-{name}-.*", folder) for folder in folders), (name, sorted(folders))


def test_the_graph_of_a_screen_fits_a_page(screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    screen.label = "a study"
    drawn = []
    monkeypatch.setattr(graphviz.Digraph, "render", lambda graph, *_, **__: drawn.append(graph.source) or "drawn")
    verdi_prints(shown("node graph generate", screen))
    (source,) = drawn
    nodes = re.findall(r"^\s*N\d+ \[label=\"([^\"]*)", source, re.MULTILINE)
    assert any(node.startswith(f"haml.screen ({screen.pk}|a study)") for node in nodes), nodes
    assert any(node.startswith("haml.hybrid") for node in nodes)
    assert not any(node.startswith("haml.lammps") for node in nodes), "the rounds are inside the dynamics"
