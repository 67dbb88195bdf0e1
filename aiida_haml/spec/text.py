"""A specification as text: YAML in, a mapping or what is wrong with the text out."""

from typing import Any

import yaml

from aiida_haml.spec.problems import Problem, SpecError

#: Digits of a whole number that are kept; no field takes so large a one.
LONGEST_NUMBER = 100


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error instead of a silent choice of the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for i, ((key_node, _), key) in enumerate(zip(node.value, keys, strict=True)):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: Any) -> int:
        """Cut a number with more digits than Python reads: its field will say that it is too large."""
        try:
            return super().construct_yaml_int(node)
        except ValueError:
            digits = "".join(c for c in self.construct_scalar(node) if c.isdigit())
            return int(digits[:LONGEST_NUMBER])


_UniqueKeys.add_constructor("tag:yaml.org,2002:int", _UniqueKeys.construct_yaml_int)


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a text holds.

    Raises
    ------
    SpecError
        If it is no YAML, or no mapping.
    """
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except RecursionError as error:
        problem = Problem("file", "this", "is nested too deeply", "Write lists and mappings a few levels deep.")
        raise SpecError(source, [problem]) from error
    except ValueError as error:  # a date or a number that is none
        problem = Problem("file", "a value", f"cannot be read ({error})", "Put it into quotes, or correct it.")
        raise SpecError(source, [problem]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        reason = f"is not valid YAML ({getattr(error, 'problem', None) or error})"
        lines = text.splitlines()
        value = repr(lines[mark.line].strip()) if mark and mark.line < len(lines) else "text"
        raise SpecError(source, [Problem(place, value, reason, "Correct this line.")]) from error
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise SpecError(
            source,
            [Problem("file", kind, "is not a mapping of fields", "Start from examples/quick_screen.yaml.")],
        )
    return content
