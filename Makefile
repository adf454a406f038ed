# Each target makes the virtual environment it needs; constraints.txt pins every version.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY ?= demo
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: demo test lint ui screenshots bench clean

demo: $(VENV)/.installed  ## materialize the whole demo study and print its report
	$(BIN)/edsel run --study demo --workers 2

ui: $(VENV)/.installed  ## the Dagster UI on a study: make ui STUDY=demo
	$(BIN)/edsel ui --study $(STUDY)

test: $(VENV)/.dev  ## every test, offline, on the CPU
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

screenshots: $(VENV)/.dev  ## the README's pictures of the UI, taken by its test; needs chromium
	EDSEL_BROWSER=required EDSEL_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest edsel_assets_tests/browser

lint: $(VENV)/.dev  ## style, types, and the layers' import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench  ## side by side against peers; writes results files in benchmarks/
	$(BIN)/python -m benchmarks.selection
	$(BIN)/python -m benchmarks.llm forward
	$(BIN)/python -m benchmarks.llm finetune

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,embeddings]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

clean:  ## forget the environment; results under .edsel stay
	rm -rf $(VENV)
