# Everything a fresh machine needs is Python 3.11 or newer and make.
#
#   make demo    real Kafka and Valkey as child processes, six services, simulated users: about two minutes
#   make test    every test (those that need Docker say why they skip where there is none)
#   make lint    ruff, mypy --strict, import-linter
#   make bench   the benchmarks, each against its peer in the same run
#   make evaluate  how good the learner is: against peers on several streams, without its parts, when things go wrong
#   make chaos   half an hour of full load on three brokers, a fault every 20 seconds, then every log read back
#   make upgrade-drill BEFORE=COMMIT   an older build and this one in one lineage: there, back and there again
#   make audit   a bill of materials (CycloneDX) into dist/, then known vulnerabilities in requirements.lock
#   make api     docs/api.md anew from the docstrings
#   make lock    requirements.lock anew from pyproject.toml
#   make clean   removes what the above made, the download cache excepted

PYTHON ?= python3
BIN := .venv/bin
DEMO_ARGS ?=
TEST_ARGS ?=
CHAOS_ARGS ?=
DRILL_ARGS ?=
EVALUATE_ARGS ?=

.PHONY: setup demo test lint bench evaluate evaluate-parts evaluate-streams chaos upgrade-drill audit api lock clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

setup: .venv/.installed

# uv itself comes from the lock, by its hash, through the pip that Python ships.
.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "OL0 needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	$(BIN)/uv pip sync --quiet --python .venv requirements.lock
	$(BIN)/uv pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	touch $@

# Two gigabytes, which only tests need: torch, and what else is optional.
.venv/.torch: requirements-test.lock .venv/.installed
	$(BIN)/uv pip install --quiet --python .venv --require-hashes -r requirements-test.lock
	touch $@

demo: setup
	@$(BIN)/ol0 demo $(DEMO_ARGS)

# The pure tests in seconds, then those on a real broker and a real store: two files at a time, each worker with its own.
# One thread for each worker: torch's own would wait for each other on cores that are taken.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: .venv/.torch
	$(BIN)/pytest -n 2 -q $(TEST_ARGS) tests/unit tests/contract
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(TEST_ARGS) tests/integration tests/end_to_end

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The peers have environments of their own. One that cannot be installed is a line in the results, not an error here.
# One thread for small products, as the supervisor gives the services.
bench: setup
	-$(MAKE) --no-print-directory .venv-bench/.installed
	-$(MAKE) --no-print-directory .venv-reverb/.installed
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m benchmarks

# In process, without Kafka: some ten minutes each on two cores. Files of labelled prompts are streams, too:
# make evaluate-streams EVALUATE_ARGS="--data FILE..."
evaluate: evaluate-parts evaluate-streams

evaluate-parts: setup
	$(BIN)/python -m benchmarks.evaluation $(EVALUATE_ARGS)

evaluate-streams: setup
	-$(MAKE) --no-print-directory .venv-bench/.installed
	$(BIN)/python -m benchmarks.evaluation.streams $(EVALUATE_ARGS)

# It uses what the fault tests use: the same world, the same audit.
chaos: setup
	$(BIN)/python -m benchmarks.chaos $(CHAOS_ARGS)

# The older build runs in this environment, out of a commit of this clone.
upgrade-drill: setup
	$(BIN)/python -m benchmarks.upgrade $(BEFORE) $(DRILL_ARGS)

# Strict: a package that the vulnerability database was not asked about is an error, not a package without a flaw.
audit: .venv-audit/.installed
	mkdir -p dist
	.venv-audit/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o dist/ol0.cdx.json requirements.lock
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

.venv-bench/.installed: benchmarks/requirements.lock | setup
	$(PYTHON) -m venv --clear .venv-bench
	$(BIN)/uv pip sync --quiet --python .venv-bench benchmarks/requirements.lock
	touch $@

.venv-reverb/.installed: benchmarks/reverb.lock | setup
	$(PYTHON) -m venv --clear .venv-reverb
	$(BIN)/uv pip sync --quiet --python .venv-reverb benchmarks/reverb.lock
	touch $@

.venv-audit/.installed: infra/audit.lock | setup
	$(PYTHON) -m venv --clear .venv-audit
	$(BIN)/uv pip sync --quiet --python .venv-audit infra/audit.lock
	touch $@

api: setup
	$(BIN)/python -m testbed.api_page

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra local --extra containers --extra console --extra dev --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-header --constraint requirements.lock pyproject.toml -o requirements-test.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra console --no-header pyproject.toml -o infra/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra report --no-header --constraint requirements.lock pyproject.toml -o infra/report.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra torch --no-header --constraint requirements-test.lock pyproject.toml -o infra/torch.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header benchmarks/requirements.in -o benchmarks/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header benchmarks/reverb.in -o benchmarks/reverb.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header infra/audit.in -o infra/audit.lock

clean:
	rm -rf .venv .venv-bench .venv-reverb .venv-audit .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist runs
