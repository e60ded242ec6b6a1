# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WEIGHTS ?=
GPU_EXTRA ?= tensorrt-rtx
ARGS ?=
TORCH := torch==2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test test-alone lint types imports structure unit unit-core unit-rest unit-vendors gpu-acceptance faults clean

demo: $(VENV)/.demo
	$(BIN)/yolox-deploy demo $(if $(WEIGHTS),--weights $(WEIGHTS))

test: lint imports unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# Modules and lines by room, circles, imports that climb, open names. It fails where there is a circle.
structure: $(VENV)/bin/python
	$(BIN)/python tests/structure.py

# In three processes: one that has loaded every vendor's library beside PyTorch has crashed. Two jobs at a time, in this
# order, which keeps both cores at work to the end. Each on one thread, and where a test asks for two they sleep while
# they wait for one another: threads that spin, in two processes at once, take the cores from those that they wait for,
# for minutes.
VENDORS := tests/contract tests/converters tests/runtimes
CORE := tests/training tests/data tests/models tests/cli tests/benchmarks
JOBS := types unit-core unit-rest unit-vendors
LINES := $(if $(filter output-sync,$(.FEATURES)),-Oline)

unit: $(VENV)/.dev
	@echo "types and tests, two jobs at a time: about 12 minutes on 2 cores, and each job is printed when it is done"
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(MAKE) --no-print-directory -j2 $(LINES) $(JOBS)

unit-core:
	$(BIN)/python -m pytest $(CORE)

unit-rest:
	$(BIN)/python -m pytest $(foreach folder,$(CORE) $(VENDORS),--ignore=$(folder)) tests

unit-vendors:
	$(BIN)/python -m pytest $(VENDORS)

# As in a clone with no ../shared beside it: these rooms have to check their models there too.
ALONE := tests/exporter/test_pipeline.py tests/exporter/test_parity.py tests/test_detector.py \
  tests/converters/test_float16.py tests/contract/test_same_boxes.py

test-alone: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --alone $(ALONE)

# On a machine with an NVIDIA GPU: GPU_EXTRA=tensorrt, or tensorrt-volta on a V100.
gpu-acceptance: $(VENV)/.demo
	$(PIP) install -q -e ".[$(GPU_EXTRA)]"
	$(BIN)/python -m yolox_deploy.benchmarks.studies.gpu_acceptance $(ARGS)

# Damages model files, pictures, descriptions and more; a table of how it ended, and 1 where there is a fault.
SEED ?= 0
N ?= 1000
faults: $(VENV)/.dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m yolox_deploy.benchmarks.faults --seed $(SEED) --n $(N) $(ARGS)

clean:
	rm -rf $(VENV) demo predictions build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The CPU build of PyTorch: from where pip looks already, else from PyTorch's own index, so that Linux never
# pulls the gigabytes of CUDA that the default build brings. macOS has no other build.
$(VENV)/.torch: $(VENV)/bin/python
	$(PIP) install -q --upgrade "setuptools>=77" wheel
	$(PIP) install -q "$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) install -q --index-url $(TORCH_CPU_INDEX) "$(TORCH)" \
	  || { [ "$$(uname -s)" != Linux ] && $(PIP) install -q "$(TORCH)"; }
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[onnxruntime,openvino,ncnn,export,eval,bench]"
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[dev]"
	touch $@
