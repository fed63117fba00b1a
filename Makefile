# `make demo` and `make test` are all that a fresh machine needs: cargo, python3 >= 3.10, make and a C compiler; the rest
# they install (Python packages into virtual environments here, servers by apt-get where they are missing).

PYTHON ?= python3
DEMO := .venv
# Each of these is a virtual environment with one version of Django; TEST is the one that `check` uses too.
TEST := .venv-test
TEST61 := .venv-test-django61
PYTHON61 := $(shell tools/find-python 3.12)
BENCH := .venv-bench
PYTHON_BENCH := $(or $(PYTHON61),$(PYTHON))
# Tests mostly wait, for servers and for timeouts: two workers left a third of two processors idle.
WORKERS := -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-fast check format wheel-test wheel-test61 test-rust test-python test-python61 test-bookshop bench-instructions bench-instructions-renew bench-rust servers bench bench-quick bench-profile bench-build clean

help:
	@echo "make demo       build, install into $(DEMO), measure and serve the example site (no server needed)"
	@echo "make test       everything that CI runs (installs the servers that are missing)"
	@echo "make test-fast  the hermetic half of the tests: no server, seconds"
	@echo "make bench      Pinyon beside every incumbent: tables, bench/results, docs/performance.md (make bench-quick: five minutes)"
	@echo "make check      formatting, lints and types; before every commit"
	@echo "make format     formats everything"
	@echo "make bench-instructions  counts the instructions of the hot paths; fails if a count has grown (part of make test)"
	@echo "make bench-rust          the Rust crate beside its peers: bench/results/rust*.json, in about four minutes"
	@echo "make bench-profile       where the time of what does not hold goes, by Linux's perf (after the other two)"

demo: $(DEMO)/installed
	$(DEMO)/bin/maturin build --quiet --release --interpreter $(DEMO)/bin/python --out target/wheels/demo
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/demo pinyon
	cargo install --quiet --locked --path crates/pinyon-cli --root $(DEMO) --target-dir target --no-track --force
	$(DEMO)/bin/python examples/bookshop/demo.py

test: check test-rust test-python test-python61 test-bookshop bench-instructions

test-fast:
	cargo test --quiet -p pinyon --lib
	cargo test --quiet -p pinyon --doc

check: $(TEST)/installed
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet -p pinyon --all-targets --features postgres,mysql -- -D warnings
	cargo clippy --quiet -p pinyon --no-default-features -- -D warnings
	cargo clippy --quiet -p pinyon-bench --all-targets --features peers -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps -p pinyon --features conformance,postgres,mysql
	$(TEST)/bin/ruff format --check --quiet python examples bench
	$(TEST)/bin/ruff check --quiet python examples bench
	$(TEST)/bin/mypy --no-error-summary

format: $(TEST)/installed
	cargo fmt --all
	$(TEST)/bin/ruff check --quiet --fix python examples bench
	$(TEST)/bin/ruff format --quiet python examples bench

servers:
	tools/install-servers

test-rust: servers
	cargo test -p pinyon -p pinyon-cli -p pinyon-bench
	cargo test -p pinyon --features postgres,mysql --lib --test database

test-python: wheel-test servers
	cd python/tests && ../../$(TEST)/bin/python -m pytest -q $(WORKERS)

test-bookshop: wheel-test
	cd examples/bookshop && ../../$(TEST)/bin/python manage.py test

ifneq ($(PYTHON61),)
test-python61: wheel-test61 servers
	cd python/tests && ../../$(TEST61)/bin/python -m pytest -q $(WORKERS)

wheel-test61: $(TEST61)/installed
	$(TEST61)/bin/maturin build --quiet --profile dev --interpreter $(TEST61)/bin/python --out target/wheels/test61
	$(TEST61)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/test61 pinyon
else
test-python61:
	@echo "No Python >= 3.12 here: the tests on Django 6.1 did not run."
endif

INSTRUCTIONS := cargo run --quiet --release -p pinyon-bench --bin instructions --

bench-instructions: servers
	$(INSTRUCTIONS) check

bench-instructions-renew: servers
	$(INSTRUCTIONS) renew

# In rounds: what else the machine does for a while meets one round, and not one peer.
bench-rust: servers
	rm -rf target/bench-rust
	for round in 1 2 3; do \
		CRITERION_HOME=$(CURDIR)/target/bench-rust/$$round cargo bench --quiet -p pinyon-bench --features peers --bench peers || exit 1; \
	done
	cargo run --quiet --release -p pinyon-bench --features peers --bin collect -- bench/results/rust.json target/bench-rust/*
	cargo bench --quiet -p pinyon-bench --features peers --bench beside -- $(CURDIR)/bench/results/rust-beside.json
	cargo run --quiet --release -p pinyon-bench --features peers --bin hits -- bench/results/rust-hits.json

wheel-test: $(TEST)/installed
	$(TEST)/bin/maturin build --quiet --profile dev --interpreter $(TEST)/bin/python --out target/wheels/test
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/test pinyon

bench: bench-build
	$(BENCH)/bin/python -m bench

bench-quick: bench-build
	$(BENCH)/bin/python -m bench --quick

bench-profile: bench-build
	$(BENCH)/bin/python -m bench.cpu_profile

bench-build: $(BENCH)/installed servers
	$(BENCH)/bin/maturin build --quiet --release --interpreter $(BENCH)/bin/python --out target/wheels/bench
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/bench pinyon

$(DEMO)/installed: examples/bookshop/requirements.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check "maturin>=1.16,<2" -r examples/bookshop/requirements.txt
	touch $@

$(TEST)/installed: python/tests/requirements.txt python/tests/requirements-check.txt examples/bookshop/requirements.txt
	tools/install-servers
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --disable-pip-version-check "maturin>=1.16,<2" "Django>=5.2,<5.3" -r examples/bookshop/requirements.txt -r python/tests/requirements.txt -r python/tests/requirements-check.txt
	touch $@

$(TEST61)/installed: python/tests/requirements.txt
	tools/install-servers
	$(PYTHON61) -m venv $(TEST61)
	$(TEST61)/bin/pip install --quiet --disable-pip-version-check "maturin>=1.16,<2" "Django>=6.1,<6.2" -r python/tests/requirements.txt
	touch $@

$(BENCH)/installed: bench/requirements.txt bench/requirements-peers.txt
	tools/install-servers
	$(PYTHON_BENCH) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check "maturin>=1.16,<2" -r bench/requirements.txt
	for peer in $$(grep -v '^#' bench/requirements-peers.txt); do \
		$(BENCH)/bin/pip install --quiet --disable-pip-version-check "$$peer" || echo "$$peer does not install here: it will be missing"; \
	done
	touch $@

clean:
	rm -rf target $(DEMO) $(TEST) $(TEST61) $(BENCH)
