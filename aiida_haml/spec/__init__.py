"""The screen's specification: what a person writes in YAML, checked whole before any node is stored."""

from aiida_haml.spec.fields import ScreenSpec
from aiida_haml.spec.problems import Problem, SpecError
from aiida_haml.spec.reading import load_spec, parse_spec

__all__ = ["Problem", "ScreenSpec", "SpecError", "load_spec", "parse_spec"]
