"""The command that writes the schema of a specification, for editors."""

import json

from aiida_haml.cli.messages import echo
from aiida_haml.cli.screen import screen


@screen.command()
def schema() -> None:
    """Print the JSON schema of a specification.

    Editors complete and check a YAML file whose first line is "# yaml-language-server: $schema=screen.schema.json".
    """
    from aiida_haml.spec import ScreenSpec

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    echo(json.dumps(dialect | ScreenSpec.model_json_schema(), indent=1))
