# Needs only Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
# One more than the cores that the tests are meant for, because some tests wait.
JOBS ?= 3
SIZE ?= small

.PHONY: help demo compiled test test-ui unit pytest test-long lint bench spark s3 vendor clean

help:
	@echo "make demo       install, then build a simulated market and plot it"
	@echo "make test       install, then run lint and all tests"
	@echo "make test-ui    test the web page in a real browser"
	@echo "make unit       run the unit tests that need no demo home"
	@echo "make test-long  run the long crash, fault and fuzz tests too"
	@echo "make matrix     run a fast part of the tests with the oldest DuckDB and newer Pythons"
	@echo "make spark      compute the marts on a local Spark server, compare them with DuckDB's; needs Java"
	@echo "make s3         test homes in a bucket on a local S3 server: races, kills, readers, damage"
	@echo "make bench      measure the speed beside alternatives; SIZE=full runs everything"
	@echo "make clean      remove the environment and the demo"

$(BIN)/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

.venv/installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch .venv/installed $@

.venv/installed-test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch .venv/installed .venv/installed-dev $@

.venv/installed-bench: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[bench,test]'
	@touch .venv/installed .venv/installed-dev .venv/installed-test $@

.venv/installed-spark: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[spark,test]'
	@touch .venv/installed .venv/installed-dev .venv/installed-test $@

demo: .venv/installed
	$(BIN)/warehouse demo

# The compiled SQL that the package ships. Run this after each change of a model, macro, seed or
# test.
compiled: .venv/installed-test
	WAREHOUSE_HOME=build/compile $(BIN)/python -m warehouse.build.dbt_process build/compile compile warehouse/project/compiled.json

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes $(JOBS) models tests/dbt

# Lint and tests share the cores. Tests of one file run on one worker, because they share fixtures.
test: .venv/installed-test
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: .venv/installed-test
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.venv/installed-test-ui: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test,test-ui]'
	@touch .venv/installed .venv/installed-dev .venv/installed-test $@

# Tests the page in chromium ($$CHROMIUM, else /usr/bin/chromium) and checks the types of its
# JavaScript.
test-ui: .venv/installed-test-ui
	$(BIN)/pytest tests/page
	@if command -v npx >/dev/null; then npx --yes -p typescript@5.9.3 tsc -p tests/page/jsconfig.json; \
	else echo "npx is not installed, so the types of the JavaScript were not checked"; fi

unit: .venv/installed-dev
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder tests/unit -m 'not long and not demo'

test-long: lint
	$(BIN)/pytest -n $(JOBS) -m '(long or not long) and not spark and not s3' \
		--hypothesis-profile long --timeout 3600

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks --size $(SIZE) --out build/benchmarks.json

# Fetches the third-party files of the page from npm; VENDORED.toml has their versions and hashes.
vendor: .venv/installed
	$(BIN)/python -m tests.vendored

# Starts a Spark Connect server with two workers on loopback, and stops it; some minutes.
spark: .venv/installed-spark
	@command -v java >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless; }
	$(BIN)/pytest -v -s -m spark --timeout 1800 tests/spark

.venv/installed-s3: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test,test-s3]'
	@touch .venv/installed .venv/installed-dev .venv/installed-test $@

# Starts seaweedfs, an S3 server from the package index, on loopback, and stops it; some minutes.
s3: .venv/installed-s3
	$(BIN)/pytest -v -m s3 --timeout 900 tests/s3

clean:
	rm -rf .venv demo

include matrix.mk
