# Every target works from a fresh checkout: it makes .venv first. `make` alone lists them.
# Variables: PYTHON=python3.12, TORCH_INDEX=URL, ARGS="options for hwbench or pytest", SPECS="iwaer/table1 …".

PYTHON ?= python3
# An extra index for torch, say https://download.pytorch.org/whl/cpu; empty: whatever pip is set up with (CUDA on Linux).
TORCH_INDEX ?=
ARGS ?=
SPECS ?= $(sort $(patsubst benchmarks/%.yaml,%,$(wildcard benchmarks/*/*.yaml)))
DOCKER ?= docker
DOCKER_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs
RAY := build/ray
RAY_STAMP := $(RAY)/.installed
SMOKE := build/smoke
BASELINES := build/baselines
# Plain kernels in place of vectorised ones: what they change is what another processor's rounding may change.
KERNELS := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41
# BLAS threads that spin slow each other down; `hwbench` sets its own workers' threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
# A process per core; ARGS="-n 0" for one, as a debugger wants it.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal --benchmark-disable

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install reproduce-table1 campaign test test-all ray-test smoke baselines lenet reader speed gpu-check check format report docs docker clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][-a-z0-9%]*:.*## / { \
		sub(/%/, "<paper>-<table>", $$1); printf "  make %-27s %s\n", $$1, $$2 }' Makefile
	@echo '  Options go in ARGS: make reproduce-table1 ARGS="--profile smoke"'

install: $(STAMP) ## make .venv and install hwbench with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
			echo "hwbench needs Python 3.11 or later, and '$(PYTHON)' is" \
				"$$('$(PYTHON)' --version 2>/dev/null || echo missing). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
			exit 1; }; \
		'$(PYTHON)' -m venv --clear .venv; }
	$(BIN)/python -m pip install $(if $(strip $(TORCH_INDEX)),--extra-index-url '$(strip $(TORCH_INDEX))') \
		-c constraints.txt -e '.[dev]'
	@touch $@

reproduce-table1: $(STAMP) ## run, compare and report Table 1 of IWAER (iwaer/table1)
	$(BIN)/hwbench reproduce iwaer/table1 $(ARGS)

reproduce-%: $(STAMP) FORCE ## the same for any spec: make reproduce-rws-mnist runs rws/mnist
	$(BIN)/hwbench reproduce "$$(echo '$*' | sed 's,-,/,')" $(ARGS)

campaign: $(STAMP) ## run benchmarks/queue.yaml, the most valuable cases first: ARGS="--budget 2h"
	$(BIN)/hwbench run --queue benchmarks/queue.yaml $(ARGS)

test: $(STAMP) ## unit tests, laws and the smallest case of every spec (minutes)
	$(PYTEST) $(PARALLEL) -m 'not slow' --benchmark-skip $(ARGS)

test-all: $(DOCS_STAMP) ray-test ## all tests, the slow ones too, and those under Ray; those of the report's pages need Chromium, and npm for axe-core
	@command -v npm >/dev/null && npm install --silent --no-save --prefix build/browser axe-core@4 || \
		echo 'no axe-core: the test of accessibility is skipped'
	$(PYTEST) $(PARALLEL) $(ARGS)

ray-test: $(RAY_STAMP) ## signals, killed workers and killed nodes under Ray, in an environment of its own (minutes)
	OMP_NUM_THREADS=1 $(RAY)/bin/python -m pytest -q -n 0 tests/executors/test_ray.py tests/faults/test_ray.py $(ARGS)

$(RAY_STAMP): pyproject.toml constraints.txt
	'$(PYTHON)' -m venv --clear $(RAY)
	$(RAY)/bin/python -m pip install $(if $(strip $(TORCH_INDEX)),--extra-index-url '$(strip $(TORCH_INDEX))') \
		-c constraints.txt -e '.[dev,ray]'
	@touch $@

# Gates and baselines train everything themselves: no stage from the user's cache, where other kernels may have made it.
smoke: $(STAMP) ## every spec at its smallest, its report, and the gate against tests/baselines
	rm -rf $(SMOKE)
	HWBENCH_CACHE=$(SMOKE)/cache $(BIN)/hwbench run $(SPECS) --profile smoke --results $(SMOKE)/results $(ARGS)
	$(BIN)/hwbench report $(SPECS) --results $(SMOKE)/results --reports $(SMOKE)/reports
	$(BIN)/hwbench gate $(SPECS) --baseline tests/baselines --results $(SMOKE)/results --junit $(SMOKE)/gate.xml

baselines: $(STAMP) ## take tests/baselines anew: 5 seeds of every spec, and 2 of them under other kernels
	rm -rf $(BASELINES)
	HWBENCH_CACHE=$(BASELINES)/cache \
		$(BIN)/hwbench run $(SPECS) --profile smoke --device cpu --seeds 5 --results $(BASELINES)/here $(ARGS)
	$(KERNELS) HWBENCH_CACHE=$(BASELINES)/cache-elsewhere \
		$(BIN)/hwbench run $(SPECS) --profile smoke --device cpu --seeds 2 --results $(BASELINES)/elsewhere $(ARGS)
	$(BIN)/hwbench gate $(SPECS) --update --baseline tests/baselines \
		--results $(BASELINES)/here --elsewhere $(BASELINES)/elsewhere

lenet: $(STAMP) ## train the LeNets of lenet_fid anew (minutes): their weights, and checksums for the specs
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python tests/evaluators/train_lenet.py

# The memory settings of `hwbench`'s workers, and no checks of shapes.
speed: $(STAMP) ## time the hot paths; writes a table and a figure to build/speed
	MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592 JAXTYPING_DISABLE=1 $(PYTEST) tests/speed --benchmark-only $(ARGS)

gpu-check: $(STAMP) ## on a GPU: the losses of the CPU over 200 steps, and steps per second of both
	$(BIN)/python tests/gpu/check.py $(ARGS)

reader: $(STAMP) ## train the net that reads generated images, hwbench/evaluators/reader.npz, anew; prints its sha256 (minutes)
	$(BIN)/python -m tests.evaluators.train_reader

check: $(STAMP) ## ruff, mypy, import rules, and every spec
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hwbench check

format: $(STAMP) ## format the code and fix what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

report: $(STAMP) ## write reports/ from the results on file
	$(BIN)/hwbench report $(ARGS)

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(DOCS_STAMP) ## build the documentation: build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q $(ARGS)

docker: ## build the image hwbench; CUDA: make docker DOCKER_ARGS="--build-arg TORCH_INDEX="
	$(DOCKER) build -t hwbench $(DOCKER_ARGS) .

clean: ## remove caches and build output; keeps .venv, data, results and reports
	rm -rf build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .pytest_cache
	find hwbench tests -name __pycache__ -type d -exec rm -rf {} +
