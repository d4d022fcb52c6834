# One venv per environment under .venvs/, each from its pins in dev/requirements/; `make help` lists the targets.
# Needs python3 >= 3.11, pip, git and make.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

ENVIRONMENTS := core s3 airflow airflow-floor prefect prefect-floor
TESTED_SDKS := 0.0.160 0.0.142 0.0.112
SDKS := $(TESTED_SDKS) 0.0.155 0.0.143 0.0.141 0.0.138 0.0.135 0.0.127 0.0.118 0.0.95
# With the packages that `make bench` compares ours with, which no test needs.
BENCHES := bench-core bench-airflow bench-prefect
ALL := uv $(ENVIRONMENTS) $(SDKS:%=sdk-%) $(BENCHES)

UV := .venvs/uv/bin/uv
PY = .venvs/$(1)/bin/python
PYTEST = $(call PY,$(1)) -m pytest
MYPY = $(call PY,$(1)) -m mypy --cache-dir .mypy_cache/$(1)
AT_ONCE = --jobs=$(1) --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
BUILT = $(1:%=.venvs/%/.built)
# Airflow 2.11 ends at Python 3.12, Prefect 3.4 at 3.13; the older SDKs begin at 3.12.
PYTHON_RANGE = $(or $(PYTHON_RANGE_$(1)),3.11 3.15)
PYTHON_RANGE_airflow-floor := 3.11 3.13
PYTHON_RANGE_prefect-floor := 3.11 3.14
PYTHON_RANGE_sdk-0.0.155 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.143 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.142 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.141 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.138 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.135 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.127 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.118 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.112 := 3.12 3.15
PYTHON_RANGE_sdk-0.0.95 := 3.12 3.15
FIND_PYTHON = python3 dev/tools/find_python.py $(call PYTHON_RANGE,$(1))

# `make crash N=10` repeats the crash matrix and writes docs/reliability.* from what it saw, failures as well.
N := 1
CRASH_RESULTS := build/crash

# `make bench PARTS=1,5` measures some parts, QUICK=1 small ones, which are written to build/bench and not to docs/.
PARTS :=
QUICK :=

.PHONY: help demo test check lint types unit hostile system crash bench sdks sdk-venvs venvs pins wheel release-check clean \
	unit-core unit-airflow unit-airflow-floor unit-prefect unit-prefect-floor \
	system-airflow system-s3 system-prefect-once system-prefect-rest system-prefect-floor \
	hostile-core hostile-airflow hostile-prefect

FIRST := ^(demo|test|check|bench|docs):
SHOW := awk -F ':.*\#\# ' '/^[a-z-]+:.*\#\# / { printf "make %-13s %s\n", $$1, $$2 }'
help: ## Show this list
	@grep -E '$(FIRST)' Makefile | $(SHOW)
	@echo
	@grep -Ev '$(FIRST)' Makefile | $(SHOW)

demo: $(call BUILT,core airflow prefect) ## Run a PDF through a real Airflow and a real Prefect (DOCUMENT=path/to.pdf)
	@$(call PY,core) -m dev.demo $(if $(DOCUMENT),"$(DOCUMENT)")

test: ## Everything: check, unit, hostile, system, and three releases of the SDK
	@$(MAKE) check
	@$(MAKE) $(call AT_ONCE,3) $(HOSTILE) $(UNIT)
	@$(MAKE) system

check: lint types ## Lint, format, import contracts, types

lint: $(call BUILT,core) ## The first three of check: what runs before a commit
	$(call PY,core) -m ruff check .
	$(call PY,core) -m ruff format --check .
	.venvs/core/bin/lint-imports

types: venvs ## mypy, in each environment
	$(call MYPY,core) retab_orchestration dev/blocking_client.py dev/release.py dev/hosts dev/demo dev/tools tests/typing
	$(call MYPY,core) --ignore-missing-imports dev/benchmarks dev/steps.py
	$(call MYPY,airflow) airflow_provider example_dags
	$(call MYPY,airflow-floor) airflow_provider
	$(call MYPY,prefect) prefect_collection example_flows
	$(call MYPY,prefect-floor) prefect_collection

# `make test` runs both at once: the hostile ones wait more than they work.
UNIT := unit-core unit-airflow-floor unit-airflow unit-prefect unit-prefect-floor
HOSTILE := hostile-core hostile-airflow hostile-prefect
CORE_TESTS := tests/retab_orchestration tests/emulator tests/packaging tests/hosts tests/benchmarks
unit: venvs ## The tests without hosts, in each environment; branch coverage of the core
	@$(MAKE) $(call AT_ONCE,3) $(UNIT)

unit-core:
	$(call PYTEST,core) -m "not system" --numprocesses 3 --dist loadfile --cov --cov-report=term $(CORE_TESTS)
	$(call PYTEST,core) -m "not system" tests/sweep/core tests/scale
# All of these wait more than they work, so several at a time; the sweep does so by itself, in threads.
unit-airflow:
	$(call PYTEST,airflow) -m "not system" --numprocesses 4 --dist loadfile tests/airflow_provider
	$(call PYTEST,airflow) -m "not system" tests/sweep/airflow
unit-airflow-floor:
	$(call PYTEST,airflow-floor) -m "not system" --numprocesses 4 --dist loadfile tests/airflow_provider
	$(call PYTEST,airflow-floor) -m "not system" --numprocesses 3 --dist loadfile tests/retab_orchestration tests/emulator
unit-prefect:
	$(call PYTEST,prefect) -m "not system" tests/prefect_collection tests/sweep/prefect
# Without the sweep: it changes what Retab answers, and no answer of Retab's meets code that depends on Prefect's release.
unit-prefect-floor:
	$(call PYTEST,prefect-floor) -m "not system" tests/prefect_collection

hostile: venvs ## Servers that answer anything, and input of every kind, against the client and both hosts
	@$(MAKE) $(call AT_ONCE,2) $(HOSTILE)

$(HOSTILE): hostile-%:
	$(call PYTEST,$*) --quiet --show-capture=no tests/hostile/$*

system: venvs sdk-venvs ## The tests that boot hosts, build a wheel or drive the official SDK
	$(call PYTEST,core) -m system $(CORE_TESTS) tests/sdk $(wildcard tests/system/core)
	@$(MAKE) $(call AT_ONCE,3) system-airflow system-prefect-rest system-prefect-once system-s3 system-prefect-floor

# All of these wait more than they work. Airflow kills tasks that start slowly, so it has a processor to itself: what runs
# beside it is kept off the first one.
PROCESSORS := $(shell nproc 2>/dev/null || echo 1)
NOT_THE_FIRST := 1-$(shell expr $(PROCESSORS) - 1)
BESIDE_AIRFLOW := $(if $(filter-out 1,$(PROCESSORS)),$(if $(shell command -v taskset),taskset --cpu-list $(NOT_THE_FIRST)))
system-airflow: $(call BUILT,airflow airflow-floor)
	@# One Airflow for both; what it consists of is killed last.
	$(call PYTEST,airflow) -m system tests/system/airflow tests/crash/airflow
	$(call PYTEST,airflow-floor) -m system tests/system/airflow_floor

# Two servers at a time, which take equally long; those that count what is written, or are killed, are for themselves.
PREFECT_TESTS := tests/system/prefect
PREFECT_ONCE := $(PREFECT_TESTS)/test_one_run.py $(PREFECT_TESTS)/test_two_processes.py
PREFECT_REST := $(filter-out %/test_secrets.py $(PREFECT_ONCE),$(wildcard $(PREFECT_TESTS)/test_*.py)) tests/prefect_collection
system-prefect-rest: $(call BUILT,prefect)
	$(BESIDE_AIRFLOW) $(call PYTEST,prefect) -m system $(PREFECT_REST)
	$(BESIDE_AIRFLOW) $(call PYTEST,prefect) -m system $(PREFECT_TESTS)/test_secrets.py
system-prefect-once: $(call BUILT,prefect)
	$(BESIDE_AIRFLOW) $(call PYTEST,prefect) -m system $(PREFECT_ONCE)
	$(BESIDE_AIRFLOW) $(call PYTEST,prefect) -m system tests/crash/prefect
# An object store, which is quick.
system-s3: $(call BUILT,s3)
	$(BESIDE_AIRFLOW) $(call PYTEST,s3) -m system tests/system/s3
# Last, where the first of these has ended.
system-prefect-floor: $(call BUILT,prefect-floor)
	$(BESIDE_AIRFLOW) $(call PYTEST,prefect-floor) -m system tests/system/prefect_floor

crash: $(call BUILT,core airflow prefect) ## Kill real hosts at every awkward moment, N times over, and write docs/reliability.*
	@rm -rf $(CRASH_RESULTS)
	@status=0; export CRASH_RESULTS=$(CRASH_RESULTS) CRASH_REPETITIONS=$(N); \
		$(call PYTEST,airflow) -m system -o faulthandler_timeout=0 tests/crash/airflow || status=1; \
		$(call PYTEST,prefect) -m system -o faulthandler_timeout=0 tests/crash/prefect || status=1; \
		$(call PY,core) -m tests.crash.report $(CRASH_RESULTS) docs && exit $$status

bench: $(call BUILT,$(BENCHES) sdk-0.0.160) ## Measure cost and speed next to other packages, and write docs/performance.*
	@$(call PY,bench-core) -m dev.benchmarks $(if $(PARTS),--parts "$(PARTS)") $(if $(QUICK),--quick)
	@$(if $(QUICK),,$(call PY,bench-core) -m dev.benchmarks.scaling)

sdks: .venvs/core/.built ## Every call of eleven releases of the official SDK, against the emulator
	@$(MAKE) sdk-venvs TESTED_SDKS="$(SDKS)"
	$(call PYTEST,core) -m system tests/sdk

sdk-venvs: $(TESTED_SDKS:%=.venvs/sdk-%/.built) ## Build the venvs of the official SDK's releases

venvs: $(call BUILT,$(ENVIRONMENTS)) ## Build the venvs whose pins changed

.venvs/uv/.built: dev/requirements/uv.txt dev/tools/find_python.py
	@# Without pip inside, because a stock Debian has no ensurepip to put it there.
	@rm -rf .venvs/uv && python=$$($(call FIND_PYTHON,uv)) && "$$python" -m venv --without-pip .venvs/uv
	@PIP_USER=0 python3 -m pip --python .venvs/uv/bin/python install --quiet --requirement dev/requirements/uv.txt
	@touch $@

# An interpreter in range is looked for first; without one uv may fetch its own.
.venvs/%/.built: dev/requirements/%.txt pyproject.toml retab_orchestration/_version.py .venvs/uv/.built
	@echo "building .venvs/$*" >&2
	@test -x $(call PY,$*) || { python=$$($(call FIND_PYTHON,$*)) || python=$(firstword $(call PYTHON_RANGE,$*)); \
		$(UV) venv --quiet --clear --python "$$python" .venvs/$*; }
	@echo "--editable ." | $(UV) pip sync --quiet --python .venvs/$* --compile-bytecode dev/requirements/$*.txt -
	@touch $@

.venvs/sdk-%/.built: dev/requirements/sdk-%.txt .venvs/uv/.built
	@python=$$($(call FIND_PYTHON,sdk-$*)) || { echo "retab $*: no venv, its leg is skipped" >&2; exit 0; }; \
		echo "building .venvs/sdk-$*" >&2 && $(UV) venv --quiet --clear --python "$$python" .venvs/sdk-$* && \
		$(UV) pip sync --quiet --python .venvs/sdk-$* dev/requirements/sdk-$*.txt && touch $@

# The groups are those of pyproject.toml.
pins: $(ALL:%=pins-%) ## Recompile dev/requirements/*.txt to the newest releases

pins-%: .venvs/uv/.built
	@echo "dev/requirements/$*.txt"
	@$(UV) pip compile --quiet --universal --no-header --no-annotate $(PIN_SOURCES_$*) --group $* \
		--python-version $(firstword $(call PYTHON_RANGE,$*)) --output-file .venvs/$*.txt
	@cmp --quiet .venvs/$*.txt dev/requirements/$*.txt || cp .venvs/$*.txt dev/requirements/$*.txt
	@rm .venvs/$*.txt

PIN_SOURCES_core := pyproject.toml --extra emulator
PIN_SOURCES_s3 := pyproject.toml --extra emulator
PIN_SOURCES_airflow := pyproject.toml --extra emulator --extra airflow
PIN_SOURCES_airflow-floor := pyproject.toml --extra emulator --extra airflow --resolution lowest-direct
PIN_SOURCES_prefect := pyproject.toml --extra emulator --extra prefect
PIN_SOURCES_prefect-floor := pyproject.toml --extra emulator --extra prefect
PIN_SOURCES_bench-core := pyproject.toml --extra emulator
# As they are tested.
PIN_SOURCES_bench-airflow := $(PIN_SOURCES_airflow) --constraints dev/requirements/airflow.txt
PIN_SOURCES_bench-prefect := $(PIN_SOURCES_prefect) --constraints dev/requirements/prefect.txt

wheel: .venvs/uv/.built ## Build the wheel into dist/
	$(UV) build --wheel --out-dir dist

release-check: $(call BUILT,core) ## Build sdist and wheel, install them from an index on this machine, and use them
	@$(call PY,core) -m dev.release

clean: ## Remove everything that make made
	rm -rf .venvs dist build .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
