# `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help run test bench faults conformance clean
.DEFAULT_GOAL := help

help:
	@echo "make run     set up, train if needed, and serve the default bot on http://localhost:5005"
	@echo "make test    set up what the tests need, then ruff, mypy --strict and pytest"
	@echo "make bench   measure speed and quality, beside Rasa's figures; DATA=folder adds BANKING77 and CLINC150"
	@echo "make faults  kill processes and servers at every step of a turn, 320 times, and find nothing lost; SEED=n plays one again"
	@echo "make conformance  ask real Rasa 3.6.21 (needs a Python 3.10) what it does, and whether we do the same"
	@echo "make clean   remove the environment, trained models and the demo's conversations"

run: $(VENV)/.run
	@$(BIN)/frontdesk run

test: $(VENV)/.test
	@bash tests/need-browser.sh
	@bash tests/need-redis.sh
	@bash tests/need-postgres.sh
	@bash tests/need-rabbitmq.sh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bot channels actions
	$(BIN)/python -m pytest

bench: $(VENV)/.test
	$(BIN)/python bench/serve.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/stories.py
	$(BIN)/python bench/knowledge.py
	$(BIN)/frontdesk test nlu
	$(if $(DATA),$(BIN)/python bench/nlu.py --data $(DATA),@echo "Understanding of public data: make bench DATA=folder with banking77/ and clinc150/")

faults: $(VENV)/.test
	@bash tests/need-redis.sh
	@bash tests/need-postgres.sh
	$(BIN)/python tests/faults/driver.py $(if $(SEED),--seed $(SEED))

conformance: $(VENV)/.test
	@bash tests/conformance/judge.sh

$(VENV)/.run: pyproject.toml constraints.txt
	@bash install.sh $(VENV) '.[rasa-sdk]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	@bash install.sh $(VENV) '.[rasa-sdk,sql,test]'
	@touch $(VENV)/.run $@

clean:
	rm -rf $(VENV) models frontdesk.db* demo_bank.db*
