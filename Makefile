# The distribution's commands. A generated project has its own Makefile (template/Makefile).
.DEFAULT_GOAL := help
.PHONY: help demo test test-fleet test-cluster test-unit lint bench docs clean
MAKEFLAGS += --no-print-directory
# Compiled once, the tools in .venv start in half the time, whatever the account's own habit is.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
TOOLS := infrastructure/bootstrap --tests

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: ## a platform on this machine in build/demo, the example pushed, its pipeline awaited
	@$(TOOLS) && $(PYTHON) -m demo

test: ## all tests but those of the next two; they deploy platforms and remove them with their data (KEEP: DAP_KEEP=1)
	@$(TOOLS) && $(PYTHON) -m pytest -n 2 --dist loadscope -m 'not long' tests

test-fleet: ## a platform on three fresh hosts, faults between them, and gitops on one; half an hour
	@$(TOOLS) && $(PYTHON) -m pytest tests/fleet/test_*.py

test-cluster: ## Pulumi's engine, and all of a platform on a Kubernetes of one node; half an hour, the first time more
	@$(TOOLS) && $(PYTHON) -m pytest tests/pulumi tests/cluster

test-unit: ## the tests that need no Docker; seconds
	@$(TOOLS) && $(PYTHON) -m pytest -m 'not docker and not slow' tests/unit tests/template

lint: ## ruff, mypy, ansible-lint, yamllint, shellcheck, hadolint and the project's own rules
	@$(TOOLS) && $(PYTHON) -m pytest tests/lint

bench: ## measure on a demo made anew, write doc/benchmarks.md (ONLY=s3,mlflow: those alone)
	@$(TOOLS) && $(PYTHON) -m tests.bench --only '$(ONLY)'

docs: ## write what is generated: doc/{settings,baseline,kubernetes}.md and the settings' JSON schema
	@$(TOOLS) && for page in settings baseline cluster; do $(PYTHON) -m tests.tools.$${page}_page || exit; done

clean: ## remove the demo's platform with its data, and everything built here
	@$(TOOLS) && $(PYTHON) -m demo clean
