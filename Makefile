# Set-up, demo, tests and services. Everything lives in .venv and in TRIPLEGAIN_HOME (default .triplegain).
PYTHON ?= python3
BIN := .venv/bin
# Where it is set, each of hundreds of processes would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE
INSTALLED := .venv/installed

.PHONY: setup demo up test covered soak rehearse lint types docs clean
setup: $(INSTALLED)

# The lock file is complete, so nothing is left for a resolver to decide.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/triplegain demo

up: setup
	@exec $(BIN)/triplegain up

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

# Three workers share the cores: threads beside them only wait for each other, and one is a tenth quicker.
test: export POLARS_MAX_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: setup
	@$(MAKE) --no-print-directory --jobs 2 lint types covered

covered: setup
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not long" --cov --cov-report=
	$(BIN)/python tests/coverage_floors.py

# The long forms: twenty kills of the replay instead of one, a crash after every commit instead of every third, four
# weeks of history instead of ten days, and the stream service for an hour of trading (two minutes of ours) instead of a
# quarter of one; all services ended in the middle of their work; a year of forecasts and its leaderboard; studies of two
# hundred markets in which nobody has an edge.
soak: setup
	TRIPLEGAIN_KILLS=20 TRIPLEGAIN_CRASH_STEP=1 TRIPLEGAIN_SOAK_MINUTES=60 TRIPLEGAIN_REPLAY_DAYS=28 $(BIN)/pytest \
		tests/e2e/test_repeatability.py tests/integration/test_crash_points.py tests/e2e/test_stream_soak.py \
		tests/e2e/test_sigterm_services.py tests/e2e/test_replayed_weeks.py \
		tests/e2e/test_year_of_forecasts.py tests/backtest/test_study_luck.py

# Live processes killed by the thousand, at any point and under any fault of the exchange on loopback.
rehearse: setup
	TRIPLEGAIN_CRASH_COMBINATIONS=$${TRIPLEGAIN_CRASH_COMBINATIONS:-3000} $(BIN)/pytest --numprocesses 2 --dist load \
		tests/e2e/test_crash_points_kraken.py tests/e2e/test_crash_points_binance.py tests/e2e/test_crash_points_coinbase.py

docs: setup
	TRIPLEGAIN_WRITE_DOCS=1 $(BIN)/pytest -q tests/unit/test_execution_docs.py tests/unit/test_data_docs.py tests/unit/test_models_docs.py tests/unit/test_research_docs.py tests/definitions

clean:
	rm -rf .venv .triplegain .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
