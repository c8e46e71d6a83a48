# make demo   create .venv, install, go from a real file to labelled regimes (results in demo/)
# make test   the same, then format, lint, layers, types and tests
# make check  format, lint, layers and types alone
# make quick  the same, and the tests that train no network
# make bench  the benchmarks
# make bench-gpu   the same on a GPU, in under eight minutes (ARGS=...)
# make bench-regimes   methods by tasks over seeds, into docs/benchmarks.md; goes on where it was stopped (ARGS=...)

BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable

TESTS := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: demo test check quick bench bench-gpu bench-regimes docs clean

demo: .venv/runtime
	sh sample_data/demo.sh $(BIN) demo

test: demo check
	$(TESTS)

check: .venv/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

quick: check
	$(TESTS) -m "not training and not slow"

bench: .venv/development
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

bench-gpu: .venv/development
	$(BIN)/python -m tests.benchmarks.gpu $(ARGS)

bench-regimes: .venv/development
	$(BIN)/python -m tests.benchmarks.regimes $(ARGS)
	$(BIN)/python -m tests.benchmarks.regimes --table docs/benchmarks.md

docs: .venv/development
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf .venv demo

.venv/runtime: pyproject.toml .ci/constraints.txt
	test -x $(BIN)/python || python3 -m venv .venv
	$(INSTALL) '.[plot]'
	touch $@

.venv/development: .venv/runtime
	$(INSTALL) '.[plot,zarr,h5netcdf,regrid,test,peers]'
	touch $@
