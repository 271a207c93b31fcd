# One command each. `make` alone lists them. Everything is installed into .venv, nothing into the system.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A stamp per extra: set-up runs again only when a pin or a dependency changed.
STAMPS := .venv/.installed-demo .venv/.installed-dev .venv/.installed-docs

$(STAMPS): .venv/.installed-%: pyproject.toml constraints.txt scripts/setup
	scripts/setup $*
	touch $@

.PHONY: help demo up test check bench docs reference pin clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/.installed-demo ## run the whole loop on real data and leave the server up (ONCE=1: exit instead)
	.venv/bin/headrace demo $(if $(filter-out 0,$(ONCE)),--once)

up: .venv/.installed-demo ## start the server
	.venv/bin/headrace up

test: .venv/.installed-dev ## check, then every test
	scripts/test

check: .venv/.installed-dev ## lint, format, types and import rules; no tests
	scripts/check

bench: .venv/.installed-dev ## measure what the documentation claims
	scripts/bench

docs: .venv/.installed-docs ## build the documentation into docs/_build/html; a warning is an error
	scripts/docs

reference: .venv/.installed-dev ## rewrite the generated reference pages after a change of commands or names
	.venv/bin/python scripts/reference.py

pin: ## resolve the newest dependencies into constraints.txt
	scripts/pin

clean: ## remove everything that make made, .venv too; your projects and ~/.headrace stay
	rm -rf .venv build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
