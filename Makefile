# Every target sets up what it needs in .venv first; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-all check bench docs format clean

demo: .venv/demo.stamp
	$(BIN)/fullbatch fit mnist

test: .venv/test.stamp
	$(BIN)/python -m pytest

test-all: .venv/test.stamp
	$(BIN)/python -m pytest -m "slow or not slow"

check: .venv/check.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/test.stamp
	$(BIN)/python -m benchmarks

docs: .venv/docs.stamp
	$(BIN)/mkdocs build --strict

format: .venv/check.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv site dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml
	$(PIP) install --editable .
	touch $@

.venv/%.stamp: .venv/bin/python pyproject.toml
	$(PIP) install --editable ".[$*]"
	touch $@
