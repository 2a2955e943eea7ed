# Set-up, demo, tests and checks. `make setup` may be run again at any time: it does what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH

PY := .venv/bin/python

# The first Python 3.11, else the first newer one, among: $PYTHON, the commands on PATH, uv's and pyenv's.
FIND_PYTHON = for fits in '== (3, 11)' '> (3, 11)'; do \
	for python in $${PYTHON:+"$$PYTHON"} python3.11 python3 python3.13 python3.12 "$$(uv python find --no-project --system 3.11 2>/dev/null || true)" \
		"$$HOME"/.pyenv/versions/3.1[1-9]*/bin/python; do \
		if "$$python" -c "import sys; sys.exit(not sys.version_info[:2] $$fits)" 2>/dev/null; then echo "$$python"; exit 0; fi; done; done; \
	echo "found no Python since 3.11; install one (Debian: apt-get install python3 python3-venv; else: uv python install 3.11), or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1

# Set-up of the set of tools that is named after it.
SET_UP = @python="$$($(FIND_PYTHON))"; echo "set-up with $$python"; "$$python" -m pipeline.tools

COMPILE = uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock' --upgrade
# A gigabyte that torch asks for and that only a GPU uses; without the other packages of NVIDIA it cannot be imported.
LEAVE_OUT = --no-emit-package triton --no-emit-package nvidia-cusolver

.PHONY: help setup setup-dev demo unit test test-bft test-sites test-studies test-compose containers bench-mpc bench-poisoning reference screenshots docs check fix lock clean distclean

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-17s%s\n", $$1, $$2 }'

setup:  ## all that rounds need: environments, MinIO, development chain; minutes the first time; SITE=hospital: for that site alone
	$(SET_UP) $(or $(SITE),runtime)

setup-dev:  ## that, and all that tests and checks need; they call it themselves
	$(SET_UP) development

demo: setup  ## three federated rounds with real services and one hospital that flips its labels; STUDY=NAME takes another
	@.venv/bin/wardround up
	@.venv/bin/wardround demo $(STUDY)

unit: setup-dev  ## unit tests alone; some ten minutes
	@$(PY) -m pytest -n logical tests/unit

test: setup-dev  ## unit, integration and end-to-end tests; ends by naming the engines and services exercised
	@$(PY) -m pytest -n 3 --dist loadscope --no-loadscope-reorder tests

test-bft: setup-dev  ## whole rounds on four validators of a real BFT chain, alone in a network namespace; builds for minutes the first time
	@$(PY) -m pipeline.tools bft
	@unshare --map-root-user --net $(PY) -m tests.support.alone $(PY) -m pytest -m bft tests/integration/bft

test-sites: setup-dev  ## a consortium's sites on machines of their own: namespaces of network, files and processes; half an hour
	@$(PY) -m pytest -m "machines or sites" tests/integration/machines tests/sites

test-studies: setup-dev  ## three whole studies in a real Airflow, by the lines of docs/how-to/whole-studies.md; a quarter of an hour
	@$(PY) -m pytest -m studies tests/studies

test-compose: setup-dev  ## docker-compose.yml from nothing to an audited round, on this machine's engine; builds for minutes the first time
	@$(PY) -m pytest -m compose tests/compose

containers:  ## the consortium of docker-compose.yml on this machine's engine: images, then sites made, invited, joined; minutes
	@docker compose --profile commands build
	@docker/consortium.sh

bench-mpc: setup  ## measure the encrypted verification beside stock layers, SPU and PyTorch; half an hour; writes the tables
	@$(PY) -m benchmarks.mpc
	@$(PY) -m benchmarks.pages

bench-poisoning: setup  ## the base cell of attacks against defences, anew: some 12 minutes; writes pictures and tables
	@$(PY) -m benchmarks.poisoning --cell base --fresh
	@$(PY) -m benchmarks.poisoning.pictures
	@$(PY) -m benchmarks.pages

reference: setup-dev  ## write what is made from the code anew: docs/reference, the comments of studies/, the tables of results
	@$(PY) -m handbook
	@$(PY) -m benchmarks.pages

screenshots: setup-dev  ## a picture of every page of the console, into build/screenshots; needs a Chromium
	@$(PY) -m tests.support.screenshots

docs:  ## build the pages of docs/ into build/docs; fails on a dangling link, or on a page that loads from elsewhere
	$(SET_UP) docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict
	@! grep -rE --include='*.html' '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//' build/docs

check: setup-dev  ## formatting, lint, types, import direction, compose schema
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@for file in docker-compose.yml docker/*.yml; do $(PY) -m pipeline.setup.compose $$file; done

fix: setup-dev  ## format, and mend what ruff can mend by itself
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --quiet --fix .

lock:  ## pin the newest dependencies that pyproject.toml and requirements/*.in allow
	@$(COMPILE) $(LEAVE_OUT) pyproject.toml -o requirements/main.txt
	@$(COMPILE) --group dev -c requirements/main.txt -o requirements/dev/main.txt
	@for name in spu guard postgres dev/slither dev/docs; do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done
	@for name in deploy export; do $(COMPILE) --no-deps -c requirements/main.txt requirements/$$name.in -o requirements/$$name.txt; done

clean:  ## stop the services; remove the installation with its keys and records, and caches of tools
	@if [ -x .venv/bin/wardround ]; then .venv/bin/wardround down; fi
	@rm -rf .wardround build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find pipeline tests dags plugins benchmarks handbook -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## also remove the environments; what is cached per user stays
	@rm -rf .venv* node_modules* *.egg-info
