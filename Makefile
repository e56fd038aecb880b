# Each target does its own set-up, so a fresh clone needs Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8888
BIN = $(VENV)/bin
CODE = $(wildcard server recsys kundali tools tests bench)
export VENV
# Where a program may not keep what it compiled, each start compiles all libraries anew: seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo train test unit lint format types locale lock vendor screenshots bench bench-realtime clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## make the virtual environment that runs the server
	@$(PYTHON) tools/bootstrap.py

setup-test:
	@$(PYTHON) tools/bootstrap.py --extra test

demo: setup ## run the product with demo data on PORT (8888), kept under var/
	@$(BIN)/pandityatra demo --port $(PORT)

# The address of the database of the demo that runs from this folder.
SOURCE ?= $(shell cat var/mongo.uri 2>/dev/null)

# The demo's town stands still, and is so small that its intervals are wide: on some days they reach down to popularity,
# and below what the model that serves has by more than a real town's may.
train: setup ## train a model from the running demo (or SOURCE=) and let the server take it up
	@test -n "$(SOURCE)" || { echo "No demo runs here: make demo in another terminal, or SOURCE=mongodb://..."; exit 1; }
	@mkdir -p var
	@$(BIN)/python -m kundali festivals --pujas config/festivals.toml --json > var/festivals.json
	@nice -n 10 $(BIN)/python -m recsys.train --source "$(SOURCE)" --festivals var/festivals.json --publish \
		--data.max-age-hours 87600 --gates.must-beat-baseline false --gates.paired-loss 0.03 $(ARGS)

test: setup-test ## run every test and count them by kind
	@$(BIN)/python tools/run_tests.py

unit: setup-test ## run the quick tests only
	@$(BIN)/python tools/run_tests.py unit

lint: setup-test ## style, types, import layers, translations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/python tools/check_layers.py
	$(BIN)/python tools/check_locale.py

format: setup-test ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup-test ## types alone
	$(BIN)/mypy $(CODE)

locale: setup-test ## collect the texts, update the catalogues, compile them
	@$(BIN)/python tools/check_locale.py --update
	@$(PYTHON) tools/bootstrap.py --extra test

lock: ## resolve the dependencies anew (needs uv)
	$(PYTHON) tools/lock.py

vendor: setup-test ## fetch the browser libraries again (maintainers)
	$(BIN)/python tools/vendor.py

screenshots: setup-test ## take the pictures of docs/screens anew, from a demo of its own
	@$(BIN)/python tools/screenshots.py

bench: setup-test ## measure the commonest routes and searches
	$(BIN)/python bench/rest.py
	$(BIN)/python -m bench.search

bench-realtime: setup-test ## measure the sockets against other servers (ARGS=--quick: a smoke run)
	@$(BIN)/python -m bench.realtime $(ARGS)

clean: ## remove what the build made; var/ stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache htmlcov
