"""Extended XYZ in: frames, and an account of what was found in them under which names.

Everybody's files call the same things by other names, and a reader that knows one name only loses the rest without a
word. Here every name that a file holds is either read or told.

Units are those of the format: A, eV, eV/A; stresses eV/A^3 in ASE's sign; virials eV; velocities A/fs; times fs. CP2K's
own XYZ (``i = 5, time = 2.500, E = -10.1``) is in Hartree.
"""

from aiida_haml.reading.quantities import NAMES, Choice
from aiida_haml.reading.runs import Run, read_cell, read_extxyz
from aiida_haml.reading.text import ReadingError, require_whole

__all__ = ["NAMES", "Choice", "ReadingError", "Run", "read_cell", "read_extxyz", "require_whole"]
