# `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help run test bench screenshot clean
.DEFAULT_GOAL := help

help:
	@echo "make run     set up, train if needed, and serve the default bot on http://localhost:5005"
	@echo "make test    set up what the tests need, then ruff, mypy --strict and pytest"
	@echo "make bench   measure speed and quality, beside Rasa's figures"
	@echo "make clean   remove the environment, trained models and the demo's conversations"

run: $(VENV)/.run
	@$(BIN)/frontdesk run

test: $(VENV)/.test
	@bash tests/need-browser.sh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bot channels actions
	$(BIN)/python -m pytest

bench: $(VENV)/.test
	$(BIN)/python bench/serve.py
	$(BIN)/python bench/nlu.py

$(VENV)/.run: pyproject.toml constraints.txt
	@bash install.sh $(VENV) '.[rasa-sdk]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	@bash install.sh $(VENV) '.[rasa-sdk,test]'
	@touch $(VENV)/.run $@

clean:
	rm -rf $(VENV) models frontdesk.db* demo_bank.db*
