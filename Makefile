# Every target sets up what it needs. `make` alone lists them.
# ARGS goes to the program that a target runs: make test ARGS="-k rooms"

.DEFAULT_GOAL := help
.PHONY: help demo test kernels check fuzz asan bench docs bless wheel clean

BIN := .venv/bin
# The checkout as a plain path: setuptools' import hook would cost every start 20 ms, and the link
# ebpfasm/runtime leads everywhere it does.
PLAIN := --config-settings editable_mode=compat
SOURCES := pyproject.toml setup.py runtime/_build.py $(wildcard runtime/native/* runtime/native/*/*)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed ## count packets in the kernel, or in the virtual machine without the rights
	$(BIN)/python -m examples.xdp_stats_assembly.run --listing --duration 5 $(ARGS)

test: .venv/installed-dev ## run every test; as root, install the tools that they judge by
	tools/system-packages judges
	$(BIN)/pytest $(ARGS)

kernels: .venv/installed-dev ## run the kernel's tests under five kernels, write a table
	tools/system-packages judges
	$(BIN)/python tools/kernel-matrix $(ARGS)

check: .venv/installed-dev ## lint, formatting, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

TIMES ?= 10
fuzz: .venv/installed-dev ## try TIMES (10) times as many random programs, packets and captures
	EBPFASM_FUZZ=$(TIMES) $(BIN)/pytest tests/vm/test_differential.py tests/vm/test_fuzz.py $(ARGS)
	EBPFASM_FUZZ=$(TIMES) $(BIN)/pytest -k "any or random or damaged" tests/asm tests/btf tests/elf tests/ir tests/runtime $(ARGS)

asan: .venv/installed-dev ## run what handles bytes in C under the sanitizers
	tools/asan $(BIN)/python $(ARGS)

bench: .venv/installed-dev ## run every benchmark side by side with its peer
	tools/system-packages judges
	@for run in $(sort $(wildcard benchmarks/*/run.py)); do \
	    echo "== $$run"; $(BIN)/python $$run $(ARGS) || exit 1; \
	done

docs: .venv/installed ## print the generated pages of docs/ anew
	$(BIN)/ebpfasm isa --markdown > docs/isa.md
	$(BIN)/ebpfasm errors --markdown > docs/errors.md
	$(BIN)/python tools/reference > docs/reference.md

bless: .venv/installed-dev ## rewrite the tests' expectations; read the diff as you read code
	$(BIN)/pytest --bless $(ARGS)

wheel: .venv/installed-dev ## build sdist and wheel into dist/
	$(BIN)/python -m build

clean: ## remove everything that these targets made
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f ebpfasm/_native*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	tools/make-venv .venv

.venv/installed: .venv/bin/python $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check $(PLAIN) --editable .
	@touch $@

.venv/installed-dev: .venv/bin/python $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check $(PLAIN) --editable '.[dev]'
	@touch .venv/installed $@
