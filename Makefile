# Atomscope in two commands: `make run` opens the dashboard on the demo, `make test` runs every check.
# Python 3.11 or newer is all that must be there; everything else goes into .venv, at the versions of requirements.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := run
.PHONY: install run lint check test newest test-newest lock

# The first Python that is new enough. Name another one with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

LOCK := requirements.lock
VENV := .venv
BIN := $(VENV)/bin
# A stamp is written last: an installation that was cut short is done again, a finished one is not.
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.installed-for-tests
PIP_INSTALL := -m pip install --disable-pip-version-check --progress-bar on
# Tests of one file stay together, files are dealt out to the cores; a browser wants them for itself.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

# The newest versions that pyproject.toml allows, in an environment of their own: what the next lock will hold.
NEWEST := .venv-newest
TESTED := $(NEWEST)/.tested

need_python = test -n "$(PYTHON)" || { \
	echo "error: Atomscope needs Python 3.11 or newer; none is on the PATH." >&2; exit 2; }
no_venv = rm -rf $(1); \
	echo "error: $(PYTHON) -m venv does not work here; on Debian and Ubuntu: apt-get install python3-venv." >&2; exit 2
weights = $(1)/bin/atomscope demo weights --all || { test $$? -ne 130 || exit 130; \
	echo "Without the weights, the tests that need them are skipped (in CI: fail)." >&2; }

install: $(TESTABLE)

$(INSTALLED): pyproject.toml $(LOCK)
	@$(need_python)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { $(call no_venv,$(VENV)); }
	$(BIN)/python $(PIP_INSTALL) -c $(LOCK) -e .
	@touch $@

# The tests want more: checkers, and every package Atomscope can work with.
$(TESTABLE): $(INSTALLED)
	$(BIN)/python $(PIP_INSTALL) -c $(LOCK) -e '.[dev]'
	@touch $@

# Without the weights (no network, say) the dashboard opens all the same; only its live parts wait for them.
run: $(INSTALLED)
	@$(BIN)/atomscope demo weights || { test $$? -ne 130 || exit 130; \
		echo "The dashboard opens without the model's weights: its live parts stay closed until you have run" >&2; \
		echo "    $(BIN)/atomscope demo weights" >&2; }
	@$(BIN)/atomscope serve

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The inner loop: what can be known in a minute or two.
check: lint
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not slow and not browser"

test: lint
	@$(call weights,$(VENV))
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not browser"
	$(BIN)/python -m pytest -q -m browser

# torch for CUDA asks for one version of triton; a CPU machine tests that one too, so that one lock serves both.
newest:
	@$(need_python)
	@rm -f $(TESTED)
	@$(PYTHON) -m venv --clear $(NEWEST) || { $(call no_venv,$(NEWEST)); }
	$(NEWEST)/bin/python $(PIP_INSTALL) -e .
	$(NEWEST)/bin/python .ci/lock.py cuda > $(NEWEST)/cuda.txt
	$(NEWEST)/bin/python $(PIP_INSTALL) -c $(NEWEST)/cuda.txt -e '.[dev,bench]'

test-newest: newest
	@$(call weights,$(NEWEST))
	$(NEWEST)/bin/python -m pytest -q $(SIDE_BY_SIDE) -m "not browser"
	$(NEWEST)/bin/python -m pytest -q -m browser
	@touch $(TESTED)

# Freeze what the tests have just passed with.
lock:
	@test -e $(TESTED) || { \
		echo "error: $(LOCK) holds versions that passed the tests: run 'make test-newest' first." >&2; exit 2; }
	$(NEWEST)/bin/python .ci/lock.py write
