PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN = .venv/bin

.PHONY: install lint test test-sdk test-training bench readme

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --editable '.[model]' --group dev
	touch $@

# What makes the model is a package of its own: PyTorch and all are not for those who run it.
.venv/installed-training: .venv/installed training/pyproject.toml
	$(BIN)/pip install $(TORCH) --editable '.[model]' --editable './training[distil,grpo]' --group training/pyproject.toml:test
	touch $@

lint: install .venv/installed-training
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd training && ../$(BIN)/ruff check . && ../$(BIN)/ruff format --check . && ../$(BIN)/mypy

test: lint test-sdk test-training

test-sdk: install
	$(BIN)/python -m pytest

test-training: .venv/installed-training
	cd training && ../$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m benchmarks

# Puts the output of README's first command into README again.
readme: install
	$(BIN)/python tests/refresh_readme.py
