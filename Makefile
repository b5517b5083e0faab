# All targets work inside .venv. They need only make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# If the environment's Python has been uninstalled, the stamps are stale too.
$(shell test -e $(BIN)/python || rm -f $(BIN)/pip $(VENV)/*.stamp)

.DEFAULT_GOAL := help
.PHONY: help run login test coverage programs check fuzz soak bench codex fixtures packages format settings lock clean

help: ## show this list
	@echo 'usage: make TARGET [ARGS="..."] [PYTHON=python3]'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' Makefile

run: $(VENV)/run.stamp ## start the server; ARGS go to `codex-openai-proxy serve`
	@exec $(BIN)/codex-openai-proxy serve --demo true $(ARGS)

login: $(VENV)/run.stamp ## log in to Codex with a code, in any browser; ARGS go to `codex-openai-proxy login`
	@exec $(BIN)/codex-openai-proxy login $(ARGS)

# The tests start the program hundreds of times. Where Python may not keep bytecode, it would compile it each time.
test coverage: export PYTHONDONTWRITEBYTECODE :=

test: programs ## run the tests except the long ones; ARGS go to pytest, "-m long" runs the long ones
	@$(BIN)/python -m pytest --numprocesses auto --dist load -m "not long" $(ARGS)

coverage: programs ## run the tests and show uncovered lines and branches; ARGS go to pytest
	@$(BIN)/python -m pytest --cov --numprocesses auto --dist load $(ARGS)

# On Debian and Ubuntu this installs Chromium and servers for the tests; tests whose program is missing are skipped.
programs: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.harness.system_programs

# Without this, pyright checks the package index for a newer version at every run.
check: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
check: $(VENV)/dev.stamp ## verify formatting, lint, types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache --no-logo

fuzz: $(VENV)/dev.stamp ## fuzz the server with bad requests; FUZZ=6000 sets their number
	@FUZZ=$${FUZZ:-6000} $(BIN)/python -m pytest -o faulthandler_timeout=3600 tests/fuzz $(ARGS)

soak: $(VENV)/dev.stamp ## run thousands of conversations of all kinds and show the memory used; ARGS="--help"
	@$(BIN)/python -m tests.load.soak $(ARGS)

bench: $(VENV)/dev.stamp ## measure the proxy against a bare codex client
	@$(BIN)/python -m tests.benchmarks $(ARGS)

codex: $(VENV)/dev.stamp ## compare versions of codex with the oldest supported one; CODEX="0.171.0 PATH"
	@$(BIN)/python -m tests.compatibility $(CODEX) $(ARGS)

fixtures: $(VENV)/dev.stamp ## record the cases in fixtures/ again, from the real codex and a scripted upstream
	@$(BIN)/python -m tests.record_fixtures $(ARGS)

packages: $(VENV)/dev.stamp ## build what a release publishes and use it: the container image's steps, sdist, wheel
	@$(BIN)/python -m tests.packages

format: $(VENV)/dev.stamp ## format the code and apply the safe lint fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

settings: $(VENV)/dev.stamp ## generate docs/settings.md from the code
	@$(BIN)/python -m tests.docs.settings_page

lock: $(BIN)/pip ## refresh both lock files from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(PIP) install uv
	@$(LOCK) --extra codex --group build --output-file requirements.lock
	@$(LOCK) --extra codex --group dev --constraint requirements.lock --output-file requirements-dev.lock

LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(ARGS)

clean: ## remove .venv, build results and caches
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .pytest_cache .ruff_cache
	find bridge codex_rpc tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp has the time of the last complete installation, so a second start installs nothing. The locks are complete, so
# pip need not resolve; an old pip would resolve `package[extra]` to releases newer than the lock's, and fail.
$(VENV)/run.stamp: $(BIN)/pip requirements.lock pyproject.toml
	@echo 'Installing the locked requirements (the first time about 150 MB, the Codex CLI included)'
	@$(PIP) install --no-deps --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@echo 'Installing the tools for tests and checks'
	@$(PIP) install --no-deps --require-hashes --requirement requirements-dev.lock
	@touch $@

# pip is installed in a separate step, so that the next run completes an interrupted installation.
$(BIN)/pip: $(BIN)/python
	@$(BIN)/python -m ensurepip --default-pip >/dev/null || { \
		echo 'This Python has no ensurepip; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo 'There is no "$(PYTHON)" here. Name a Python of 3.11 or newer: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
			"Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv --clear --without-pip $(VENV)
