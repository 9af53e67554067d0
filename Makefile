# Everything that a person runs. `make help` lists it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/python
# The versions that the project was last tested with; empty takes the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo report publish test test-slow test-slurm status test-all lint format docs examples bench gpu-check clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/ready  ## build .venv with everything that experiments and tests need

$(VENV)/ready: pyproject.toml $(wildcard constraints.txt)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 10) else f"Python {v[0]}.{v[1]}: expected 3.10 or newer; choose one with make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v < (3, 14) or print(f"Python {v[0]}.{v[1]}: takes the release candidate of Hydra 1.4, which was not tested on it")'
	@echo "building $(VENV): several minutes, and several GB where torch comes with CUDA"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e '.[experiments,dev,examples,docs]'
	@touch $@

demo: setup  ## digits x {h0, h0_lambda, sobolev} x 5 trials: table, figures and page
	$(RUN) run.py experiment=demo paths.page=null
	$(RUN) scripts/report.py results/runs --out results/page

status: setup  ## how far sweeps are; against a plan: make status ARGS='experiment=fig6'
	$(RUN) scripts/status.py $(ARGS)

report: setup  ## tables, figures and index.html from results/runs
	$(RUN) scripts/report.py results/runs --out results/page

publish: setup  ## keep results/runs under version control: make publish NAME=a-folder-of-results
	@test -n "$(NAME)" || { echo "make publish NAME=...: expected a name for the new folder under results/"; exit 2; }
	$(RUN) scripts/publish.py results/runs --name $(NAME)

test: setup  ## the test suite, without the slow ones (10 minutes at most on 2 cores)
	$(RUN) -m pytest -n $(WORKERS) -m 'not slow'

test-slow: setup  ## the slow tests
	$(RUN) -m pytest -n $(WORKERS) --dist=loadfile --timeout=1500 -m slow --ignore=tests/slurm

test-slurm: setup  ## sweeps on a real SLURM of one node: installs and starts it (needs root and apt)
	@command -v slurmctld >/dev/null || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge; }
	$(RUN) -m pytest tests/slurm

test-all: test test-slow test-slurm  ## all of them

lint: setup  ## style, docstrings, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

docs: setup  ## the site, in docs/build/index.html; warnings are errors
	$(RUN) -m sphinx -W --keep-going -q -E -b html docs docs/build

examples: setup  ## run each training loop of examples/ once
	for script in plain_loop lightning_trainer accelerate_loop own_metric sam; do $(RUN) -m examples.$$script || exit 1; done
	for script in ddp fully_sharded; do $(RUN) -m torch.distributed.run --standalone --nproc-per-node=2 -m examples.$$script || exit 1; done

bench: setup  ## metric, step, start and pack on this machine
	for what in metric step start pack; do $(RUN) scripts/bench.py $$what --json results/bench/$$what.json || exit 1; done

gpu-check:  ## on a machine with a GPU: its tests and benchmarks (PYTHON=python3; no .venv, no network)
	$(PYTHON) scripts/gpu_check.py --out results/gpu-check $(ARGS)

clean:  ## remove .venv and caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info docs/build docs/generated
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
