# Atomscope in two commands: `make run` opens the dashboard on the demo, `make test` runs every check.
# Python 3.11 or newer is all that must be there; everything else goes into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := run
.PHONY: install run test

# The first Python that is new enough. Name another one with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
# A stamp is written last: an installation that was cut short is done again, a finished one is not.
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.installed-for-tests

install: $(TESTABLE)

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Atomscope needs Python 3.11 or newer; none is on the PATH." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) -m venv does not work here; on Debian and Ubuntu: apt-get install python3-venv." >&2; exit 2; }
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e .
	@touch $@

# The tests want more: checkers, and every package Atomscope can work with.
$(TESTABLE): $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[dev]'
	@touch $@

# Without the weights (no network, say) the dashboard opens all the same; only its live parts wait for them.
run: $(INSTALLED)
	@$(BIN)/atomscope demo weights || { test $$? -ne 130 || exit 130; \
		echo "The dashboard opens without the model's weights: its live parts stay closed until you have run" >&2; \
		echo "    $(BIN)/atomscope demo weights" >&2; }
	@$(BIN)/atomscope serve

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/atomscope demo weights --all || { test $$? -ne 130 || exit 130; \
		echo "Without the weights, the tests that need them are skipped (in CI: fail)." >&2; }
	$(BIN)/python -m pytest -q
