# Everything a newcomer needs: `make demo`. Needs Python ≥ 3.11 with venv; the first run downloads packages, later ones
# need no network. Only relative paths here, so that the checkout may lie anywhere.

PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
  if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
  then echo $$p; break; fi; done)
PY := .venv/bin/python

# A flag given as 0 or no counts as not given: make demo KILL=0
on = $(filter-out 0 no false,$(1))
DEMO_ARGS = $(if $(CASES),--cases '$(CASES)') $(if $(call on,$(KILL)),--kill) $(if $(call on,$(KEEP)),--keep) $(if $(REGIONS),--regions '$(REGIONS)')

.PHONY: help venv demo up test faults lint format bench clean

help:
	@echo "make demo [CASES=n] [KILL=1] [KEEP=1] [REGIONS=2]  端到端演示 / the whole hub with simulated members, ends with the books"
	@echo "make up                                只启动枢纽 / the hub without members"
	@echo "make test | lint | format | bench      测试、检查、格式、基准 / tests, checks, formatting, benchmark"
	@echo "make faults [CELL=name] [AGAIN=1]      故障矩阵，可续跑 / the fault matrix, goes on where it was stopped"
	@echo "make clean                             删除环境与演示数据 / remove .venv and demo data"

venv:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "需要 Python 3.11 或更高版本（含 venv） / Python 3.11 or newer with venv is needed" >&2; exit 1; fi
	@$(PYTHON) .ci/venv.py

# HUB_STOP_WITH_PARENT: were make itself killed, the hub would otherwise run on with nobody to stop it.
demo: venv
	@HUB_STOP_WITH_PARENT=1 exec $(PY) -m hub demo $(DEMO_ARGS)

up: venv
	@HUB_STOP_WITH_PARENT=1 exec $(PY) -m hub up

# TESTS="tests/unit -k router" runs a part; JOBS=1 one after the other. The tests wait more than they compute, so more
# workers than cores pay; a file stays with one worker, and each worker starts its own servers once.
TESTS ?=
JOBS ?= 3
test: venv
	$(PY) -m pytest -n $(JOBS) --dist loadfile $(TESTS)

# Results are kept per cell in data/faults; CELL runs those whose name contains it, AGAIN=1 also what has a result.
faults: venv
	@HUB_STOP_WITH_PARENT=1 exec $(PY) -m tests.faults $(if $(CELL),--cell '$(CELL)') $(if $(call on,$(AGAIN)),--again)

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -c 'import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())'

format: venv
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: venv
	@HUB_STOP_WITH_PARENT=1 exec $(PY) -m bench $(BENCH)

clean:
	rm -rf .venv .venv.lock data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
