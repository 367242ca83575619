# Everything a newcomer and CI need. All targets work on a fresh clone with Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FOR    ?=

.DEFAULT_GOAL := help
# Tests start hundreds of processes: each would compile every module anew, for a third of its start.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test crash test-integration test-system all-drivers long-opcua long-mqtt soak fuzz fuzz-api bench fleet lint format docs clean system-packages

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# Two stamps: what it takes to run, and what it takes to test. A changed pyproject.toml renews both.
$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test --group lint --editable '.[speed,central,opcua,mqtt,hooks]'
	@touch $@

demo: $(VENV)/.run  ## three simulated PLCs, a centre, an agent and a page; FOR=30s ends with a verdict
	@$(BIN)/edge-agent demo $(if $(FOR),--for $(FOR))

# Many crash tests wait for processes, so four files run at a time; what measures polling's rhythm runs by itself.
# Those that mount file systems need root: they are in test-system and in crash. The long forms are in crash alone.
test: $(VENV)/.dev  ## unit, contract, property and short crash tests
	$(BIN)/python -m pytest -n 4 --dist loadfile -m "not root and not alone" tests/crash tests/contract tests/property tests/unit
	$(BIN)/python -m pytest -m "alone and not root" tests/crash tests/contract

system-packages:
	@tests/install-system-packages

test-integration: $(VENV)/.dev system-packages  ## against software that others wrote; installs it (root)
	$(BIN)/python -m pytest -n 3 --dist loadfile tests/integration

test-system: $(VENV)/.dev system-packages  ## the installed programs as a user runs them (root)
	$(BIN)/python -m pytest tests/system
	$(BIN)/python -m pytest -n 2 --dist loadfile -m root tests/crash

# N kills and N/10 power cuts; FOR: seconds of soak; SAMPLES: of the outage of a day; COMMANDS: rounds of chaos more.
# SEED repeats what a failure printed.
crash: $(VENV)/.dev  ## crash tests in their long form (root): N=1000 kills, FOR=300 s of soak, OUTAGE=600 s, SEED=
	HOLDFAST_LONG=1 N=$(or $(N),1000) HOLDFAST_SOAK_SECONDS=$(or $(FOR),300) HOLDFAST_OUTAGE_SECONDS=$(or $(OUTAGE),600) \
	    HOLDFAST_OUTAGE_SAMPLES=$(or $(SAMPLES),17280000) HOLDFAST_OUTAGE_CONNECTIONS=30 HOLDFAST_OUTAGE_TAGS=1000 \
	    HOLDFAST_OUTAGE_CAP=262144 HOLDFAST_COMMAND_ROUNDS=$(or $(COMMANDS),100) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m pytest -s tests/crash

fuzz-api: $(VENV)/.dev  ## schemathesis over the whole API, with all border cases: EXAMPLES=50
	HOLDFAST_API_EXAMPLES=$(or $(EXAMPLES),50) $(BIN)/python -m pytest -s tests/integration/test_openapi_schemathesis.py

fuzz: $(VENV)/.dev  ## decoders against bytes that make no sense: FOR=60 seconds each, ONLY="name name", OUT=build/fuzz
	$(BIN)/python -m tests.fuzz $(ONLY) --for $(or $(FOR),60) $(if $(OUT),--out $(OUT))

all-drivers: $(VENV)/.dev system-packages  ## one agent with all drivers, each peer killed and frozen: FOR=60 seconds each
	HOLDFAST_ALL_DRIVERS_SECONDS=$(or $(FOR),60) $(BIN)/python -m pytest -s tests/integration/test_all_drivers.py

long-opcua: $(VENV)/.dev system-packages  ## 10,000 OPC UA items of node-opcua, encrypted, its server killed ten times
	HOLDFAST_OPCUA_LONG=1 $(BIN)/python -m pytest -s tests/integration/test_opcua_node_opcua.py

long-mqtt: $(VENV)/.dev system-packages  ## the uplink through mosquitto: broker and centre killed together, the broker frozen for a minute
	HOLDFAST_MQTT_LONG=1 $(BIN)/python -m pytest -s tests/integration/test_mqtt_uplink.py

soak: $(VENV)/.dev  ## agent and centre over a link that breaks at random, for an hour: FOR=3600 SEED= OUT=soak.jsonl
	HOLDFAST_SOAK_SECONDS=$(or $(FOR),3600) HOLDFAST_SOAK_OUT=$(or $(OUT),soak.jsonl) $(if $(SEED),SEED=$(SEED)) \
	    $(BIN)/python -m pytest -s tests/crash/test_soak.py

# FOR=600: seconds a figure. QUICK=1: under 90 s, and fails where a ratio is far above the stored one. OUT: lines for `bench report`.
bench: $(VENV)/.dev  ## the figures of docs/performance.md, one JSON line each: ONLY="name name", QUICK=1, OUT=FILE
	$(BIN)/python -m bench $(ONLY) $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT)) $(if $(FOR),--seconds $(FOR))

fleet: $(VENV)/.dev  ## one size of a fleet on one core of the centre: AGENTS=50000 FOR=120s SAMPLES=200 EVERY=10s LINGER=0s
	$(BIN)/python -m bench fleet --agents $(or $(AGENTS),50000) --for $(or $(FOR),120s) --linger $(or $(LINGER),0s) \
	    $(if $(SAMPLES),--samples $(SAMPLES) --every $(or $(EVERY),10s))

lint: $(VENV)/.dev  ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(VENV)/.dev  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev  ## generate the sample files and reference pages
	$(BIN)/edge-agent docs
	$(BIN)/central-sync openapi --markdown > docs/api.md

clean:
	rm -rf $(VENV) .demo build dist *.egg-info
