"""The command line: `aiida-haml`, and the same under `verdi data haml`.

Nothing heavy is imported before a command runs, so that help and completion answer at once.
"""

from aiida_haml.cli import archives, follow, hosts, results, schema, screens, verbs  # noqa: F401  (they add their commands)
from aiida_haml.cli.adoption import adopt
from aiida_haml.cli.analyse import analyse
from aiida_haml.cli.frames import frames
from aiida_haml.cli.hybrid import hybrid
from aiida_haml.cli.labels import labels
from aiida_haml.cli.potential import potential
from aiida_haml.cli.provenance import audit, cost, failures, trace
from aiida_haml.cli.root import haml
from aiida_haml.cli.screen import screen
from aiida_haml.cli.setup import setup
from aiida_haml.cli.storage import storage
from aiida_haml.cli.structure import structure

for _command in (
    setup,
    screen,
    hybrid,
    structure,
    trace,
    audit,
    cost,
    failures,
    potential,
    labels,
    frames,
    adopt,
    storage,
    analyse,
):
    haml.add_command(_command)

__all__ = ["haml"]
