#!/bin/sh
# From a fresh clone to a trained network: installs what is missing, builds Tide, runs examples/digits.lua.
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
tide_setup build && tide_build build || exit 1
exec build/tide examples/digits.lua "$@"
