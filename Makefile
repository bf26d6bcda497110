# Everything from a fresh clone: python3 (3.10 or newer) and make are enough. Docker is used where it is there;
# on Debian and Ubuntu, as root, it is installed and started.

PYTHON ?= python3
# Which line of the SageMaker SDK: 2, or 3, which has an environment of its own.
SDK ?= v2
LINE := $(if $(filter v3 3,$(SDK)),v3,v2)
VENV := $(if $(filter v3,$(LINE)),.venv-v3,.venv)
RUN := $(VENV)/bin/python
ARGS ?=
SECONDS_EACH ?= 60
# Several tests at a time, but one at a time of those that share the Docker Engine (tests/conftest.py).
AT_ONCE := -n auto

.DEFAULT_GOAL := help
.PHONY: help demo test test-v3 heavy unit lint bench fuzz engine clean
# What users write, the same on both lines of the SDK, and what is there for v3 alone.
ON_V3 := $(wildcard tests/*/test_*both_sdks.py tests/*/test_*v3.py)

help: ## list what can be made
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(VENV)/.installed engine ## the main job in a sandbox: build, train, serve, "deploy"
	SAGEMAKER_SUPPRESS_V2_WARNING=1 $(RUN) examples/digits/demo.py $(ARGS)

test: $(VENV)/.installed engine ## all tests but the heavy ones, integration included (ARGS are handed to pytest)
	$(RUN) -m pytest -m "not heavy" $(AT_ONCE) $(ARGS)

test-v3: ## the same user's code on the SDK v3, in an environment of its own
	$(MAKE) SDK=v3 engine
	.venv-v3/bin/python -m pytest $(AT_ONCE) $(ON_V3) $(ARGS)

heavy: $(VENV)/.installed engine ## every framework in its stand-in (2 GB more of images), 800 builds over a broken network: a quarter of an hour
	$(RUN) -m pytest -m heavy $(ARGS)

unit: $(VENV)/.installed ## the tests that need no engine
	$(RUN) -m pytest -m "not docker" $(AT_ONCE) $(ARGS)

lint: $(VENV)/.installed-lint ## style, types and import contracts
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/vermin --quiet --no-tips --violations -t=3.10- sagemaker_custom
	$(VENV)/bin/codespell README.md CONTRIBUTING.md SECURITY.md docs examples image_catalog/extras image_catalog/README.md sagemaker_custom

bench: $(VENV)/.installed engine ## measure all that docs/reference/benchmarks.md says, and write it: half an hour
	set -e; for name in source resolve fit append size; do $(RUN) benchmarks/bench_$$name.py; done
	$(MAKE) SDK=v3 .venv-v3/.installed && .venv-v3/bin/python benchmarks/bench_source_v3.py
	command -v skopeo >/dev/null && $(RUN) benchmarks/bench_mirror.py || echo "skopeo is not installed: mirroring is not measured"
	$(RUN) benchmarks/report.py

fuzz: $(VENV)/.installed ## feed every parser with hostile input for SECONDS_EACH=60 a group (needs Linux, Python 3.11 or newer)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(RUN) fuzz/seeds.py
	set -e; for group in texts documents images wheels; do $(RUN) fuzz/run.py $$group -max_total_time=$(SECONDS_EACH); done

engine: $(VENV)/.installed
	@$(RUN) -m sagemaker_custom.sandbox.engine

clean: ## remove the environment and what tools leave behind
	rm -rf .venv .venv-v3 build dist *.egg-info fuzz/corpus fuzz/seeds fuzz/findings .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.x …")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment can be made: install Python's venv (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }

$(VENV)/.installed: $(RUN) setup.cfg pyproject.toml tests/constraints-v3.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$(LINE),sandbox,test]' $(if $(filter v3,$(LINE)),--constraint tests/constraints-v3.txt)
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[lint]'
	@touch $@
