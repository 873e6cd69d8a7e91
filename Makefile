# From a fresh clone with only python3 and make: `make run`. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two stages of one environment: what the engine needs on a CPU, and everything else beside it.
LIGHT := $(VENV)/.light
STAMP := $(VENV)/.installed

.PHONY: help setup run test test-fast coverage check wheel bench lock sbom licences fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install everything

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; v=sys.version_info[:2]; sys.exit(None if (3,11)<=v<(3,13) else "expected Python 3.11 or 3.12, got %d.%d; run: make PYTHON=python3.11 ..." % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'uv>=0.9,<1'

$(LIGHT): pyproject.toml | $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable .
	touch $@

$(STAMP): pyproject.toml | $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]'
	touch $(LIGHT) $@

run: $(LIGHT) ## everyday use on the best source present; with no camera, the sample
	$(BIN)/python -m engine mode=auto

test: $(STAMP) ## every test
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## the inner loop: tests that load no network and start no process
	$(BIN)/python -m pytest -m "not weights and not command"

coverage: $(STAMP) ## every test, and which lines none of them runs
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(STAMP) ## ruff, mypy, the direction of imports, links and commands of every README
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/docs

wheel: $(STAMP) ## build the wheel, install it into an empty environment, describe the sample there
	.ci/wheel $(BIN)/uv

bench: $(STAMP) ## latency of the tiers on this machine
	$(BIN)/python -m experiments.latency.stages

lock: $(STAMP) ## exact versions with hashes of all that a release installs, in requirements.lock
	$(BIN)/uv pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --upgrade --quiet --output-file requirements.lock

sbom: $(STAMP) ## bill of materials of what is installed (CycloneDX), in dist/sbom.cdx.json
	mkdir -p dist
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
	  --output-reproducible --of JSON --output-file dist/sbom.cdx.json

licences: $(STAMP) ## the licence of every package that is installed, in LICENCES.md
	printf '# Licences of all that is installed\n\nWritten by `make licences`.\n\n' > LICENCES.md
	$(BIN)/pip-licenses --python $(BIN)/python --from=mixed --format=markdown >> LICENCES.md

fuzz: $(STAMP) ## feed broken files to every reader: make fuzz MINUTES=60
	$(BIN)/python -m tests.fuzz $(or $(MINUTES),60)

clean: ## remove the environment and what runs have written
	rm -rf $(VENV) build dist outputs multirun .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
