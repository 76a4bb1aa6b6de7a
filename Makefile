# Everything runs in .venv; nothing outside this folder is changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest

DATA ?= data
# the build without GPU kernels, where there is one: half the size, and the same Python
TENSORFLOW := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),tensorflow-cpu,tensorflow)

# a folder of compiled files is kept: without it every process of a test compiles the package again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo docs generate architecture test test-tensorflow test-loops test-gpu test-lowest test-wheel test-fast test-long check mutants bench scenarios clean help

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# for the demo alone: tests need torchvision too, which has to be built for the same PyTorch
$(VENV)/.torch: $(BIN)/python
	$(BIN)/python tools/install_torch.py
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,demo]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## set up, then the main job on easy-VQA: raw rows in, an exported student and a report out
	$(BIN)/suffuse run recipes/easy-vqa.yaml

test: $(VENV)/.dev ## set up, then all tests but the long ones: minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not long'

test-long: $(VENV)/.dev ## the long tests: whole runs by real processes, kills, scripts of the benchmarks, simulations, searches, real data
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

test-tensorflow: $(VENV)/.dev ## the tests of TensorFlow's models as teachers; installs TensorFlow into .venv (more than a gigabyte)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TENSORFLOW)>=2.16'
	$(BIN)/python -m pytest tests/teachers/test_saved_model.py

test-loops: $(VENV)/.dev ## the tests of MLflow, Weights & Biases, Lightning and Trainer; installs them into .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mlflow,wandb,loops]'
	$(BIN)/python -m pytest tests/test_tracking.py tests/examples/test_training_loops.py

$(VENV)/.docs: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

docs: $(VENV)/.docs ## the documentation and the Python API as a site in site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

generate: $(VENV)/.dev ## write what the documentation says of parts: tables, options, keys and counts
	$(BIN)/python tools/generate_docs.py

architecture: $(BIN)/python ## draw the layers of pyproject.toml's contract into docs/layers.svg
	$(BIN)/python tools/draw_layers.py

# The lowest release of each direct dependency that pyproject.toml allows, resolved in one call. Old releases have wheels for
# the lowest Python alone.
$(LOWEST)/.ready: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip compile --quiet --extra dev --extra docs --resolution lowest-direct --python $(BIN)/python --output-file $(LOWEST)/requirements.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --requirements $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	touch $@

test-gpu: $(VENV)/.dev ## the tests that need a graphics processor (SUFFUSE_TEST_DEVICE: cuda, cuda:1, mps, xpu), one at a time
	$(BIN)/python -m pytest -n 0 -m gpu -rs

test-lowest: $(LOWEST)/.ready ## the quick tests with the lowest release of every dependency, on the lowest Python, in .venv-lowest
	PATH="$(CURDIR)/$(LOWEST)/bin:$$PATH" $(LOWEST)/bin/python -m pytest -n 2 --dist worksteal -m 'not slow and not long'

test-wheel: $(VENV)/.dev ## build the wheel, install it with the extra train outside the checkout, train and predict there
	$(BIN)/python tools/try_wheel.py $(WITH)

test-fast: $(VENV)/.dev ## the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

check: $(VENV)/.dev ## format, lint, types, layers, generated documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/generate_docs.py --check

mutants: $(VENV)/.dev ## change one line of the source at a time and see that the named tests fail (tests/mutants/)
	$(BIN)/python tests/mutants/run.py --jobs 2

bench: $(VENV)/.dev ## side-by-side timings, as ratios: some five minutes
	$(BIN)/python benchmarks/overhead.py --write

scenarios: $(VENV)/.dev ## the three scenarios in full, on the data sets in DATA (see benchmarks/README.md)
	$(BIN)/python benchmarks/scenarios.py $(DATA) --write

clean: ## remove .venv and .venv-lowest (runs/ stays)
	rm -rf $(VENV) $(LOWEST)
