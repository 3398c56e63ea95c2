# Anemone: each target sets up what it needs and takes seconds when that is already done.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Python keeps what it compiled, or each of the hundreds of processes that the tests start compiles TensorFlow again.
export PYTHONDONTWRITEBYTECODE =
RECORDING ?=
FAST := audio scoring detection tables evaluation tuning soundscape review test_config.py

# TensorFlow stops at Python 3.13: take the first interpreter in range.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test test-fast fuzz soak lint style doctest docs dist notebooks lab bench lock image terraform checkov zizmor deploy destroy clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# One environment a set of extras would be four copies of the same; the extras are installed on top of each other,
# always from the one lock with its hashes. The stamp says which are there and for which lock.
$(BIN)/uv: requirements.lock
	@test -n "$(PYTHON)" || { echo "Anemone needs Python 3.11, 3.12 or 3.13 (python3 --version: $$(python3 --version 2>&1))"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >$(VENV)/uv.txt  # the pin of uv, with its hashes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	@touch $@

define install  # $(call install,EXTRA): the package, editable, with one extra
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --constraint requirements.lock --editable '.$(1)'
	@touch $@
endef

$(VENV)/.installed: $(BIN)/uv pyproject.toml requirements.lock
	$(call install,)

$(VENV)/.installed-test: $(BIN)/uv pyproject.toml requirements.lock
	$(call install,[test])
	@touch $(VENV)/.installed

$(VENV)/.installed-notebooks: $(BIN)/uv pyproject.toml requirements.lock
	$(call install,[notebooks])
	@touch $(VENV)/.installed

$(VENV)/.installed-docs: $(BIN)/uv pyproject.toml requirements.lock
	$(call install,[docs])
	@touch $(VENV)/.installed

demo: $(VENV)/.installed  ## detect events in a simulated minute of reef, or in RECORDING=path
ifeq ($(RECORDING),)
	@mkdir -p out/demo
	$(BIN)/anemone simulate --overwrite --duration 60 --seed 1 out/demo/reef.wav
	$(BIN)/anemone detect out/demo/reef.wav --out out/demo --formats json,csv,raven,audacity,png \
		--annotations out/demo/reef.truth.txt
else
	$(BIN)/anemone detect "$(RECORDING)" --out out/demo --formats json,csv,raven,audacity,png
endif

lint: style  ## ruff, import-linter, mypy
	$(BIN)/mypy

style: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# One process more than there are cores, because many tests wait, for a browser or a server; tests that share what is slow
# to make stay together (tests/conftest.py). TensorFlow, NumPy and scikit-learn take one thread in each: more of them
# wait for each other, and keep a core busy with it. Two plugins that no test needs are not loaded: each process would
# take two seconds for them.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -p no:nbval -p no:schemathesis
test test-fast: export OMP_NUM_THREADS = 1
test test-fast: export TF_NUM_INTRAOP_THREADS = 1
test test-fast: export TF_NUM_INTEROP_THREADS = 1

# mypy runs beside the tests, and its findings come after theirs.
test: style  ## every gate that runs everywhere: lint, then the tests, their coverage, and the examples in docstrings
	@mkdir -p out; $(BIN)/mypy >out/mypy.log 2>&1 & types=$$!; failed=0; $(BIN)/coverage erase; \
	PYTEST_PLUGINS=tests.executed_lines $(PYTEST) || failed=$$?; \
	{ $(BIN)/coverage combine --quiet && $(BIN)/coverage report --skip-covered; } || failed=1; \
	wait $$types || { failed=1; cat out/mypy.log; }; exit $$failed

test-fast: $(VENV)/.installed-test  ## the quick tests of the package, in under a minute
	$(PYTEST) -m "not slow" $(addprefix tests/,$(FAST))

HOURS ?= 1

fuzz: $(VENV)/.installed-test  ## read damaged recordings for hours: make fuzz HOURS=8
	$(BIN)/python -m tests.audio.fuzz --hours $(HOURS)

MINUTES ?= 5

soak: $(VENV)/.installed-test  ## half an hour of mixed load on a local service, compressed into MINUTES (5)
	$(BIN)/python -m tests.service.attack.soak --minutes $(MINUTES)

doctest: $(VENV)/.installed-test  ## the examples in docstrings alone
	$(BIN)/python -m pytest --doctest-modules anemone_lib

docs: $(VENV)/.installed-docs  ## the documentation site, into out/docs/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -b html docs out/docs/html

dist: $(VENV)/.installed-test  ## wheel and source distribution, into dist/
	rm -rf dist
	$(BIN)/python -m build --installer uv --outdir dist .
	$(BIN)/twine check --strict dist/*

notebooks: $(VENV)/.installed-test  ## run all notebooks with small parameters, into out/notebooks/ as .ipynb and .html
	$(BIN)/python -m pytest tests/notebooks

lab: $(VENV)/.installed-notebooks  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks --LabApp.default_url=/lab/tree/README.md

bench: $(VENV)/.installed-test  ## measure; BENCH=full adds the 5 GB recording
	$(BIN)/python benchmarks/run.py $(if $(filter full,$(BENCH)),--full)

lock: $(BIN)/uv  ## resolve the pins anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --fork-strategy fewest \
	  --all-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

image:  ## build the Lambda image of this checkout with Docker, as anemone-inference; docker/build.sh says what can be set
	docker/build.sh anemone-inference

terraform: $(VENV)/.installed-test checkov  ## check the infrastructure: form, types, its own tests, checkov
	$(BIN)/python -m pytest tests/terraform

checkov: $(BIN)/uv  ## known weaknesses of the infrastructure, by checkov, in an environment of its own
	$(BIN)/uv tool run --python $(BIN)/python --from checkov==3.3.30 checkov --config-file terraform/checkov.yaml

zizmor: $(BIN)/uv  ## known weaknesses of the workflows, by zizmor, in an environment of its own
	$(BIN)/uv tool run --python $(BIN)/python --from zizmor==1.32.0 zizmor --offline --no-progress .github

deploy: $(if $(DRY_RUN),,$(VENV)/.installed-notebooks)  ## deploy to AWS: make deploy ENV=dev; DRY_RUN=1 only prints
	terraform/deploy.sh deploy "$(ENV)"

destroy:  ## end a deployment: make destroy ENV=dev; DRY_RUN=1 only prints
	terraform/deploy.sh destroy "$(ENV)"

clean:  ## remove what the other targets made
	rm -rf $(VENV) out build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
