# `make demo` and `make test` are all that a fresh machine needs: cargo, python3 >= 3.10, make and a C compiler; the rest
# they install (Python packages into virtual environments here, servers by apt-get where they are missing).

PYTHON ?= python3
DEMO := .venv
# Each of these is a virtual environment with one version of Django; TEST is the one that `check` uses too.
TEST := .venv-test
TEST61 := .venv-test-django61
PYTHON61 := $(shell tools/find-python 3.12)

.PHONY: help demo test test-fast check format wheel-test wheel-test61 test-rust test-python test-python61 test-bookshop servers clean

help:
	@echo "make demo       build, install into $(DEMO), measure and serve the example site (no server needed)"
	@echo "make test       everything that CI runs (installs the servers that are missing)"
	@echo "make test-fast  the hermetic half of the tests: no server, seconds"
	@echo "make check      formatting, lints and types; before every commit"
	@echo "make format     formats everything"

demo: $(DEMO)/installed
	$(DEMO)/bin/maturin build --quiet --release --interpreter $(DEMO)/bin/python --out target/wheels/demo
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/demo pinyon
	cargo install --quiet --locked --path crates/pinyon-cli --root $(DEMO) --target-dir target --no-track --force
	$(DEMO)/bin/python examples/bookshop/demo.py

test: check test-rust test-python test-python61 test-bookshop

test-fast:
	cargo test --quiet -p pinyon --lib
	cargo test --quiet -p pinyon --doc

check: $(TEST)/installed
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet -p pinyon --all-targets --features postgres,mysql -- -D warnings
	cargo clippy --quiet -p pinyon --no-default-features -- -D warnings
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
	cargo test -p pinyon -p pinyon-cli -p pinyon-bench-engine
	cargo test -p pinyon --features postgres,mysql --lib --test database

test-python: wheel-test servers
	cd python/tests && ../../$(TEST)/bin/python -m pytest -q -n 2 --dist loadfile

test-bookshop: wheel-test
	cd examples/bookshop && ../../$(TEST)/bin/python manage.py test

ifneq ($(PYTHON61),)
test-python61: wheel-test61 servers
	cd python/tests && ../../$(TEST61)/bin/python -m pytest -q -n 2 --dist loadfile

wheel-test61: $(TEST61)/installed
	$(TEST61)/bin/maturin build --quiet --profile dev --interpreter $(TEST61)/bin/python --out target/wheels/test61
	$(TEST61)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/test61 pinyon
else
test-python61:
	@echo "No Python >= 3.12 here: the tests on Django 6.1 did not run."
endif

wheel-test: $(TEST)/installed
	$(TEST)/bin/maturin build --quiet --profile dev --interpreter $(TEST)/bin/python --out target/wheels/test
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-index --find-links target/wheels/test pinyon

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

clean:
	rm -rf target $(DEMO) $(TEST) $(TEST61)
