# `make demo` shows the main job, `make test` runs everything that CI runs.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HOUSES := service stacks engine models pdf migrations bench tests

.PHONY: help demo test check format serve bench load chaos lock clean
.DEFAULT_GOAL := help

help:  ## show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install "$(VENV)"
	@touch $@

demo: $(INSTALLED)  ## run the main job and check each claim; the record lands in out/
	@$(BIN)/handover demo

serve: $(INSTALLED)  ## serve on this machine, with a local AWS; data in .handover/
	@$(BIN)/handover serve --local

test: $(INSTALLED)  ## everything that CI runs
	@scripts/system-packages
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest -n 2 --dist loadgroup

check: $(INSTALLED)  ## format, lint, types, import directions
	$(BIN)/ruff format --check $(HOUSES)
	$(BIN)/ruff check $(HOUSES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## write the code in the project's format
	$(BIN)/ruff check --fix $(HOUSES)
	$(BIN)/ruff format $(HOUSES)

bench: $(INSTALLED)  ## measure; prints tables and writes bench/out/*.json
	@$(BIN)/python -m bench

load: $(INSTALLED)  ## 2,000 clients by 50 callers, then all closed; writes bench/out/load.json
	@$(BIN)/python -m bench.load

chaos: $(INSTALLED)  ## 1,000 seeded fault runs (RUNS=n: fewer); SEED=n begins there, ONLY=n runs one alone; EACH=suspend; ENGINE=official
	@scripts/system-packages
	@$(BIN)/python -m tests.chaos $(if $(ENGINE),--engine $(ENGINE)) $(if $(EACH),--each $(EACH)) \
	  $(if $(ONLY),--only $(ONLY),--runs $(or $(RUNS),1000) $(if $(SEED),--seed $(SEED)))

lock: $(INSTALLED)  ## resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	  --all-extras --no-header --no-annotate pyproject.toml --output-file requirements.lock

clean:  ## remove what was made, but no data folder
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache bench/out
