# The two commands a newcomer needs: make demo, make test. Each installs what it needs.
# Both start Ceph's daemons and so need root, or sudo: sudo make demo.

VENV    := .venv
BIN     := $(VENV)/bin
LAB     := $(BIN)/python -m deploy.lab
NAME    ?= dev
SITES   ?= 2
KEEP    ?=
# rados and rbd are Debian's, built for Debian's own Python, and on no package index.
PYTHON  := /usr/bin/python3
SYSTEM  := make python3-venv python3-rados python3-rbd
# The second for the status page: a browser as people have it. The third boots a systemd for the unit.
TESTING := postgresql chromium systemd-container

.PHONY: help venv demo test soak check format bench lab-install lab-up lab-down lab-status clean

help:
	@echo "make demo        a real three-site cloud on this machine, and edgesync copying images in it (KEEP=1: leave it)"
	@echo "make test        unit, contract, scenario, browser and lab tests"
	@echo "make soak        hours of rivals, killed daemons and random worlds"
	@echo "make check       format, lint, types, layers, dependencies"
	@echo "make venv        $(BIN)/edgesync, ready to run"
	@echo "make bench       benchmarks"
	@echo "make lab-up      a lab to play with (NAME=dev SITES=2); lab-status, lab-down"

venv: $(VENV)/ready

# An environment of its own, into which just the two extension modules are linked: Debian's other Python packages, of
# which OpenStack brings old ones, stay out of sight.
$(VENV)/ready: pyproject.toml constraints.txt edgesync/__init__.py
	deploy/apt-install $(SYSTEM)
	$(PYTHON) -m venv --clear $(VENV)
	ln -s /usr/lib/python3/dist-packages/rados.cpython-*.so /usr/lib/python3/dist-packages/rbd.cpython-*.so \
		$(VENV)/lib/python3.*/site-packages/
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt pip
	$(BIN)/pip install -q -c constraints.txt -e '.[postgresql]' --group dev
	touch $@

demo: venv lab-install
	$(BIN)/python -m deploy.demo $(if $(KEEP),--keep)

test: venv lab-install
	$(LAB) install --glance distro
	deploy/apt-install $(TESTING)
	deploy/apt-unpack prometheus .lab/prometheus
	$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/contract tests/scenario tests/browser
	$(BIN)/pytest -n 2 --dist worksteal tests/lab

# The long forms of what `make test` runs in short: rivals and random kills in the lab, then hours of random worlds.
soak: venv lab-install
	EDGESYNC_SOAK=1 $(BIN)/pytest -q --timeout 7200 tests/lab/test_recovery.py tests/lab/test_rbd_rivals.py tests/lab/test_rbd_cut.py
	EDGESYNC_SOAK=1 $(BIN)/pytest -q -n 2 tests/scenario/test_model.py

check: venv
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry edgesync

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: venv lab-install
	$(BIN)/python -m tests.bench.passes
	$(BIN)/python -m tests.bench.plans
	$(BIN)/python -m tests.bench.scrapes
	deploy/apt-install chromium
	$(BIN)/python -m tests.bench.pages
	$(BIN)/python -m tests.bench.reads
	$(BIN)/python -m tests.bench.dead_site
	$(BIN)/python -m tests.bench.copies

lab-install: venv
	$(LAB) install

lab-up: lab-install
	$(LAB) up --name $(NAME) --sites $(SITES)

lab-down: venv
	$(LAB) down --name $(NAME)

lab-status: venv
	$(LAB) status --name $(NAME)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
