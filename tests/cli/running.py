"""A command run as a person runs it, in this process."""

from click.testing import CliRunner

from aiida_haml.cli import haml


def run(*arguments, code=0, answer=None):
    """Run ``aiida-haml ARGUMENTS`` and return its output; it has to end with the exit code."""
    result = CliRunner().invoke(haml, [str(a) for a in arguments], input=answer)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output
