# Each target sets up what it needs. `make help` lists them.

MODEL  ?= b0
GROUP  ?= 16
NORM   ?= ln_pn
RES    ?=
DATA   ?=
IPUS   ?=
EPOCHS ?=
CONFIG ?=
DEVICE ?= ipu
ARGS   ?=
RUN    ?=
RESUME ?=
LR     ?=
BATCH  ?=
SUITE  ?=

# a misspelt variable would train something else without a word
VARIABLES := MODEL GROUP NORM RES DATA IPUS EPOCHS CONFIG DEVICE ARGS RUN RESUME LR BATCH SUITE LAUNCH PYTHON PYTHON38 VENV
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(VARIABLES),$(GIVEN))
ifneq ($(UNKNOWN),)
NEAR := $(shell python3 -c 'import difflib, sys; known = sys.argv[2].split(); \
	print(", ".join(dict.fromkeys(n for w in sys.argv[1].split() for n in difflib.get_close_matches(w.upper(), known, 2))))' \
	'$(UNKNOWN)' '$(VARIABLES)' 2>/dev/null)
$(error $(firstword $(UNKNOWN))=$($(firstword $(UNKNOWN))): no such variable$(if $(NEAR),; did you mean $(NEAR)?); all: $(VARIABLES))
endif

PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV ?= .venv
else
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
PY := $(VENV)/bin/python
# the SDK-pins lane: Python 3.8 with the torch that PopTorch 3.3 and 3.4 are built for
PYTHON38 ?= $(shell for p in python3.8 $(wildcard $(HOME)/.pyenv/versions/3.8.*/bin/python); do \
	$$p -c '' 2>/dev/null && echo $$p && break; done)

# glibc: huge pages for large tensors; steps on CPUs and simulated IPUs are shorter and vary less
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

flag = $(if $($(1)),--$(2) $($(1)))
# a finished run goes on with its own device unless DEVICE was given
GIVEN_DEVICE = $(if $(filter-out file,$(origin DEVICE)),$(call flag,DEVICE,device))
# the defaults of a new run; a run that goes on has its own
given = $(if $(RESUME)$(CONFIG),$(if $(filter-out file,$(origin $(1))),$(call flag,$(1),$(2))),$(call flag,$(1),$(2)))
TRAIN_FLAGS = $(call given,MODEL,model) $(call given,GROUP,group) $(call given,NORM,norm) $(call flag,RES,res) \
	$(if $(DATA),--data "$(DATA)") $(call flag,IPUS,ipus) $(call flag,EPOCHS,epochs) \
	$(call flag,LR,lr) $(call flag,BATCH,batch) $(if $(RESUME),--resume "$(RESUME)") \
	$(if $(CONFIG),--config "$(CONFIG)") $(if $(RESUME),$(GIVEN_DEVICE),$(call flag,DEVICE,device)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup bench soak train-ipu train-gpu train-cpu train-poprun plan plan-report scaling evidence search test-search-db test-horovod finetune docs test test-sdk-pins check lint doctor clean

help:  ## this list
	@echo "make TARGET [VARIABLE=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Variables (default):"
	@echo "  MODEL   b0..b7, v2-b0..b3, v2-s..xl (b0)  GROUP   channels per convolution group: 1, 4, 8, 16, 32, 64 (16)"
	@echo "  NORM    bn gn ln ln_pn gn_pn (ln_pn)  RES     image resolution in pixels (the model's, or the demo's)"
	@echo "  DATA    images: a folder, shards, ...  IPUS   IPUs of the whole job (from the configuration)"
	@echo "  EPOCHS  epochs of the first phase     CONFIG  a YAML file, see configs/"
	@echo "  DEVICE  ipu, cuda, cpu or auto (ipu)  ARGS    anything more for the command, e.g. ARGS='--set seed=1'"
	@echo "  LR      peak learning rate            BATCH   images of one weight update, over all IPUs"
	@echo "  RESUME  a run's folder, to go on with it"
	@echo "  RUN     a finished run's folder, for finetune"
	@echo "  SUITE   for bench: $$(sed -n 's/^        Suite("\([a-z]*\)".*/\1/p' benchmarks/suites.py | paste -sd' ')"
	@echo "  PYTHON  the interpreter to set up with (python3)"

$(VENV)/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 8))' || \
		{ echo "PYTHON=$(PYTHON): must be Python 3.8 or newer" >&2; exit 2; }
	@echo "setting up $(VENV) (once; torch is a large download)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.bench: requirements-bench.txt $(VENV)/.run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

setup: $(VENV)/.run  ## create the environment that every other target uses

train-ipu: $(VENV)/.run  ## train on IPUs, or on the simulated IPU where there is none
	@$(PY) -m ipu_app train $(TRAIN_FLAGS)

train-gpu: $(VENV)/.run  ## the same training on CUDA
	@$(MAKE) --no-print-directory train-ipu DEVICE=cuda

train-cpu: $(VENV)/.run  ## the same training on the CPU
	@$(MAKE) --no-print-directory train-ipu DEVICE=cpu

PLAN_FLAGS = $(call flag,MODEL,model) $(call flag,GROUP,group) $(call flag,NORM,norm) $(call flag,RES,res) \
	$(call flag,IPUS,ipus) $(ARGS)

plan: $(VENV)/.run  ## estimate and rank plans for IPUS IPUs before anything compiles
	@$(PY) -m ipu_app plan $(PLAN_FLAGS)

plan-report: $(VENV)/.run  ## the published plans against the planner's, into benchmarks/results
	@$(PY) -m benchmarks.published.plan_report $(ARGS)

bench: $(VENV)/.bench  ## measure speed here, beside timm, torchvision, GPUs and estimates for IPUs
	@$(PY) -m benchmarks $(call flag,SUITE,suite) $(ARGS)

$(VENV)/.search: requirements-search.txt $(VENV)/.run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-search.txt
	@touch $@

search: $(VENV)/.search  ## a first search for networks: planned for 16 IPUs, short trainings on the digits
	@OMP_NUM_THREADS=1 $(PY) -m ipu_app search --name first --proxy trained --candidates 24 --workers 2 $(ARGS)

scaling: $(VENV)/.run  ## estimates from POD16 to POD256 as table and picture, into benchmarks/results
	@$(PY) -m benchmarks.scaling $(ARGS)

evidence: $(VENV)/.run  ## small experiments: do the methods do what they say? (8 minutes on 2 cores)
	@OMP_NUM_THREADS=1 $(PY) -m benchmarks.evidence $(ARGS)

soak: $(VENV)/.run  ## an hour of kills, damage and full disks: is anything lost? ARGS='--minutes 5' for less
	@OMP_NUM_THREADS=1 $(PY) -m benchmarks.soak --write $(ARGS)

train-poprun: $(VENV)/.run  ## on several instances: LAUNCH='--instances 4 --replicas 8 --ipus-per-replica 2'
	@$(PY) -m ipu_app launch $(LAUNCH) -- train $(TRAIN_FLAGS)

finetune: $(VENV)/.run  ## fine-tune the last block of a finished run: make finetune RUN=runs/NAME
	@test -n "$(RUN)" || { echo "RUN: give a finished run's folder, like RUN=runs/b0-g16-ln_pn-digits" >&2; exit 2; }
	@$(PY) -m ipu_app train --from "$(RUN)" --phase finetune $(call flag,RES,res) $(if $(DATA),--data "$(DATA)") \
		$(call flag,IPUS,ipus) $(call flag,EPOCHS,epochs) $(GIVEN_DEVICE) $(ARGS)

doctor: $(VENV)/.run  ## say what this machine has and which device would be used
	@$(PY) -m ipu_app doctor $(ARGS)

test: $(VENV)/.dev  ## run the tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile $(ARGS)

test-sdk-pins:  ## run the tests on Python 3.8 with torch 2.0.1, PopTorch 3.3/3.4's pins
	@test -n "$(PYTHON38)" || { echo "PYTHON38: no Python 3.8 found; give PYTHON38=/path/to/python3.8" >&2; exit 2; }
	@$(MAKE) --no-print-directory test PYTHON=$(PYTHON38)

$(VENV)/.docs: requirements-docs.txt $(VENV)/.run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: $(VENV)/.docs  ## build the documentation into build/docs (warnings are errors)
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(PY) -m mkdocs build --quiet && echo "build/docs/index.html"

test-horovod:  ## run the distributed tests with Horovod on Debian's torch 1.13 (needs root and apt)
	@.ci/horovod $(ARGS)

test-search-db: $(VENV)/.dev  ## two processes search in one PostgreSQL database (needs root and apt)
	@.ci/search-db $(PY)

lint: $(VENV)/.dev
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

check: lint test  ## lint, types and tests

clean:  ## remove environments and caches (runs stay)
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
