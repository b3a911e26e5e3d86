# make demo   sets up and serves the example application (BIND=HOST:PORT for another address)
# make test   sets up and runs every check
# make lock   pins the dependencies again, after a change of pyproject.toml

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIND ?= 127.0.0.1:8000

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint types rooms tests lock clean

demo: $(VENV)/demo-installed
	@echo "the guestbook comes up at http://$(BIND); Ctrl-C stops it"
	@$(BIN)/coachman serve examples/guestbook --bind $(BIND)

test: lint types rooms tests

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev-installed
	$(BIN)/mypy

rooms: $(VENV)/dev-installed
	$(BIN)/lint-imports

tests: $(VENV)/dev-installed
	$(BIN)/pytest --numprocesses 4

# The lock files carry versions and hashes, no addresses: pip asks the index that the machine is set up with.
$(VENV)/%-installed: requirements/%.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "coachman needs Python 3.11 or later; none is on the PATH"; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $<"
	@$(PIP) install --require-hashes --requirement $<
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

lock:
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip --quiet install uv
	for set in demo dev; do \
	  .cache/lock/bin/uv pip compile pyproject.toml --extra $$set --python-version 3.11 --universal \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	    --output-file requirements/$$set.lock --quiet || exit 1; \
	done

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis examples/guestbook/var
