"""Fixtures shared by all tests: an own profile, and codes that point at the engines installed beside Python."""

pytest_plugins = ["aiida.tools.pytest_fixtures"]
