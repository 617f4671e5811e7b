# `make` lists what there is. Each target prints the command it runs.

PYTHON ?= python3.11
BIN := .venv/bin
RECIPE ?= pipelines/humanverse.py
OUT ?= runs/humanverse
TO ?= $(OUT)-$(AS)
INPUT ?=
SET ?=
RUNNER ?= auto
RETRY ?=
FROM ?=
ONLY ?=
AS ?= img2dataset
SUBMIT ?= http://127.0.0.1:8265
PLACE ?=
DATA ?= runs/demo
RUN ?= runs/train
TRAIN ?= demo
REFINE ?= demo_refiner
PROMPT ?=
ARGS = $(RECIPE) --out $(OUT) $(foreach s,$(SET),--set $(s))

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format plan collect filter annotate encode select pack build status verify report job-submit doctor estimate stats export evaluate takedown train refine sample train-proof chaos schemas soak lock clean

help: ## list the targets
	@echo "usage: make TARGET [RECIPE=pipelines/humanverse.py] [OUT=runs/humanverse] [AS=img2dataset] [INPUT='a.parquet b.parquet'] [SET='people.min_area=0.2'] [RUNNER=auto] [RETRY=transient] [ONLY=depth] [FROM=list.txt]"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: .venv/ready ## the environment in .venv, hash for hash as locked, and the lite models' weights

.venv/ready: requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/humanverse models pull blazepose
	@touch $@

demo: setup ## the whole way on a web served from this machine, into runs/demo
	$(BIN)/humanverse demo --out runs/demo

test: setup ## all tests, a process a core and one more: some wait for disks and other processes
	$(BIN)/pytest -n $$(($$(nproc) + 1)) --maxprocesses 8 --dist worksteal

check: setup ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## mend lint and format where it can be done by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

plan: setup ## plan INPUT into OUT
	$(BIN)/humanverse plan $(ARGS) --input $(INPUT)

filter: setup ## find people and decide
	$(BIN)/humanverse filter $(ARGS) --runner $(RUNNER)

annotate: setup ## pose, depth and normals of what stays; ONLY=depth makes those labels anew
	$(BIN)/humanverse annotate $(ARGS) --runner $(RUNNER) $(if $(ONLY),--only $(ONLY))

encode: setup ## latents and text of OUT, by SET='latents.weights=DIR text.weights=DIR', packed
	$(BIN)/humanverse encode $(ARGS) --runner $(RUNNER)

collect: setup ## fetch the pictures of the plan in OUT; RETRY=transient tries again what failed
	$(BIN)/humanverse collect $(ARGS) --runner $(RUNNER) $(if $(RETRY),--retry $(RETRY))

select: setup ## near-duplicates, splits, benchmarks' pictures, over all of OUT's layers
	$(BIN)/humanverse select $(ARGS)

pack: setup ## shards out of OUT's layers
	$(BIN)/humanverse pack $(ARGS)

build: setup ## all stages at once, unit by unit, from INPUT into OUT
	$(BIN)/humanverse build $(ARGS) --runner $(RUNNER) $(if $(INPUT),--input $(INPUT)) $(if $(RETRY),--retry $(RETRY))

status verify report: setup
	$(BIN)/humanverse $@ $(OUT)

status: ## the funnel of OUT so far
verify: ## re-read OUT and prove it whole
report: ## a static page on OUT

export: setup ## what OUT holds, in another tool's layout (AS=coco-wholebody), into TO
	$(BIN)/humanverse export $(OUT) --as $(AS) --to $(TO)

job-submit: setup ## build INPUT into OUT as a job of the cluster SUBMIT; PLACE='network=collector_node'
	$(BIN)/humanverse build $(ARGS) $(if $(INPUT),--input $(INPUT)) --submit $(SUBMIT) \
		$(foreach p,$(PLACE),--place $(p))

doctor: setup ## whether this machine and OUT are fit for a build
	$(BIN)/humanverse doctor --out $(OUT)

estimate: setup ## what building INPUT will hold, need and cost
	$(BIN)/humanverse estimate $(RECIPE) --input $(INPUT) $(foreach s,$(SET),--set $(s))

stats: setup ## questions to OUT's ledger
	$(BIN)/humanverse stats $(OUT)

evaluate: setup ## paint one sample for each of DATA by RUN into RUN-set, and measure them: METRICS=kid,fid
	$(BIN)/humanverse sample --checkpoint $(RUN) --of $(DATA) --out $(RUN)-set
	$(BIN)/humanverse evaluate --real $(DATA) --generated $(RUN)-set --out $(RUN)-set-measured \
		$(if $(METRICS),--metrics $(METRICS)) $(if $(INCEPTION),--inception $(INCEPTION)) \
		$(if $(CLIP),--clip $(CLIP))

takedown: setup ## remove from OUT what the list FROM names, for good
	$(BIN)/humanverse takedown $(OUT) --from $(FROM)

train: setup ## learn DATA (the demo's dataset) into RUN, by TRAIN=demo, a recipe of pipelines/train
	$(BIN)/humanverse train $(TRAIN) --data $(DATA) --out $(RUN) $(foreach s,$(SET),--set $(s))

refine: setup ## learn the second stage of RUN, of twice the size, into RUN-refiner, by REFINE=demo_refiner
	$(BIN)/humanverse refine $(REFINE) --data $(DATA) --out $(RUN)-refiner --from $(RUN) $(foreach s,$(SET),--set $(s))

train-proof: setup ## what the trainer learns of rendered figures, whose truth is known; an hour
	$(BIN)/python scripts/train_proof.py --out runs/train-proof

sample: setup ## four samples of RUN, in the pose of the first one of DATA, into RUN/painted
	$(BIN)/humanverse sample --checkpoint $(RUN) --out $(RUN)/painted \
		$(if $(wildcard $(RUN)-refiner),--refiner $(RUN)-refiner) $(if $(PROMPT),--prompt "$(PROMPT)") \
		--pose $(DATA):$$($(BIN)/python -c "import humanverse; print(humanverse.open('$(DATA)').key(0))")

chaos: setup ## kill builds 500 times, and compare what they make (an hour)
	$(BIN)/python scripts/chaos.py

schemas: setup ## export the schemas to schemas/
	$(BIN)/humanverse schemas schemas

soak: setup ## what the bookkeeping costs: 100,000 units for real, and as many as if; an hour and a half
	$(BIN)/python scripts/soak.py --units 100000 --synthetic 100000

lock: ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --all-extras --no-annotate --no-header pyproject.toml -o requirements.lock
	sed -n '/^uv==/,/[^\]$$/p' requirements.lock > requirements-uv.lock

clean: ## remove the environment and the demo's output
	rm -rf .venv runs
