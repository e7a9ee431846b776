# Every command a person or CI runs. Alone, `make` lists them.
# Each goal sets up what it needs and redoes only what has changed; scripts/ holds the how.

.DEFAULT_GOAL := help
# By exec, so that a TERM to the goal reaches what it runs.
RUN = GRISTMILL_GOAL=$@ && export GRISTMILL_GOAL && exec sh scripts/run

# The demo's folder of photographs, and the dev site's port.
PHOTOS ?=
PORT ?= 8000
export PHOTOS PORT

.PHONY: help
help: ## List these goals
	@echo "Gristmill: background jobs for Django and Rust on the database you already have."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Make the environment in .venv and build the binary
	@$(RUN) environments.py

.PHONY: demo
demo: ## Make thumbnails of real photographs with a real worker (PHOTOS=folder for yours)
	@$(RUN) demo.py

.PHONY: dev
dev: ## Serve the photo site and its admin beside a live worker (PORT=8000)
	@$(RUN) dev.py

.PHONY: test
test: ## Everything: check, both languages, both databases, old and new Django, journeys
	@$(RUN) suite.py test

.PHONY: test-long
test-long: ## The same at full size (fault sweeps, chaos, drains, simulation): before a release, after a change to engine or store
	@$(RUN) suite.py test-long

.PHONY: check
check: ## Format, lint, types, house rules: fast, before every commit
	@$(RUN) suite.py check

.PHONY: conformance
conformance: ## Ask every database the same questions
	@$(RUN) suite.py conformance

.PHONY: journeys
journeys: ## A real project, a real worker, real signals, on both databases
	@$(RUN) suite.py journeys

.PHONY: sim
sim: ## The engine under a virtual clock and seeded faults
	@$(RUN) suite.py sim

.PHONY: plants
plants: ## Take guards out of a copy of the tree, one at a time: a step of `make test` has to find each
	@$(RUN) ../tests/plants/run.py

.PHONY: additions
additions: ## Add a dummy option and a dummy column in a copy of the tree: few files change, and their tests pass
	@$(RUN) ../tests/additions/run.py

.PHONY: pictures
pictures: ## Make the documentation's pictures of the admin anew, in a browser
	@$(RUN) pictures.py

.PHONY: bench
bench: ## Race Gristmill against its peers, side by side (bench/README.md)
	@$(RUN) suite.py bench

.PHONY: pages-bench
pages-bench: ## Time every page of the admin beside a million finished jobs, on both databases
	@$(RUN) suite.py pages-bench

.PHONY: django-suite
django-suite: ## Django's own tests for task backends, run against this one
	@$(RUN) suite.py django-suite

.PHONY: clean
clean: ## Remove .venv and the demo's files (the cache outside stays)
	@rm -rf .venv examples/django_site/var .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
