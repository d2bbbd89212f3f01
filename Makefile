# Thin over CMake's presets; what is missing is installed, fetched and built first. See `make help`.
.DEFAULT_GOAL := build
.PHONY: help setup fetch build demo check levels models conformance debug asan tsan stress bench clean

RLX_MLX ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# $(call build_in,PRESET,TARGET...) and $(call test_in,FOLDER)
build_in = cmake --preset $(1) -DRLX_MLX=$(RLX_MLX) && \
  cmake --build --preset $(1) -j $(JOBS) --target $(or $(2),all)
test_in = ctest --test-dir $(1) -j $(JOBS) --output-on-failure
models = scripts/fetch.py model magika minilm orientation ocr-detection ocr-recognition silero

help: ## this list
	@awk -F ':.*## ' '/^[a-z ]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  RLX_MLX=cpu|cuda|metal takes that MLX wheel; RLX_CACHE says where fetched files lie."

setup:
	@scripts/setup.sh

fetch:
	@$(models) >/dev/null && scripts/fetch.py oracle >/dev/null

build: setup ## the library, the command build/rlx, examples and tests
	@$(call build_in,release)

demo: setup ## real models name the types of a few files and search a few sentences
	@$(call build_in,release,rlx_tool example_filetypes)
	@model=$$(scripts/fetch.py model magika) && build/examples/filetypes "$${model%/models/*}" \
	  README.md Makefile CMakeLists.txt CMakePresets.json LICENSE .clang-format \
	  examples/filetypes.c src/mlx/shim_eval.cpp scripts/fetch.py scripts/setup.sh \
	  build/librlx.so
	@query="Where can I eat well?" && printf '\nsearch: %s\n' "$$query" && \
	  build/rlx embed --model "$$(scripts/fetch.py model minilm)" --search "$$query" \
	  "The new bistro on the corner serves a fine fish soup." "My laptop does not start any more." \
	  "Her train leaves at seven in the morning." "We tried the lasagne, and it was delicious." \
	  "The match was decided in the last minute." "He bought bread and olives at the market."

check: build fetch ## the whole test suite
	@$(call test_in,build)

levels: build fetch ## the suite with CPU kernels at each level this CPU has, and with kernels off
	@scripts/levels.sh build

models: setup ## all real models, those too that are too large for `check`, against onnxruntime
	@$(call build_in,release,rlx_tool)
	@scripts/fetch.py oracle tests/oracle/models.py build/rlx

conformance: setup ## ONNX's node tests, of the onnx package
	@$(call build_in,release,rlx_tool)
	@nodes=$$(scripts/fetch.py oracle tests/oracle/node_tests.py) && \
	  { build/rlx conformance "$$nodes" --report build/conformance.tsv || [ $$? = 1 ]; }

debug asan tsan: setup fetch ## the suite with lock checks, with sanitizers; in build/<name>
	@$(call build_in,$@)
	@$(call test_in,build/$@)

stress: build ## 60 s of the thread test; without the lock it must fail
	build/tests/stress_test 60
	! build/tests/stress_nolock 60

bench: setup ## rlx beside its peers (PEERS=all fetches jax too); renews docs/performance.md
	@$(call build_in,release,bench_programs)
	@build/bench/shapes && build/bench/shapes "$$(scripts/fetch.py model minilm-onnx)"
	@scripts/fetch.py $(if $(filter all,$(PEERS)),peers,oracle) bench/bench.py build --write \
	  --json build/bench.json $(BENCH)

clean: ## removes build/; fetched files stay in the cache
	rm -rf build
