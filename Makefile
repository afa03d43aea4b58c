# Every target sets up what it needs in .venv first; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

SEED ?= 1
N ?= 400

.PHONY: demo test test-all test-random coverage mutants check bench docs format clean

demo: .venv/demo.stamp
	$(BIN)/fullbatch fit mnist

test: .venv/test.stamp
	$(BIN)/python -m pytest

test-all: .venv/test.stamp .venv/mutants.stamp
	$(BIN)/python -m pytest -m "slow or not slow"

# In an order by SEED, which repeats it.
test-random: .venv/test.stamp
	$(BIN)/python -m pytest --random-order --random-order-seed=$(SEED)

# Which tests run through which line and how long each takes: build/coverage and build/tests.xml, for `make mutants` too.
coverage: .venv/test.stamp .venv/mutants.stamp
	mkdir -p build
	$(BIN)/python -m pytest --cov --cov-report= --cov-context=test --junitxml=build/tests.xml
	$(BIN)/python -m benchmarks.covered

# N faults by SEED, one at a time; what no test notices is listed.
mutants: .venv/test.stamp .venv/mutants.stamp
	test -e build/coverage || $(MAKE) coverage
	$(BIN)/python -m benchmarks.mutants --seed $(SEED) --count $(N)

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
	rm -rf .venv build site dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml
	$(PIP) install --editable .
	touch $@

.venv/%.stamp: .venv/bin/python pyproject.toml
	$(PIP) install --editable ".[$*]"
	touch $@
