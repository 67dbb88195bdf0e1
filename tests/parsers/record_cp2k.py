"""Run the jobs of `cp2k_cases` and keep their files: `pytest tests/parsers/record_cp2k.py`, not part of the tests."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from aiida.engine import run_get_node

from aiida_haml.calculations.cp2k import Cp2kLabelCalculation
from aiida_haml.calculations.levels import pin
from tests.parsers.cp2k_cases import CASES, OUTPUTS, inputs

#: Blocks of the main output that say nothing of the calculation, and lines that only say where it ran.
BLOCKS = r"^ -{79}\n -  +-\n -  +(?:DBCSR|DBM|GRID|MESSAGE|R E F)(?s:.*?)(?=^ -{79}\n -  +-\n -  +T I M I N G)"
LINES = "|".join(
    (
        r"^ (?:DBCSR|GLOBAL|MEMORY|\*\* |\*{5} ).*\n",
        r"^ (?!CP2K)[A-Za-z_0-9]+(?: +[\d.]+){6}\n",
        r"^ +\*.*PROGRAM (?:STARTED|STOPPED) IN.*\n(?: {30,}\S+\n)*",
    )
)


@pytest.mark.parametrize("case", CASES)
def test_record(aiida_profile, cp2k_code, levels, case):
    level, gaussians = pin(levels["pbe-szv"])
    given = inputs(case, level)
    elements = given["initial"].elements
    for port, nodes in gaussians.items():
        given[port] = {element: nodes[element] for element in elements}
    options = {"max_wallclock_seconds": 25 if case == "late" else 3600}
    _, node = run_get_node(Cp2kLabelCalculation, code=cp2k_code, metadata={"options": options}, **given)
    source = Path(node.outputs.remote_folder.get_remote_path())
    text = (source / "aiida.out").read_text()
    told = subprocess.run(
        [cp2k_code.filepath_executable, "--version"], capture_output=True, text=True, check=True
    ).stdout
    folder = OUTPUTS / re.search(r"CP2K version (\S+)", told).group(1) / case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in node.base.attributes.get("retrieve_temporary_list"):
        if (source / name).exists() and (case in ("burst", "late") or name.endswith(("pos-1.xyz", "frc-1.xyz"))):
            shutil.copy(source / name, folder)
    text = re.sub(BLOCKS, "", text, flags=re.MULTILINE)
    (folder / "aiida.out").write_text(re.sub(LINES, "", text, flags=re.MULTILINE))
