PYTHON ?= python3
BIN = .venv/bin

.PHONY: install lint test bench readme

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --editable '.[model]' --group dev
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m benchmarks

# Puts the output of README's first command into README again.
readme: install
	$(BIN)/python tests/refresh_readme.py
