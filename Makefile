# Everything runs in .venv, which is made here on first use; nothing else on the machine is touched.
# Needs Python >= 3.11 with its venv module, and make.

.DELETE_ON_ERROR:
.PHONY: all demo test versions simulate fuzz soak audit test-fdb lint format bench generate check-generated clean

PYTHON ?=
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check

all: lint test

demo: $(VENV)/.demo                 ## 33,000 cities into a file, queries with their plans, sync, async and over a port
	@$(PY) -m bench.demo $(ARGS)

test: $(VENV)/.dev                  ## the whole suite on the embedded engine: make test ARGS="-k tuples"
	@$(PY) -m pytest $(ARGS)

VERSIONS ?= python3.11 python3.12 python3.13 python3.14 python3.15
versions:                           ## the suite on every Python that is here: make versions ARGS="tests/golden"
	@failed=; for python in $(VERSIONS); do \
	    $$python -c '' >/dev/null 2>&1 || { echo "$$python is not here"; continue; }; \
	    $(MAKE) --no-print-directory VENV=.venv-$$(basename $$python) PYTHON=$$python test || failed="$$failed $$python"; \
	done; if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

SEEDS ?= 50
simulate: $(VENV)/.dev              ## many seeds of simulations of everything: make simulate SEEDS=500
	RECORDLAYER_SEEDS=$(SEEDS) $(VENV)/bin/python -m pytest -q -n 2 tests/behaviour/test_simulated*.py

SECONDS ?= 60
fuzz: $(VENV)/.fuzz                 ## decoders and requests, guided by coverage: make fuzz TARGET=tuples SECONDS=600
	@$(PY) -m tests.fuzz $(TARGET) --seconds=$(SECONDS) $(ARGS)

ENGINE ?=
soak: $(VENV)/.dev                  ## everything at once, watched for leaks: make soak SECONDS=600 ENGINE=fdb:
	RECORDLAYER_SOAK_SECONDS=$(SECONDS) RECORDLAYER_SOAK_ENGINE=$(ENGINE) $(PY) -m pytest -q -s tests/contract/test_soak.py

audit: $(VENV)/.audit               ## known vulnerabilities of what is installed here; fails if anything could not be asked for
	@$(PY) -m pip freeze --all --exclude-editable > $(VENV)/.frozen
	@$(PY) -m pip_audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(VENV)/.frozen $(ARGS)

test-fdb: $(VENV)/.dev              ## the same on a cluster too: RECORDLAYER_TEST_CLUSTER_FILE's, or one in docker
	@if [ -n "$$RECORDLAYER_TEST_CLUSTER_FILE" ]; then \
	    $(PY) -m pytest $(ARGS); \
	else \
	    ARGS="$(ARGS)" docker compose -f docker/compose.test.yaml run --build --rm tests; status=$$?; \
	    docker compose -f docker/compose.test.yaml down --volumes; exit $$status; \
	fi

lint: $(VENV)/.dev check-generated  ## format, lint, types, import direction, generated files
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.dev
	@$(PY) -m ruff check --fix --exit-zero --quiet .
	@$(PY) -m ruff format .

bench: $(VENV)/.bench               ## ratios against peers doing the same job: make bench ARGS="tuples --json"
	@$(PY) -m bench $(ARGS)

generate: $(VENV)/.dev              ## what is derived from protos/ and from recordlayer/aio/
	@$(PY) protos/generate.py
	@$(PY) tests/house/generate_blocking.py

check-generated: $(VENV)/.dev
	@$(PY) protos/generate.py --check
	@$(PY) tests/house/generate_blocking.py --check

clean:
	rm -rf $(VENV) .venv-* recordlayer/_core.* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz

# -- the virtual environment ---------------------------------------------------------------------------------

$(VENV)/.demo $(VENV)/.dev $(VENV)/.fuzz $(VENV)/.audit $(VENV)/.bench: $(VENV)/.%: pyproject.toml $(wildcard native/*) | $(PY)
	@echo "installing recordlayer[$*] into $(VENV) ..."
	@$(INSTALL) --editable '.[$*]'
	@touch $@

$(PY):
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if command -v $$python >/dev/null 2>&1 \
	        && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "recordlayer needs Python 3.11 or newer ($(or $(PYTHON),python3) is not)." >&2; \
	    echo "  On Debian 12 or Ubuntu 24.04 and later: apt-get install python3 python3-venv make" >&2; \
	    echo "  With another interpreter: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make virtual environments: its venv module is not installed." >&2; \
	    echo "  On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	fi; \
	echo "making $(VENV) with $$($$found --version) ..."; \
	$$found -m venv --clear $(VENV)
