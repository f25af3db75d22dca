# What CI calls, and what a newcomer calls. `make demo` and `make test` do all of their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install compiled demo demo-lm test check deploy bench mutants soak release sbom schemas lock clean

install: $(STAMP)

$(STAMP): pyproject.toml sdk/pyproject.toml constraints.txt installer.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "llm-flywheel needs Python 3.11, 3.12 or 3.13; say which with: make PYTHON=python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r installer.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable ./sdk --editable .
	touch $(STAMP)

SERVER ?=
demo: install  ## four turns of the wheel on the utterances that ship with the demo; SERVER=MODEL@URL serves first
	$(BIN)/flywheel demo --server "$(SERVER)"

LM := .venv-lm
$(LM)/.installed: examples/real_lm/trainer/requirements.txt | install
	@echo "PyTorch, transformers and TRL are installed into $(LM) once: 2.7 GB to download, 4.9 GB on disk, some minutes"
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(LM)
	$(BIN)/uv pip install --python $(LM)/bin/python --compile-bytecode --no-deps --require-hashes -r examples/real_lm/trainer/requirements.txt
	touch $@

demo-lm: install $(LM)/.installed  ## three turns with a real language model, fine-tuned on the spot; killed, it goes on
	$(BIN)/python -m examples.real_lm --environment $(LM)

test: compiled  ## everything that must hold; real Kafka and real Prefect included
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder  # most tests wait for processes: three at once keep two cores busy

compiled: install  # hundreds of processes are started: where Python may write no bytecode each would compile what it imports
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib schemas streams flows ui sdk/src examples benchmarks

check: install  ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 --package llm_flywheel  # applications run on older Pythons than we do

DATA ?= examples/support_bot/utterances.jsonl
bench: install  ## ratios to named peers, one benchmark after the other: make bench DATA=my-labelled-texts.jsonl
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/cluster.py --data $(DATA)
	$(BIN)/python benchmarks/cluster.py --data $(DATA) --identity
	$(BIN)/python benchmarks/datasets.py --data $(DATA)
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/runner.py
	$(BIN)/python benchmarks/cli.py

mutants: install  ## do the unit tests of the critical modules notice when these are broken on purpose?
	$(BIN)/python benchmarks/mutants.py

KILLS ?= 500
soak: install  ## the fault matrix at length: make soak KILLS=500
	$(BIN)/python benchmarks/soak.py --kills $(KILLS)

release: install  ## build, check and date a version, to be looked at and published by a person: make release VERSION=0.2.0
	$(BIN)/python .ci/release.py $(VERSION)

deploy: install  ## what lies in deploy/, strictly and offline; once before: python deploy/check.py --fetch
	$(BIN)/python deploy/check.py

sbom: install  ## what an installation consists of, as CycloneDX: dist/sbom.json
	$(BIN)/python .ci/sbom.py dist/sbom.json

schemas: install  ## write the JSON Schemas of all event types anew, for a person to review
	$(BIN)/python -m schemas

lock: install  ## resolve the dependencies anew; the file names no registry host, nor the SDK, which lies in sdk/
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --no-header --no-annotate \
		--generate-hashes --upgrade --no-emit-package llm-flywheel-sdk --output-file constraints.txt
	echo uv | $(BIN)/uv pip compile - --universal --no-header --no-annotate --generate-hashes --upgrade \
		--output-file installer.txt

clean:
	rm -rf $(VENV) .flywheel
