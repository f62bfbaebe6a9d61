# `make` installs into .venv and runs the default study; `make test` does the same for the tests. Both are quick the second time.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
STUDY := results/studies/default
MINUTES ?= 30

.PHONY: study report slice estimate export-images test campaign bench lint audit times clean help
study: report ## install, run the default study, build the report (the default)
	@echo
	@echo "The report: $(CURDIR)/$(STUDY)/report.zip (unpack it, open report.html)"
	@echo "What was found, and what was not: $(CURDIR)/$(STUDY)/digits/verdict.md"
	@echo "Tables and figures: $(CURDIR)/$(STUDY)/digits"

report: .venv/installed ## run what is missing, then build the report
	$(SNAKEMAKE)
	$(BIN)/snakemake --report $(STUDY)/report.zip

slice: .venv/installed ## run as much of a study, CONFIG=its config, as fits into MINUTES=30; call again to go on
	$(BIN)/clxai slice --minutes $(MINUTES) --cores $(CORES) $(CONFIG)

estimate: .venv/installed ## estimate hours, memory and disk of a study, CONFIG=its config
	$(BIN)/clxai estimate --cores $(CORES) $(CONFIG)

export-images: .venv/installed ## write the images that a study explains, CONFIG=its config, as PNG and npz with their ids
	$(SNAKEMAKE) exported_all $(if $(CONFIG),--configfile $(CONFIG))

test: .venv/installed-test ## install, run the test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup

campaign: .venv/installed-test ## install, run the heavy tests that `make test` leaves out
	$(BIN)/python -m pytest -m campaign

bench: .venv/installed-bench ## time every part against a peer, on this machine (minutes)
	$(BIN)/python -m benchmarks

lint: .venv/installed-test ## check format and style of code and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/snakemake --lint

audit: .venv/installed-audit ## look the pinned dependencies up in PyPI's list of vulnerabilities; needs the internet
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

times: ## print jobs, seconds and peak memory per stage from the benchmark files
	@printf '%-18s %5s %9s %9s\n' stage jobs seconds "peak MB"
	@find results -path '*/benchmarks/*.tsv' | sed 's:.*/benchmarks/::; s:\.tsv::; s:/.*::' | sed -E 's/(sample_images|export_images|plot)_.*/\1/' | sort -u | while read stage; do \
	  find results -path "*/benchmarks/$$stage*.tsv" -exec tail -qn 1 {} + | \
	  awk -v stage=$$stage '{n++; s+=$$1; if ($$3>m) m=$$3} END {printf "%-18s %5d %9.1f %9.0f\n", stage, n, s, m}'; done

clean: ## delete all results (not the environment)
	find results -mindepth 1 ! -name README.md -delete

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/:/'

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CLXAI needs Python >= 3.11, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[workflow]'
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[workflow,slurm,test,notebooks]'
	@touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[workflow,bench]'
	@touch $@

.venv/installed-audit: .venv/installed
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --disable-pip-version-check -q 'pip-audit>=2.7,<3'
	@touch $@
