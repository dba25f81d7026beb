#!/bin/sh
# The long runs, one command a line; stops at the first that fails.
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
tide_setup build test && tide_build build || exit 1
set -ex
build/accuracy --all
