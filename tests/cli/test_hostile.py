"""Inputs that mean no good, or that a tired person writes: one message, the right exit code, never a traceback.

1 says that something is refused or failed, 2 that the command line itself is wrong.
"""

import json
import os
from pathlib import Path

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.groups import add_labels
from tests.graphs import Builder, frames, lay_screen

SPEC = "name: a\ndopings: [pristine]\nlevel_of_theory: teacher\n"
ESC = "\x1b]0;owned\x07"
XYZ = '2\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\nLi 0 0 0\nLi 2 2 2\n'
CIF = "data_x\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\nloop_\n_atom_site_label\n"

#: Files that the cases below name.
FILES = {
    "good.yaml": SPEC,
    "empty.yaml": "",
    "list.yaml": "- a\n- b\n",
    "scalar.yaml": "42\n",
    "nul.yaml": "name: a\0b\n",
    "binary.yaml": b"\xff\xfe\x00\x01",
    "anchor.yaml": "a: &a [x]\nb: [*a, *a\n",
    "bomb.yaml": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"{c}: &{c} [{','.join(f'*{p}' for _ in range(9))}]\n" for p, c in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "self.yaml": "a: &a [*a]\n",
    "python.yaml": "name: !!python/object/apply:os.system ['touch PWNED']\n",
    "merge.yaml": "<<: 3\nname: a\n",
    "date.yaml": "name: 2020-99-99\ndopings: [pristine]\n",
    "keys.yaml": "? [1, 2]\n: x\n? {a: b}\n: y\n",
    "escape.yaml": f'name: "a"\ndopings: [pristine]\n"{"x" + chr(92)}x1b]0;owned{chr(92)}x07": 1\n',
    "name.yaml": SPEC.replace("name: a", "name: ../../etc/passwd"),
    "huge.yaml": SPEC + "host: {supercell: [12, 12, 12]}\n",
    "manydopings.yaml": "name: a\ndopings: [" + ", ".join(["pristine"] * 500) + "]\n",
    "device.yaml": "name: a\nhost: {file: /dev/null}\ndopings: [pristine]\n",
    "folder.yaml": "name: a\nhost: {file: /}\ndopings: [pristine]\n",
    "nanlayers.yaml": SPEC + "interface: {layers: .nan}\n",
    "boolean.yaml": SPEC + "temperature_K: yes\n",
    "null.yaml": "name: a\ndopings: null\n",
    "infinity.yaml": SPEC + "overrides: {hybrid: {simulated_fs: .inf}}\n",
    "nan.yaml": SPEC + "overrides: {dynamics: {timestep_fs: .nan}}\n",
    "negative.yaml": SPEC + "overrides: {dynamics: {timestep_fs: -1}}\n",
    "wordstep.yaml": SPEC + "overrides: {dynamics: {timestep_fs: short}}\n",
    "section.yaml": SPEC + "overrides: {dynamics: 3}\n",
    "overrides.yaml": SPEC + "overrides: [1, 2]\n",
    "options.yaml": SPEC + "overrides: {options: {md: 7}}\n",
    "nolevel.yaml": SPEC.replace("teacher", "{teacher: {calculator: 7}}"),
    "include.yaml": SPEC.replace("teacher", "{preset: pbe-szv, theory: {DFT: {'@INCLUDE': /etc/passwd}}}"),
    "foreign_file.yaml": SPEC.replace("teacher", "{preset: pbe-szv, theory: {DFT: {BASIS_SET_FILE_NAME: /tmp/x}}}"),
    "two_lines.yaml": SPEC.replace("teacher", '{preset: pbe-szv, theory: {DFT: {CHARGE: "0\\n@INCLUDE x"}}}'),
    "preset.yaml": SPEC.replace("teacher", "{preset: [pbe-szv], theory: {DFT: {}}}"),
    "theory_list.yaml": SPEC.replace("teacher", "{preset: pbe-szv, theory: [DFT]}"),
    "popen.yaml": SPEC.replace(
        "teacher", "{teacher: {calculator: 'subprocess:Popen', parameters: {args: 'touch PWNED', shell: true}}}"
    ),
    "good.xyz": XYZ,
    "empty.xyz": "",
    "negative.xyz": "-5\n\n",
    "claims.xyz": "1000000000\nLi\n",
    "short.xyz": XYZ.replace("Li 2 2 2\n", ""),
    "nan.xyz": XYZ.replace("2 2 2", "nan 2 2"),
    "element.xyz": XYZ.replace("Li 2", "Qq 2"),
    "flat.xyz": XYZ.replace("9 0 0 0 9 0 0 0 9", "9 0 0 9 0 0 0 0 9"),
    "json.xyz": XYZ.replace("Properties", 'a="_JSON {" Properties'),
    "bad.cif": CIF,
    "escape.cif": f"{ESC}{CIF}",
    "binary.cif": b"\x80\x81\x82" * 100,
    "card/potential.json": "[" * 5000,
    "lone/potential.json": json.dumps({"elements": ["Li"], "cutoff": 5, "precision": "float16"}),
    "lone/member_0.model": b"not a model",
}

#: Commands that read nothing.
KNOWN_HARMLESS = {
    ("labels", "list"),
    ("potential", "list"),
    ("structure", "references"),
    ("screen", "list"),
    ("screen", "schema"),
    ("labels", "collect"),
}

#: Arguments, exit code, and a word of the message. FILES are in the working directory; PK and FRAMES are stored nodes.
CASES = [
    # -- specifications: submit, build, store and dopings read them alike
    *[
        (("screen", "submit", "--dry-run", name), 1, word)
        for name, word in {
            "nothing.yaml": "cannot be read", "empty.yaml": "not a mapping", "list.yaml": "not a mapping",
            "scalar.yaml": "not a mapping", "nul.yaml": "not valid YAML", "binary.yaml": "cannot be read",
            "anchor.yaml": "not valid YAML", "self.yaml": "is required", "python.yaml": "not valid YAML",
            "merge.yaml": "not valid YAML", "date.yaml": "cannot be read", "keys.yaml": "problem",
            "escape.yaml": "is not a field", "name.yaml": "name", "device.yaml": "host.file",
            "folder.yaml": "host.file",
            "nanlayers.yaml": "interface.layers", "boolean.yaml": "temperature_K", "null.yaml": "dopings",
            "infinity.yaml": "simulated_fs", "nan.yaml": "timestep_fs", "negative.yaml": "timestep_fs",
            "wordstep.yaml": "timestep_fs", "section.yaml": "dynamics", "overrides.yaml": "overrides",
            "options.yaml": "options.md", "nolevel.yaml": "teacher", "manydopings.yaml": "duplicate",
            ".": "cannot be read",
        }.items()
    ],
    *[
        (("screen", "submit", "--dry-run", name), 1, "level_of_theory")
        for name in ("include.yaml", "foreign_file.yaml", "two_lines.yaml", "preset.yaml", "theory_list.yaml")
    ],
    # -- what travels, and what is kept
    (("screen", "export", "nothing", "x.aiida"), 1, "There is no node"),
    (("screen", "export", "PK", "good.xyz"), 1, "--force"),
    (("screen", "export", "PK", "nowhere/x.aiida"), 1, "there is no folder"),
    (("screen", "export", "PK", "."), 1, "--force"),
    (("screen", "import", "good.xyz"), 1, "is no archive"),
    (("screen", "import", "binary.yaml"), 1, "is no archive"),
    (("screen", "import", "nothing.aiida"), 1, "is no file"),
    (("screen", "import", "."), 1, "is no file"),
    (("screen", "import", ESC), 1, "is no file"),
    (("labels", "gather", "nothing"), 1, "no imported labels"),
    (("labels", "gather", ESC), 1, "no imported labels"),
    (("storage", "show", "nothing"), 1, "There is no node"),
    (("storage", "show", ""), 1, "is empty"),
    (("storage", "prune", "FRAMES"), 1, "not a screen"),
    (("setup", "--workdir", "relative"), 1, "whole path"),
    (("setup", "--scheduler", "cron"), 2, "Invalid value"),
    (("setup", "--host", "-oProxyCommand=touch PWNED", "--workdir", "/tmp/x"), 1, "give a name of your"),
    (("setup", "--host", "cluster"), 1, "wants --workdir"),
    (("structure", "build", "bomb.yaml"), 1, "problem"),
    (("structure", "build", "good.yaml", "-o", "good.xyz"), 2, "is a file"),
    (("structure", "build", "good.yaml", "-o", "good.xyz/x"), 1, "cannot be made"),
    (("structure", "build", "good.yaml", "-c", ESC), 1, "is not made by the specification"),
    (("structure", "store", "empty.yaml"), 1, "not a mapping"),
    (("structure", "dopings", "binary.yaml"), 1, "cannot be read"),
    # -- structures
    *[
        (("structure", "check", name), 1, "")
        for name in ("empty.xyz", "negative.xyz", "claims.xyz", "short.xyz", "nan.xyz", "element.xyz", "flat.xyz",
                     "bad.cif", "escape.cif", "binary.cif", "empty.yaml")
    ],
    (("structure", "check", "nothing.cif"), 1, "is not a file"),
    (("structure", "check", "good.xyz", "--reach", "far"), 2, "not a valid float"),
    (("structure", "draw", "good.xyz", "no/such/x.png"), 1, "no folder"),
    (("structure", "draw", "good.xyz", "x.exe"), 1, ""),
    (("structure", "draw", "binary.cif", "x.png"), 1, "cannot be read"),
    (("structure", "host", "bad.cif"), 1, ""),
    (("structure", "host", ESC), 1, "Li6PS5Cl"),
    (("structure", "matches", "--facet", "999999"), 1, "lattice plane"),
    (("structure", "matches", "--max-strain", "nan"), 1, "max_strain"),
    (("structure", "matches", "--electrolyte-facet", "000"), 1, "electrolyte_facet"),
    (("structure", "cuts", "../../etc"), 1, ""),
    # -- frames, labels, potentials
    (("frames", "import", "claims.xyz"), 1, "frame 1"),
    (("frames", "import", "negative.xyz"), 1, "frame"),
    (("frames", "import", "nan.xyz"), 1, "NaN"),
    (("frames", "import", "json.xyz"), 1, "frame 1"),
    (("frames", "import", "good.xyz", "--cell", "x"), 1, "is no cell"),
    (("frames", "import", "good.xyz", "--level-of-theory", ESC), 1, "lack energies and forces"),
    (("frames", "export", "FRAMES", "no/such/x.xyz"), 1, "no folder"),
    (("frames", "export", "PK", "x.xyz"), 1, "not frames"),
    (("frames", "export", "../../x", "x.xyz"), 1, "no"),
    (("labels", "show", ESC), 1, "no labels"),
    (("labels", "export", "key", "no/such/x.xyz"), 1, "no folder"),
    (("labels", "find", "--level-of-theory"), 2, "requires an argument"),
    (("labels", "behind", "999999"), 1, "999999"),
    (("labels", "explain", "999999"), 1, "999999"),
    (("failures", "999999"), 1, "999999"),
    (("screen", "tables", "FRAMES", "-o", "x"), 1, "not a screen"),
    (("analyse", "good.xyz"), 2, "--candidate"),
    (("analyse", "binary.cif", "--candidate", "good.yaml"), 1, "read"),
    (("analyse", "good.xyz", "--candidate", "empty.yaml"), 1, ""),
    (("adopt", "999999"), 1, "999999"),
    (("potential", "show", "FRAMES"), 1, "not a potential"),
    (("potential", "trust", "-1"), 2, "No such option"),
    (("potential", "distrust", "FRAMES"), 1, "not a potential"),
    (("potential", "export", "FRAMES", "x"), 1, "not a potential"),
    (("potential", "import", "card"), 1, "cannot be read"),
    (("potential", "import", "lone"), 1, "precision"),
    # -- the graph
    *[
        ((*command, identifier), 1, "")
        for command in (("trace",), ("audit",), ("cost",), ("screen", "status"), ("screen", "rank"))
        for identifier in ("999999999999999999999", "'; DROP TABLE db_dbnode; --", ESC)
    ],
    (("trace", "FRAMES", "--frame", "99999999999999999999"), 1, "frames"),
    (("trace", "FRAMES", "--frame", "x"), 2, "not a valid int"),
    (("cost", "FRAMES"), 1, "not a process"),
    (("screen", "rank", "FRAMES"), 1, "not a screen"),
    *[
        (("screen", "show", identifier), 1, word)
        for identifier, word in {
            "": "is empty", "999999": "There is no node", "FRAMES": "not a screen", ESC: "There is no node",
            "'; DROP TABLE db_dbnode; --": "There is no node",
        }.items()
    ],
    (("screen", "list", "--since", "yesterday"), 2, "does not match"),
    (("potential", "list", "--since", "0000-01-01"), 2, "does not match"),
    (("screen", "like", "PK", "nonsense"), 1, "has no candidate"),
    (("screen", "report", "PK", "-o", "no/such/x.html"), 1, "no folder"),
    (("screen", "status", ""), 1, "name is empty"),
    (("screen", "extend", "PK", "--simulated-fs", "nan"), 1, "--simulated-fs is nan"),
    (("screen", "extend", "PK", "--simulated-fs", "-5"), 2, "not in the range"),
    (("screen", "add", "FRAMES", "good.yaml"), 1, "not a screen"),
    (("screen", "add", "PK", "empty.yaml"), 1, "not a mapping"),
    *[
        (("screen", verb, "FRAMES"), 1, "not a screen")
        for verb in ("retry", "rank-so-far", "pause", "play", "report", "watch", "pk")
    ],
    (("screen", "kill", "PK"), 1, ""),
    (("hybrid", "explain", "FRAMES"), 1, "not a process"),
    (("hybrid", "produce", "FRAMES", "x"), 1, "not a process"),
    (("hybrid", "produce", "FRAMES", "x", "--ps", "nan"), 1, "--ps is nan"),
    # -- the command line
    (("setup", "--cp2k", "nothing"), 1, "is no file"),
    (("setup", "--computer", ESC), 1, "no computer"),
    (("-p", "nobody", "setup"), 1, ""),
    (("nonsense",), 2, "No such command"),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(aiida_profile, aiida_localhost_of_module, tmp_path_factory):
    """A folder with the files, and the pks that the cases name."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    made = lay_screen(Builder(aiida_localhost_of_module, folder)).made
    labelled = frames("burst").store()
    add_labels([labelled])
    return folder, {"PK": str(made["screen"].pk), "FRAMES": str(labelled.pk)}


@pytest.fixture(scope="module")
def aiida_localhost_of_module(aiida_profile):
    aiida_profile.reset_storage()
    computer = orm.Computer(
        label="localhost", hostname="localhost", transport_type="core.local", scheduler_type="core.direct",
        workdir=str(Path.cwd()),
    ).store()  # fmt: skip
    return computer.configure(safe_interval=0) and computer


@pytest.mark.parametrize(
    ("arguments", "code", "told"), CASES, ids=lambda v: " ".join(v)[:60] if isinstance(v, tuple) else ""
)
def test_a_hostile_input_is_answered_in_words(place, monkeypatch, arguments, code, told):
    folder, pks = place
    monkeypatch.chdir(folder)
    before = orm.QueryBuilder().append(orm.Node).count()
    result = CliRunner().invoke(haml, [pks.get(a, a) for a in arguments], color=True)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, result.output
    assert told in result.output
    assert "Error" in result.output or "Aborted" in result.output, "something says what is wrong"
    assert "Traceback" not in result.output
    assert not {"\x1b", "\x07", "\0"} & set(result.output)
    assert len(result.output) < 20_000
    assert orm.QueryBuilder().append(orm.Node).count() == before, "nothing was stored"
    assert not list(folder.rglob("PWNED"))


def test_there_are_fifty_and_more():
    assert len(CASES) >= 50
    tried = {arguments[:2] for arguments, _, _ in CASES}
    for name, command in haml.commands.items():
        assert name in {first for first, *_ in tried}
        assert {(name, verb) for verb in getattr(command, "commands", {})} - KNOWN_HARMLESS <= tried


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_named(place, tmp_path):
    tmp_path.chmod(0o500)
    _, pks = place
    result = CliRunner().invoke(haml, ["frames", "export", pks["FRAMES"], str(tmp_path / "x.xyz")])
    assert result.exit_code == 1
    assert "cannot be written" in result.output
