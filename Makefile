# Set-up, demo, tests and checks. `make setup` may be run again at any time: it does what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH

PY := .venv/bin/python

# The first Python 3.11 among: $PYTHON, the commands on PATH, uv's and pyenv's.
FIND_PYTHON = for python in $${PYTHON:-} python3.11 python3 "$$(uv python find --no-project --system 3.11 2>/dev/null || true)" $$HOME/.pyenv/versions/3.11*/bin/python; do \
	if [ "$$("$$python" -c 'import sys; print(sys.version_info[:2] == (3, 11))' 2>/dev/null)" = True ]; then echo "$$python"; exit 0; fi; done; \
	echo "found no Python 3.11; install it (Debian: apt-get install python3.11 python3.11-venv; else: uv python install 3.11), or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1

.PHONY: help setup demo test test-bft bench-mpc bench-poisoning screenshots check lock clean distclean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

setup:  ## environments, npm packages and MinIO; minutes the first time, a second when nothing is missing
	@python="$$($(FIND_PYTHON))"; echo "set-up with $$python"; "$$python" -m pipeline.setup.tools

demo: setup  ## three federated rounds with real services and one hospital that flips its labels
	@.venv/bin/wardround up
	@.venv/bin/wardround demo

test: setup  ## unit, integration and end-to-end tests; ends by naming the engines and services exercised
	@$(PY) -m pytest -n 3 --dist loadscope --no-loadscope-reorder tests

test-bft: setup  ## whole rounds on four validators of a real BFT chain, alone in a network namespace; builds for minutes the first time
	@$(PY) -m pipeline.setup.tools bft
	@unshare --map-root-user --net $(PY) -m tests.support.alone $(PY) -m pytest -m bft tests/integration/bft

bench-mpc: setup  ## measure the encrypted verification beside stock layers, SPU and PyTorch; half an hour; writes the README's table
	@$(PY) -m benchmarks.mpc
	@$(PY) -m benchmarks.readme

bench-poisoning: setup  ## the base cell of attacks against defences, anew: some 12 minutes; writes pictures and the README's table
	@$(PY) -m benchmarks.poisoning --cell base --fresh
	@$(PY) -m benchmarks.poisoning.pictures
	@$(PY) -m benchmarks.readme

screenshots: setup  ## a picture of every page of the console, into build/screenshots; needs a Chromium
	@$(PY) -m tests.support.screenshots

check: setup  ## formatting, lint, types, import direction, compose schema
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m pipeline.setup.compose docker-compose.yml

lock:  ## pin the newest dependencies that pyproject.toml and requirements/*.in allow
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--upgrade --group dev pyproject.toml -o requirements/main.txt
	@for environment in spu slither; do \
		uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
			--custom-compile-command 'make lock' --upgrade requirements/$$environment.in -o requirements/$$environment.txt; done
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--upgrade --no-deps -c <(sed -nE 's/^([a-z0-9][^ ]*==[^ ]*).*/\1/p' requirements/main.txt) requirements/deploy.in -o requirements/deploy.txt

clean:  ## stop the services; remove the installation with its keys and records, and caches of tools
	@if [ -x .venv/bin/wardround ]; then .venv/bin/wardround down; fi
	@rm -rf .wardround build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find pipeline tests dags plugins -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## also remove the environments; what is cached per user stays
	@rm -rf .venv .venv-spu .venv-slither node_modules *.egg-info
