# make study: a first study, on the embedded chorales.  make table2: the paper's, on its data.  make test: everything that is checked.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
EPOCHS ?= 60
WORKERS ?= 2

# Real data for the tests: the folder given, else ../shared/data where it exists; always absolute.
DATA := $(or $(abspath $(GRU_STUDY_DATA)),$(realpath ../shared/data))
WITH_DATA := $(if $(DATA),GRU_STUDY_DATA=$(DATA))

.PHONY: help setup study table2 chords cells multi30k speech assets test test-avx2 soak audit export lab docs docs-serve package
.DEFAULT_GOAL := help
.NOTPARALLEL: # two would install into .venv at once

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "%-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What a target needs is installed into .venv when it is first asked for: for the study the core alone, else extras on top.
# Which packages belong to an extra says settings.ini, in which version requirements.lock.
EXTRAS_text := text
EXTRAS_lab := all
EXTRAS_all := all,docs,dev
PIP := $(BIN)/python -m pip install --progress-bar on --no-compile --constraint requirements.lock

# Python compiles what it imports, once, which is a small part of all there is; where it may not keep that, all is compiled here.
define install
	$(PIP) --no-build-isolation --editable $1
	$(if $(PYTHONDONTWRITEBYTECODE),@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true)
	@touch $@
endef

setup: .venv/.hooks ## prepare .venv with all of requirements.lock, and the git hooks

.venv/.study: requirements.lock setup.py settings.ini
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and f"requirements.lock is for Python 3.11, 3.12 and 3.13; this is {sys.version.split()[0]}: make setup PYTHON=/path/to/python3.13")'
	$(PYTHON) -m venv .venv
	$(PIP) --quiet setuptools
	$(call install,.)

.venv/.text .venv/.lab .venv/.all: .venv/.%: .venv/.study
	$(call install,".[$(EXTRAS_$*)]")

.venv/.hooks: .venv/.all
	@if [ -e .git ]; then git config merge.nbdev-merge.driver '.venv/bin/nbdev_merge %O %A %B %P' && $(BIN)/pre-commit install || echo "the git hooks are not installed; CONTRIBUTING.md says what they are for"; fi
	@touch $@

study: .venv/.study ## train tanh, LSTM and GRU on the embedded chorales, compare them, write one HTML report
	@$(BIN)/gru-study sweep music_lm --grid rnn=tanh,lstm,gru data=chorales epoch=$(EPOCHS) --workers $(WORKERS) --under study
	@$(BIN)/gru-study report --under study

table2: .venv/.study ## the paper's protocol on its four data sets, recorded in results/table2; resumes; ONLY=JSB,MuseData takes a part
chords: .venv/.study ## the same with a head that knows chords, recorded in results/chords; resumes; ONLY=JSB takes a part
cells: .venv/.study ## the same for the cells since 2014, recorded in results/cells; resumes; ONLY=JSB takes a part
table2 chords cells:
	@$(WITH_DATA) $(BIN)/gru-study sweep protocol --grid $@.yaml $(if $(ONLY),data=$(ONLY)) --workers $(WORKERS) --under $@
	@$(WITH_DATA) $(BIN)/gru-study record --under $@ --out results/$@
	@$(WITH_DATA) $(BIN)/gru-study report --under $@

multi30k: .venv/.text ## translation on Multi30k, recorded in results/multi30k; resumes; ONLY=gru,lstm takes a part
	@$(WITH_DATA) $(BIN)/gru-study sweep translate --grid multi30k.yaml $(if $(ONLY),rnn=$(ONLY)) --workers $(WORKERS) --under multi30k
	@$(WITH_DATA) $(BIN)/gru-study record --task translate --under multi30k
	@$(WITH_DATA) $(BIN)/gru-study report --task translate --under multi30k

SPOKEN := search --task speech --data fsdd --train_subset 7230 --epoch 20 --workers $(WORKERS)

speech: .venv/.study ## three cells on the spoken digits, ten rates each and 3 seeds, recorded in results/speech; resumes; ONLY=gru takes a part
	@for rnn in $$(echo $(or $(ONLY),tanh,gru,lstm) | tr , " "); do \
		$(WITH_DATA) $(BIN)/gru-study $(SPOKEN) --rnn $$rnn --save_dir speech/fsdd/$$rnn || exit; done
	@$(WITH_DATA) $(BIN)/gru-study record --task speech --under speech --out results/speech
	@$(WITH_DATA) $(BIN)/gru-study report --task speech --under speech

CHORALES := train --data chorales --head nade --weight_noise 0.075 --patience 50
CAPTIONS := train --task translate --data captions_de_en --emb 96 --dropout 0.1 --epochs 40 --unstopped 0.2

assets: export GRU_STUDY_HOME := $(CURDIR)/build/assets
assets: export OMP_NUM_THREADS := 1
assets: .venv/.text ## train the small models that ship in the package (rates by validation NLL); resumes; anew after: rm -r build/assets
	@$(BIN)/gru-study $(CHORALES) --rnn tanh --lr 0.0004
	@$(BIN)/gru-study $(CHORALES) --rnn lstm --lr 0.0016
	@$(BIN)/gru-study $(CHORALES) --rnn gru --lr 0.003
	@$(BIN)/gru-study $(CAPTIONS) --rnn tanh --hidden 145 --lr 0.003
	@$(BIN)/gru-study $(CAPTIONS) --rnn lstm --hidden 80 --lr 0.01
	@$(BIN)/gru-study $(CAPTIONS) --rnn gru --hidden 96 --lr 0.005
	@cd build/assets/exp && for run in */*/*; do \
		to=$(CURDIR)/gru_study/assets/pretrained/$${run#*/}; mkdir -p $$to; \
		cp $$(find $$run -name '*.json') $$run/model.safetensors ../log/$$run/metrics.csv $$to; done

# LIMIT=avx2: the notebooks run as on a processor without AVX-512
LIMIT_avx2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 NUMBA_CPU_NAME=haswell \
	NUMBA_CPU_FEATURES=+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+cx16

# notebooks that the tests of the site run
SITE := architecture flags glossary hand_over home play summary

# two processes at a time, with a thread each: more would wait for one another
test test-avx2: export OMP_NUM_THREADS := 1

test: setup ## notebooks, pytest, and that package and README are in step with the notebooks; LIMIT=avx2: without AVX-512
	@test -z "$(DATA)" || test -d "$(DATA)/music" || { echo "GRU_STUDY_DATA: $(DATA)/music does not exist" >&2; exit 2; }
	@echo "real data: $(or $(DATA),none; the tests on the real files are skipped)"
	$(BIN)/python tests/in_step.py
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(WITH_DATA) $(LIMIT_$(LIMIT)) $(BIN)/nbdev_test --n_workers 2 --do_print --skip_file_re '^([_.]|($(subst $() ,|,$(SITE)))\.)'
	$(WITH_DATA) $(LIMIT_$(LIMIT)) $(BIN)/python -m pytest tests -n 2 --dist loadfile --no-loadscope-reorder

soak: setup ## hours of trials: kills, processes side by side, memory, flipped bits, hostile files; resumes; anew after: rm -r build/soak
	@$(WITH_DATA) $(BIN)/python tests/soak.py $(SOAK)
	@$(BIN)/python tests/fuzz.py all --workers $(WORKERS)
	@SHAPES=300 $(BIN)/python -m pytest tests/test_kernels.py -q -k equal_autograd
	@$(WITH_DATA) GRU_STUDY_AGAIN=1 $(BIN)/python -m pytest tests/test_real_data.py -q -k again
	@GRU_STUDY_SOAK=1 GRU_STUDY_RESTARTS=10 $(BIN)/python -m pytest tests/test_lab.py -q -k restart
	@GRU_STUDY_SOAK=1 $(MAKE) test LIMIT=avx2

audit: ## ask whether the versions of requirements.lock have known vulnerabilities (needs the network)
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

test-avx2: setup ## what is compiled, as on a processor without AVX-512; all tests so: make test LIMIT=avx2
	$(WITH_DATA) $(LIMIT_avx2) $(BIN)/nbdev_test --n_workers 2 --do_print --file_re '^[0-9]+_(arithmetic|compile|losses|updates|kernels|heads|density|engines)'
	$(WITH_DATA) $(LIMIT_avx2) SHAPES=12 $(BIN)/python -m pytest tests/test_kernels.py -n 2 -k "autograd or torch"

lab: .venv/.lab ## open the lab in JupyterLab
	GRU_STUDY_HOME=$(CURDIR) $(WITH_DATA) $(BIN)/gru-study lab

docs: setup ## build the documentation site in _docs/html
	$(BIN)/python docs/build.py

docs-serve: docs ## build the site and serve it on http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _docs/html

export: setup ## write gru_study/ and README.md from the notebooks, and clean them
	@$(BIN)/python tests/in_step.py --conflicts
	$(BIN)/nbdev_clean
	$(BIN)/python tests/export.py
	$(BIN)/python tests/in_step.py --write-readme

package: ## build sdist and wheel in dist/, install the wheel in a fresh environment and use it there
	PYTHON=$(PYTHON) tests/fresh.sh
