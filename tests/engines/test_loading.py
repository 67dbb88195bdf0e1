"""What a job loads before it begins to work."""

import subprocess
import sys

import pytest

from aiida_haml.engines import TASKS

LOADED = """
import importlib, sys
from aiida_haml.engines import without_its_loop
with without_its_loop():
    importlib.import_module("{module}")
print([name for name in ("matplotlib.pyplot", "torchmetrics") if name in sys.modules])
from torchmetrics import MeanSquaredError
from mace.cli.visualise_train import TrainingPlotter
print(MeanSquaredError.__module__.partition(".")[0], TrainingPlotter.__module__)
"""


@pytest.mark.parametrize("module", [TASKS["learn"], TASKS["watch"], "aiida_haml.engines.lammps_launcher"])
def test_a_job_with_mace_loads_no_plots_and_hides_none(module):
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED.format(module=module)], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-2:] == ["[]", "torchmetrics mace.cli.visualise_train"]
