# make demo    the main job: two dopings to a traceable ranking, in .demo/
# make test    everything needed, then all tests, real engines included
# make check   ruff, mypy and the tests that need no engine
# make study   the long studies;  make bench NAME=handover [ARGS=--quick]  one measurement
# make docs    the documentation, warnings as errors

PYTHON ?= python3
VENV ?= .venv
# Two threads a job gain nothing on shared cores; spinning ones cost a factor of twenty.
export OMP_NUM_THREADS = 1
BIN := $(VENV)/bin
APT := $(if $(filter 0,$(shell id -u)),apt-get,sudo -n apt-get)

.PHONY: demo test check study bench known-bench docs venv cp2k
.NOTPARALLEL:

demo: cp2k venv
	PATH="$(abspath $(BIN)):$$PATH" examples/demo.sh

test: cp2k venv
	$(BIN)/python -m pytest -m "not slow"

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not engine and not slow"

study: cp2k venv
	$(BIN)/python -m pytest -m slow

bench: known-bench cp2k venv
	$(BIN)/python tests/benchmarks/$(NAME).py $(ARGS)

known-bench:
	@test -f "tests/benchmarks/$(NAME).py" || { echo "NAME=$(NAME) is no benchmark; there are:" $(basename $(notdir $(filter-out tests/benchmarks/_%,$(wildcard tests/benchmarks/*.py)))); exit 2; }

docs: venv
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

venv: $(VENV)/.installed

# torch comes first and pinned, in its CPU build where the package index has one: MACE would pull any other.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(APT) install -y python3-venv \
	  || { echo "Python has no venv; install python3-venv, or name another one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -c 'import torch' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[tests,lint,docs]"
	@touch $@

# OpenBLAS with OpenMP: Debian's reference BLAS makes CP2K several times slower.
cp2k:
	@command -v cp2k.psmp >/dev/null || { \
	  echo "CP2K is missing; installing the Debian packages"; \
	  $(APT) update -qq && $(APT) install -y -qq cp2k cp2k-data libopenblas0-openmp >/dev/null; } \
	  || { echo "CP2K could not be installed. As root: apt-get install cp2k cp2k-data libopenblas0-openmp"; exit 1; }
