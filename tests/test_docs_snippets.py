"""The snippets of README and docs that are marked ``<!-- runnable -->`` run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNIPPET = re.compile(r"^<!-- runnable -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


def _beside_python(name):
    return str(Path(sys.executable).parent / name)
