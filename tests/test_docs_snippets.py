"""The snippets of README and docs that are marked ``<!-- runnable -->`` run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiida_haml import queries
from aiida_haml.scheduling import option_problems
from aiida_haml.workchains.lattices import lattice_complaint
from aiida_haml.workchains.protocols import protocol_settings
from tests.graphs import Builder, lay_screen

ROOT = Path(__file__).parents[1]
SNIPPET = re.compile(r"^<!-- runnable -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUESTIONS = re.compile(
    r"^<!-- runnable on a screen -->\n```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def snippets():
    for page in PAGES:
        if "generated" in page.parts or "_build" in page.parts:
            continue
        for i, match in enumerate(SNIPPET.finditer(page.read_text())):
            yield pytest.param(*match.groups(), id=f"{page.relative_to(ROOT)}:{i}")


@pytest.mark.parametrize(("language", "text"), snippets())
def test_runnable_snippet_runs(language, text):
    if language == "python":
        commands = [[sys.executable, "-c", text]]
    else:
        assert language == "console", f"snippets in {language} cannot be run"
        lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        commands = [
            [_beside_python(word) if i == 0 else word for i, word in enumerate(shlex.split(li))] for li in lines
        ]
    assert commands
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_questions_are_answered_as_the_pages_say(aiida_profile_clean, aiida_localhost, tmp_path, capsys):
    """They are asked of a small screen, laid by hand."""
    lay_screen(Builder(aiida_localhost, tmp_path)).made["screen"].label = "dopings"
    asked = [match for page in PAGES for match in QUESTIONS.findall(page.read_text())]
    assert asked
    for code, answers in asked:
        exec(code, {})
        assert capsys.readouterr().out == answers


def test_every_question_stands_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "python.md").read_text()
    documented = set(re.findall(r"automodule:: (aiida_haml\.queries\.\w+)", reference))
    asked = {getattr(queries, name).__module__ for name in queries.__all__}
    assert asked == documented


def test_there_are_runnable_snippets_in_readme_and_docs():
    pages = [page for page in PAGES if SNIPPET.search(page.read_text())]
    assert ROOT / "README.md" in pages
    assert len(pages) > 3


def test_commands_shown_anywhere_exist():
    """Every `aiida-haml ...` in the pages names a command and options that exist."""
    from aiida_haml.cli import haml

    for page in PAGES:
        for line in re.findall(r"^\$ aiida-haml ([^#\n]+)", page.read_text(), re.MULTILINE):
            command, words = haml, shlex.split(line)
            while words and hasattr(command, "commands"):
                word = words.pop(0)
                assert word in command.commands, f"{page.name}: aiida-haml {line}"
                command = command.commands[word]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {w for w in words if w.startswith("--")} <= known, f"{page.name}: aiida-haml {line}"


def overrides_shown():
    """Yield the overrides in blocks of YAML, and in lines such as `overrides: {lattice: {steps: 0}}`."""
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for i, block in enumerate([*blocks, *re.findall(r"`(overrides: \{[^`]*\})`", text)]):
            told = yaml.safe_load(block)
            if isinstance(told, dict) and "overrides" in told:
                yield pytest.param(told.get("protocol"), told["overrides"], id=f"{page.relative_to(ROOT)}:{i}")


@pytest.mark.parametrize(("protocol", "overrides"), overrides_shown())
def test_overrides_that_are_shown_are_taken(protocol, overrides):
    settings = protocol_settings(protocol, overrides)
    kinds = tuple(protocol_settings()["options"])
    assert [str(problem) for problem in option_problems(settings["options"], kinds, {})] == []
    assert lattice_complaint(settings) is None


def test_settings_that_are_named_exist():
    """Every `overrides.SECTION.KEY` in the pages is a setting of the protocols."""
    named = {name for page in PAGES for name in re.findall(r"`overrides((?:\.\w+)+)`", page.read_text())}
    assert len(named) > 1
    for name in named:
        section: Any = protocol_settings()
        for key in name.strip(".").split("."):
            assert key in section, f"overrides{name}"
            section = section[key]


def _beside_python(name):
    return str(Path(sys.executable).parent / name)
