"""Imports point one way: workchains -> bridge -> pure parts, and the command line starts without AiiDA."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "aiida_haml"

#: Rooms that know nothing of AiiDA, and single modules that do not either.
PURE = ("arrays", "frames", "precision", "reading", "settings", "spec", "structures", "learning", "analysis", "engines")
#: Modules of the bridge that only hold or draw plain values.
PURE_MODULES = ("report.data", "report.figures", "report.gallery", "report.page")
BRIDGE = (
    "adoption",
    "archives",
    "consent",
    "codes",
    "scheduling",
    "handover",
    "starts",
    "storage",
    "data",
    "calculations",
    "parsers",
    "groups",
    "queries",
    "report",
    "cli",
)
#: What a room may import of the package, besides itself.
ALLOWED = {
    "arrays": set(),
    "precision": set(),
    "frames": {"arrays", "precision"},
    "settings": set(),
    "reading": {"arrays", "frames"},
    "structures": {"arrays", "frames", "settings"},
    "learning": {"arrays", "frames", "settings"},
    "analysis": {"arrays", "frames", "settings", "structures"},
    "engines": {"arrays", "frames", "settings", "structures", "learning", "analysis"},
    "spec": {"structures", "analysis", "engines"},
    **{room: {*PURE, *BRIDGE} - {"cli"} for room in BRIDGE},
}
ALLOWED["cli"] |= {"workchains"}
ALLOWED["workchains"] = {*PURE, *BRIDGE} - {"cli", "report"}


def modules():
    # Through the link to workchains, which rglob does not follow.
    for path in sorted([*PACKAGE.rglob("*.py"), *(PACKAGE / "workchains").rglob("*.py")]):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imported(path):
    """Every module that a file imports, inside functions too, by its full name."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "aiida_haml":
                yield from (f"aiida_haml.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "path"), [m for m in modules() if m[0] != "__init__"], ids=lambda v: str(v)[-40:])
def test_imports_point_one_way(name, path):
    room = name.split(".")[0]
    if room in PURE or name.startswith(PURE_MODULES):
        foreign = [m for m in imported(path) if m.split(".")[0].startswith("aiida") and not m.startswith("aiida_haml")]
        assert not foreign, f"{name} is a pure part and imports {foreign}"
    rooms = {m.split(".")[1] for m in imported(path) if m.startswith("aiida_haml.")} - {room}
    assert rooms <= ALLOWED[room], f"{name} imports {sorted(rooms - ALLOWED[room])}"


def test_every_room_is_known():
    rooms = {name.split(".")[0] for name, _ in modules()} - {"__init__"}
    assert rooms == set(ALLOWED)


def test_no_module_is_called_utils():
    assert not [name for name, _ in modules() if name.endswith(("utils", "helpers", "common", "misc"))]


def test_every_text_for_a_terminal_passes_one_place():
    """Foreign text reaches the terminal through `cli.messages`, which writes control codes out."""
    found = []
    for name, path in modules():
        if not name.startswith("cli") or name == "cli.messages":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in (
                "print",
                "click.echo",
                "click.secho",
                "click.confirm",
                "click.prompt",
                "click.ClickException",
            ):
                found.append(f"{path.name}:{node.lineno}: {called}")
    assert not found


def test_help_is_shown_without_loading_aiida():
    code = "import sys, aiida_haml.cli; print([m for m in sys.modules if m.split('.')[0] == 'aiida'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pure_parts_import_without_aiida():
    """What runs on a computing machine must not need the database's package at all."""
    names = [f"aiida_haml.{name}" for name in ("frames", "spec", "structures.candidates", "engines", "learning.pool")]
    block = "import sys; sys.modules['aiida'] = None; import importlib; "
    code = block + f"[importlib.import_module(n) for n in {names}]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_benchmarks_find_the_tests_of_this_tree():
    """They are run as scripts, and some package of others installs one that is called ``tests`` too."""
    scripts = [path for path in (Path(__file__).parent / "benchmarks").rglob("*.py") if not path.name.startswith("_")]
    lost = [
        path.name
        for path in scripts
        if "\nfrom tests." in (text := path.read_text())
        and "sys.path.insert(0, str(Path(__file__).parents[" not in text.partition("\nfrom tests.")[0]
    ]
    assert not lost
