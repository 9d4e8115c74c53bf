# Needs Python 3.11 or newer with pip, and make. `make help` lists the commands.
PYTHON ?= python3
PORT ?= 8501
PYTEST_ARGS ?=
FUZZ ?= 100000
MINUTES ?= 5
VLLM ?= 500
SGLANG ?= 200
SEED ?= 0

UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready

# uv does not read pip's settings: hand a configured index on, so that a mirror is set up once.
PIP_INDEX = $(or $(PIP_INDEX_URL),$(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null))
WITH_INDEX = $(if $(UV_DEFAULT_INDEX),,$(if $(PIP_INDEX),UV_DEFAULT_INDEX='$(PIP_INDEX)'))

# Nor does it trust the system's certificates (a proxy's, say) unless told; pip does.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/*.crt /etc/ssl/cert.pem /etc/pki/tls/certs/*.crt),true,false)

# Tests start hundreds of processes: without what Python compiled before, each compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup app test pythons fuzz load audit lint format build smoke bench conformance lock clean
.DELETE_ON_ERROR:

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

app: $(READY) ## set up, then open the web app on http://127.0.0.1:8501 (PORT=... for another)
	$(BIN)/qwenplan web --headless --port $(PORT)

test: $(READY) ## set up, then run the tests (PYTEST_ARGS=... for some of them)
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

pythons: $(READY) ## some of the tests on every other Python from 3.11 on that is here
	$(WITH_INDEX) .ci/pythons

fuzz: $(READY) ## hand mutated files, texts and questions to every reader (FUZZ=... inputs each)
	FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest -q tests/fuzz -n auto
	$(BIN)/python -m tests.fuzz.many --inputs $(FUZZ)
	-$(WITH_INDEX) VIRTUAL_ENV=.venv $(UV) pip install --quiet --group fuzz
	$(BIN)/python -m tests.fuzz.many --atheris --inputs $(FUZZ) safetensors gguf json

load: $(READY) ## ask the public page as 100 visitors would (MINUTES=... for each of three parts)
	$(BIN)/python -m benchmarks.load --minutes $(MINUTES)

setup: $(READY) ## make .venv with the exact versions of requirements.lock

lint: $(READY) ## format check, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(READY) ## make the wheel and the source archive in dist/
	rm -rf dist
	$(BIN)/hatchling build

smoke: build ## install the wheel in a clean environment and ask it one question
	$(WITH_INDEX) .ci/smoke dist/*.whl

bench: $(READY) ## measure start-up, plans and searches beside other planners; writes docs/performance.md
	-$(UV) venv --quiet --clear --no-project --python $(BIN)/python .peers
	-sed 's/#.*//' benchmarks/peers.txt | while read -r peer; do test -z "$$peer" || \
		$(WITH_INDEX) VIRTUAL_ENV=.peers $(UV) pip install --quiet "$$peer"; done
	$(BIN)/python -m benchmarks.instant --write

conformance: $(READY) ## ask vLLM's and SGLang's own code on random configurations (VLLM=..., SGLANG=... of each, SEED=...)
	$(WITH_INDEX) $(BIN)/python -m benchmarks.conformance.environments vllm sglang --uv $(UV)
	$(BIN)/python -m benchmarks.conformance vllm --cases $(VLLM) --seed $(SEED) --write .conformance/vllm.json; \
	differs=$$?; \
	$(BIN)/python -m benchmarks.conformance sglang --cases $(SGLANG) --seed $(SEED) --write .conformance/sglang.json \
	&& exit $$differs

audit: $(READY) ## look the locked versions up in the index's advisories (needs the network)
	$(WITH_INDEX) .ci/audit

lock: $(UV) ## renew requirements.lock and the part of it that an image needs (needs the network)
	$(WITH_INDEX) $(UV) pip compile pyproject.toml --group dev --universal --upgrade --quiet \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	$(WITH_INDEX) $(UV) pip compile pyproject.toml --constraint requirements.lock --universal --quiet \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o docs/deploy/requirements.lock

clean: ## remove everything that these commands made
	rm -rf .uv .venv .peers .conformance build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find planner hardware_db benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .uv 'uv>=0.9'

$(READY): requirements.lock pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --clear --no-project --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	$(WITH_INDEX) VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --offline -e .
	@touch $@
