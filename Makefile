# cad_node: `make demo` and `make test` need nothing but this checkout on Debian or Ubuntu with Python 3.11 or newer.
.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-faults test-viewer interop fuzz check format bench bench-intake bench-measurement bench-candidates bench-outputs model docs clean system-packages

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt
FAULTS := tests/faults tests/e2e/test_crashes.py

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.serving ## The main job from end to end on a chest CT phantom; results in build/demo
	$(BIN)/cad-node demo --out build/demo --json build/demo/demo.json

test: .venv/.development system-packages ## Every test but those of test-faults and test-viewer; CAD_NODE_DATA=DIR adds those on real images
	$(BIN)/pytest -n 2 --dist worksteal $(FAULTS:%=--ignore=%) --ignore=tests/viewer

test-quick: .venv/.development ## The tests without the slow ones
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-faults: .venv/.development ## Kills, full disks, power cuts, a crowd: ROUNDS=200 for as many of each (SEED=1 for the same moments again)
	FAULT_ROUNDS=$(or $(ROUNDS),0) FAULT_SEED=$(or $(SEED),0) $(BIN)/pytest $(FAULTS) -n 2 --dist worksteal -rP --timeout 7200

test-viewer: .venv/.development ## What OHIF draws of each object, in a headless Chromium; pictures in build/viewer
	@.ci/system-packages chromium npm
	$(BIN)/pytest tests/viewer -n 0

interop: .venv/.development system-packages ## What other people's tools say of each object; renews the table in docs/outputs.md
	$(BIN)/python -m tests.interop.table --keep
	$(BIN)/python docs/generate.py

check: .venv/.development ## Lint, format, types, import rules, and documents that are generated
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: .venv/.development ## Mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.development ## Write the generated parts of the documents anew
	$(BIN)/python docs/generate.py

bench: .venv/.development ## Where the time of one study goes; STUDY=DIR takes your own
	$(BIN)/python benchmarks/study.py $(if $(STUDY),--study $(STUDY)) --json build/bench-study.json

bench-intake: .venv/.development system-packages ## Instances a second, received and sent, beside DCMTK and Orthanc
	$(BIN)/python -m benchmarks.intake --json build/bench-intake.json
	$(BIN)/python -m benchmarks.intake.sending --json build/bench-sending.json

fuzz: .venv/.development ## Mutated bytes at the front door: INPUTS=1000000 (SEED=1); GUIDED=1 has atheris lead the mutations
	$(if $(GUIDED),$(PIP) -e '.[fuzz]')
	$(BIN)/python -m tests.fuzz.run --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1) $(if $(GUIDED),--guided)

model: .venv/.development ## Make a model again from its data: MODEL=lung_nodule_ct DATA=DIR VERSION=2.0.1 (SEED=1, DEVICE=cpu)
	$(BIN)/cad-node train $(MODEL) --data $(DATA) --seed $(or $(SEED),1) --device $(or $(DEVICE),cpu) --resume
	$(BIN)/cad-node evaluate $(MODEL) --data $(DATA)
	$(BIN)/cad-node export $(MODEL) --data $(DATA) --version $(VERSION)

bench-measurement: .venv/.development ## How true the measurements are; renews what docs/measurement.md shows
	$(BIN)/python benchmarks/measurement.py --json docs/measurement.json --plot docs/measurement.png
	$(BIN)/python docs/generate.py

bench-candidates: .venv/.development ## How many nodules the candidate search finds in real scans: DATA=DIR
	$(BIN)/python benchmarks/candidates.py --data $(DATA) --json build/bench-candidates.json

bench-outputs: .venv/.development ## Seconds of each object and the memory of them all
	$(BIN)/python benchmarks/outputs.py --json build/bench-outputs.json

clean: ## Remove what was built here
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

system-packages:
	@.ci/system-packages

.venv/bin/python:
	@PYTHON=$(PYTHON) .ci/venv

.venv/.serving: .venv/bin/python $(REQUIREMENTS)
	@echo "installing the server (a few minutes the first time)"
	$(PIP) -e '.[cpu]'
	@touch $@

.venv/.development: .venv/bin/python $(REQUIREMENTS)
	@echo "installing the server and what its tests need (several minutes the first time)"
	$(PIP) -e '.[cpu,train,dev]'
	@touch $@ .venv/.serving
