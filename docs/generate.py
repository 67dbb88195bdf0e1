"""Pages made from the code: the fields of a specification, the command line, and what the metrics say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sanity import lines

from aiida_haml.cli import haml
from aiida_haml.spec import ScreenSpec


def write_pages(folder: Path) -> None:
    """Write ``spec.md``, ``cli.md`` and ``sanity.txt``, leaving files whose text has not changed."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"spec.md": "\n".join(_spec_page()), "cli.md": "\n".join(_cli_page()), "sanity.txt": "\n".join(lines())}
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _spec_page() -> Iterator[str]:
    schema = ScreenSpec.model_json_schema()
    yield "# The screen's specification"
    yield "\nA YAML file with these fields. Unknown ones are refused; all problems are told at once.\n"
    yield from _table(schema)
    for name, model in sorted(schema["$defs"].items()):
        yield f"\n(spec-{name.lower()})=\n## {name}\n\n{model.get('description', '')}\n"
        yield from _table(model)


def _table(model: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.get("properties", {}).items():
        default = "required" if name in model.get("required", []) else _default(field)
        yield f"| `{name}` | {_type(field)} | {default} | {field.get('description', '')} |"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "see below" if isinstance(value, dict) and value else f"`{value}`".replace("None", "null")


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#spec-{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_type(option) for option in field[key])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    names = {"object": "mapping", "string": "text", "boolean": "true or false"}
    return names.get(field.get("type", ""), field.get("type", "anything"))


def _cli_page() -> Iterator[str]:
    yield "# The command line"
    yield "\n`aiida-haml COMMAND` and `verdi data haml COMMAND` are the same.\n"
    yield from _commands(haml, "aiida-haml", None)


def _commands(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path.split()[-1], parent=parent)
    yield f"\n## `{path}`\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, f"{path} {name}", context)
