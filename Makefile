# Two commands on a fresh machine: `make study` and `make test`. Everything installs into .venv; PIP_ARGS is passed on to
# pip (an index, a folder of wheels).
PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup study test test-all bench lint clean

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv and install the project with its tests

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev,torch]'
	@touch $@

study: $(READY) ## the main study: predicts and runs eight plans here, then answers the headline question for 64 H100
	@$(BIN)/python -m studies.predict_then_run.run
	@$(BIN)/python -m studies.hybrid_vs_single_mode.run

test: $(READY) ## the test suite (what CI runs)
	@$(BIN)/python -m pytest -n $(WORKERS)

test-all: $(READY) ## the same with full counts of fuzzing and random programs
	@REHEARSE_FULL=1 $(BIN)/python -m pytest -n $(WORKERS)

bench: $(READY) ## speed of the engine and of whole simulations, with ratios; asserts nothing
	@$(BIN)/python -m pytest -q -s -m benchmark_suite tests/benchmarks

lint: $(READY) ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean: ## remove .venv and what the commands wrote
	rm -rf $(VENV) out build dist *.egg-info
