"""What a job loads before it begins to work."""

import subprocess
import sys

import pytest

#: How something is loaded, what it would load in vain, and what has to work afterwards all the same.
CASES = {
    "learn": (
        "engines.load('learn')",
        ["matplotlib.pyplot", "torchmetrics", "scipy.signal", "torch._dynamo"],
        "import scipy.signal, torch; from torchmetrics import MeanSquaredError; "
        "from mace.cli.visualise_train import TrainingPlotter as drawn",
        "MeanSquaredError().compute, drawn.__init__, scipy.signal.find_peaks([0, 1, 0]), torch._dynamo.__file__",
    ),
    "dynamics": (
        "with engines.without(engines._BESIDE_MACE): import aiida_haml.engines.lammps_launcher",
        ["matplotlib.pyplot", "torchmetrics", "scipy.signal", "torch._dynamo"],
        "import scipy.signal, torch",
        "scipy.signal.find_peaks([0, 1, 0]), torch._dynamo.__file__",
    ),
    "analysis": (
        "engines.load('rank'), engines.load('describe')",
        ["torch", "pandas", "numba"],
        "import pandas, sparse, torch",
        "pandas.Series([1]).sum(), torch.ones(1).sum().item(), sparse.zeros(1).sum()",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_job_loads_no_more_than_it_uses_and_hides_nothing(case):
    how, held, imports, used = CASES[case]
    script = f"""
import sys
import aiida_haml.engines as engines
{how}
print([name for name in {held} if name in sys.modules])
{imports}
print("all there:", {used})
"""
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    loaded, after = said.stdout.splitlines()[-2:]
    assert loaded == "[]"
    assert after.startswith("all there:")
