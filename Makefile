# Every habit of the project as a command. `make` alone lists them.
# Each target makes .venv first when it is missing or out of date; PYTHON=/path/to/python chooses the interpreter.

.POSIX:

BIN = .venv/bin
PYTEST_ARGS =

.PHONY: help venv demo up down test check fmt bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

venv: ## make .venv, or bring it up to date
	@sh .ci/venv

demo: venv ## run the three jobs once on real local servers, show what arrived, stop everything
	@$(BIN)/fintrack demo

up: venv ## keep the pipeline on schedule, with Flower, until Ctrl-C
	@$(BIN)/fintrack up

down: venv ## stop what `fintrack up --detach` left running
	@$(BIN)/fintrack down

test: venv ## run the whole suite against real local servers (PYTEST_ARGS='-k name' narrows it)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not docker and not kafka and not chaos and not soak and not browser" $(PYTEST_ARGS)

check: venv ## lint, formatting, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: venv ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: venv ## run every benchmark; each ends with one JSON line
	@for file in $$(grep -l __main__ benchmarks/*.py); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean: ## remove .venv, caches and build products; the data in .fintrack stays
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
