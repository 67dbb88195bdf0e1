# make demo       the main job: two dopings to a traceable ranking, in .demo/
# make test       everything needed, then all tests, real engines included; WORKERS=1 runs one at a time
# make test-anew  the tests that draw their examples, with draws that no run has seen; SEED=N repeats one
# make test-services   one screen on PostgreSQL, RabbitMQ and SLURM against the embedded database, by two people; as root
# make check      ruff, mypy and the tests that need no engine
# make study      the long studies;  make bench NAME=continuity [ARGS=--quick]  one measurement
# make wheel      what a user installs: the wheel of the sdist in a fresh environment, every plugin loaded
# make docs       the documentation, warnings as errors
# make bare RELEASE=trixie [TARGET=demo]   the same on a bare Debian in a folder of its own, as root

PYTHON ?= python3
VENV ?= .venv
TORCH ?= 2.13.0
# uv's name of a build of PyTorch: cpu, auto (what this machine's GPU wants), cu130, ...; none: what the index has.
TORCH_BACKEND ?= cpu
# Two threads a job gain nothing on shared cores; spinning ones cost a factor of twenty.
export OMP_NUM_THREADS = 1
# A file of tests stays with one worker, as its tests share what was costly to make; four hold 8 GB.
WORKERS ?= logical
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest
SIDE_BY_SIDE = -n $(WORKERS) --maxprocesses=4 --dist=loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
ROOT := $(if $(filter 0,$(shell id -u)),,sudo $(if $(shell test -t 0 && echo yes),,-n ))
install = echo "missing here; installing the packages $(1)" && $(ROOT)apt-get update -qq \
  && $(ROOT)env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null

.PHONY: demo test test-services test-anew check study bench known-bench docs wheel bare venv procps cp2k chromium services
.NOTPARALLEL:

demo: cp2k venv
	PATH="$(abspath $(BIN)):$$PATH" examples/demo.sh

test: cp2k chromium venv
	$(PYTEST) $(SIDE_BY_SIDE) -m "not slow" --durations=25

test-services: services venv
	$(ROOT)$(BIN)/python -m tests.services

test-anew: venv
	@seed=$${SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}; echo "SEED=$$seed draws the same again"; \
	  $(PYTEST) $(SIDE_BY_SIDE) -m "hypothesis and not slow" --hypothesis-profile=anew --hypothesis-seed=$$seed

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) $(SIDE_BY_SIDE) -q -m "not engine and not slow"

study: cp2k venv
	$(PYTEST) -m slow

bench: known-bench cp2k venv
	$(BIN)/python tests/benchmarks/$(NAME).py $(ARGS)

known-bench:
	@test -f "tests/benchmarks/$(NAME).py" || { echo "NAME=$(NAME) is no benchmark; there are:" $(basename $(notdir $(filter-out tests/benchmarks/_%,$(wildcard tests/benchmarks/*.py)))); exit 2; }

docs: venv
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

wheel: venv
	tests/wheel.sh $(BIN)/python

bare:
	tests/bare_machine.sh "$(RELEASE)" "$(or $(TARGET),demo)"

venv: procps $(VENV)/.installed

# torch comes first and pinned, as MACE would pull any other: the CPU build of the index that pip is set up with, else
# that of PyTorch's own index, else what there is. The rest is uv's: it lifts the two pins of [tool.uv] in pyproject.toml.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call install,python3 python3-venv) \
	  || { echo "Python has no venv; install python3-venv, or name another one: make PYTHON=python3.12"; exit 1; }; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	  || { echo "$(VENV) has $$($(BIN)/python -V); aiida-haml needs 3.11 to 3.14: rm -r $(VENV); make PYTHON=python3.12"; exit 1; }
	$(PIP) "uv>=0.7"
	@$(BIN)/python -c 'import torch' 2>/dev/null || { test "$(TORCH_BACKEND)" = cpu && $(PIP) "torch==$(TORCH)+cpu" 2>/dev/null; } \
	  || { test "$(TORCH_BACKEND)" != none && $(UV) --torch-backend "$(TORCH_BACKEND)" "torch==$(TORCH)"; } \
	  || $(PIP) "torch==$(TORCH)"
	$(UV) -e ".[tests,lint,docs]"
	@touch $@

# AiiDA asks `ps` whether a job still runs.
procps:
	@command -v ps >/dev/null || { $(call install,procps); } \
	  || { echo "There is no ps here. As root: apt-get install procps"; exit 1; }

# OpenBLAS with OpenMP: Debian's reference BLAS makes CP2K several times slower.
cp2k:
	@command -v cp2k.psmp >/dev/null || { $(call install,cp2k cp2k-data libopenblas0-openmp); } \
	  || { echo "CP2K could not be installed. As root: apt-get install cp2k cp2k-data libopenblas0-openmp"; exit 1; }

# The report is looked at in a browser; Ubuntu's package of that name is a snap, which serves as well.
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { $(call install,chromium); } \
	  || { echo "Chromium could not be installed. As root: apt-get install chromium"; exit 1; }

# Nothing of these has to run: the tests start their own.
services:
	@{ ls /usr/lib/postgresql/*/bin/initdb && command -v rabbitmq-server && command -v slurmctld && command -v munged; } >/dev/null 2>&1 \
	  || { $(call install,postgresql rabbitmq-server slurmctld slurmd slurm-client munge); } \
	  || { echo "As root: apt-get install postgresql rabbitmq-server slurmctld slurmd slurm-client munge"; exit 1; }
