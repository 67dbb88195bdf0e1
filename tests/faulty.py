"""Teachers that fail on purpose."""

import numpy as np
from ase.calculators.emt import EMT


class BreaksAfter(EMT):
    """Gives NaN after a number of evaluations."""

    def __init__(self, evaluations: int):
        super().__init__()
        self.left = evaluations

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.left -= 1
        if self.left < 0:
            self.results["energy"] = np.nan
