# From a bare clone: `make run`, `make test`. Nothing but make and Python 3.11 or newer is needed.
# Paths in recipes are relative to this folder, so that a space in its name harms nothing.

.DEFAULT_GOAL := help
.PHONY: help python run test check fmt clean bench bench-feast report soak notebook shots install install-dev frontend

PYTHON ?= python3
BIN := .venv/bin
# The processes of the product are many and the cores few: one thread each for linear algebra.
export OMP_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export HF_HUB_OFFLINE := 1
export PYTHONNOUSERSITE := 1

help:
	@echo 'make run       start everything; Ctrl-C stops it (PORT=8000, SALES_HOME=.sales)'
	@echo 'make test      the whole test suite, on servers of its own'
	@echo 'make check     lint, types, house rules        make fmt    format'
	@echo 'make bench     measurements beside their limits make report the model report'
	@echo 'make bench-feast   the feature store beside Feast, which is installed apart'
	@echo 'make soak      the long proofs                  make notebook  JupyterLab on the running product'
	@echo 'make shots     screenshots of the pages         make clean  remove what was built, never the data'

install: python
	@$(PYTHON) .ci/install.py requirements.lock

python:
	@command -v $(PYTHON) >/dev/null || { echo 'Python 3.11 or newer is needed: install it, or name it as in `make run PYTHON=/path/to/python3`.' >&2; exit 1; }

install-dev: python
	@$(PYTHON) .ci/install.py requirements.lock requirements-dev.lock

frontend:
	@$(BIN)/python -m service.web.build

run: install frontend
	@exec $(BIN)/sales up

test: install-dev frontend
	@exec $(BIN)/python -m pytest $(if $(TESTS),$(TESTS),-n 3 --dist loadfile --no-loadscope-reorder)

check: install-dev frontend
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m service.web.build --check
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest tests/test_house.py
	@$(BIN)/python .ci/longest.py

fmt: install-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install-dev frontend
	@exec $(BIN)/python -m tests.bench $(if $(SIZE),--size $(SIZE))

bench-feast: install-dev frontend
	@exec $(BIN)/python -m tests.bench.beside_feast

report: install
	@exec $(BIN)/python -m training.report

soak: install-dev frontend
	@exec $(BIN)/python -m pytest --soak --durations=0

notebook: install-dev
	@exec $(BIN)/sales notebook

shots: install-dev frontend
	@exec $(BIN)/python -m tests.shots

clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf service/web/static service/web/assets/node_modules
	@find . -name __pycache__ -type d -prune -not -path './.sales/*' -exec rm -rf {} +
