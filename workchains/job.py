"""What the WorkChains around one CalcJob share."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import BaseRestartWorkChain, while_


class JobWorkChain(BaseRestartWorkChain):
    """Run the CalcJob of the subclass, started anew as its handlers say, with scheduler options given as a node."""

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(cls._process_class, exclude=("metadata",))
        spec.input("options", valid_type=orm.Dict, required=False, help="Options of the scheduler.")
        spec.outline(cls.setup, while_(cls.should_run_process)(cls.run_process, cls.inspect_process), cls.results)

    def setup(self) -> None:
        """Prepare the inputs of the first run."""
        super().setup()
        self.ctx.inputs = dict(self.exposed_inputs(self.process_class))
        options = self.inputs.options.get_dict() if "options" in self.inputs else {}
        self.ctx.inputs["metadata"] = {"options": options}
