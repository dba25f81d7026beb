# A thin front on CMake. `make help` lists what it can do.
BUILD ?= build
PREFIX ?= /usr/local
CMAKE_FLAGS ?=

all: ## build everything in build/: tide, the libraries, the tests
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS)
	@cmake --build $(BUILD) -j $$(nproc)

test: ## run every test; the last line is "N passed, N failed"
	@TIDE_BUILD_DIR=$(BUILD) TIDE_CMAKE="$(CMAKE_FLAGS)" sh tests/run.sh

demo: ## train a network on handwritten digits (examples/digits.lua)
	@sh examples/demo.sh

bench: all ## measure beside PyTorch: make bench PYTHON=path/to/python ROWS=pattern THREADS="1 2" PAIRS=7
	@ROWS="$(ROWS)" THREADS="$(THREADS)" PAIRS="$(PAIRS)" TIDE_PYTHON="$(PYTHON)" cmake --build $(BUILD) --target bench

check: ## formatting, linters, floors, mutated files, and the tests under ASan and UBSan
	@sh tests/check.sh

soak: ## the long runs: accuracy of every function, fuzzing
	@sh tests/soak.sh

amalgamation: ## write the C core as two files: build/amalgamation/tide.c and tide.h
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS)
	@cmake --build $(BUILD) --target amalgamation

install: all ## install under PREFIX (/usr/local)
	@cmake --install $(BUILD) --prefix $(PREFIX)

rock: ## the Lua module alone, as luarocks builds it (rockspec/)
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS)
	@cmake --build $(BUILD) --target tide_core_lua -j $$(nproc)

rock-install: # called by luarocks with its LUADIR and LIBDIR
	@mkdir -p "$(LUADIR)" "$(LIBDIR)/tide"
	@cp $(BUILD)/tide_module/tide/core.so "$(LIBDIR)/tide/"
	@cp -R lua/tide "$(LUADIR)/"

clean: ## remove what was built
	@rm -rf build build-rock build-asan build-fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):[a-z ]*## \(.*\)/  make \1\t\2/p' Makefile

.PHONY: all test demo bench check soak amalgamation install rock rock-install clean help
