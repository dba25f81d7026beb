#!/bin/sh
# Full and broken disks, call by call: sh faults.sh BUILD FAULTS.so
cd "$(dirname "$0")/.." || exit 1
LUA_PATH="$(pwd)/lua/?.lua;$(pwd)/lua/?/init.lua;;"
TIDE_BLACKBOX=off
ASAN_OPTIONS=verify_asan_link_order=0
export LUA_PATH TIDE_BLACKBOX ASAN_OPTIONS
# checkpoints need LuaFileSystem, which is optional
lua5.4 -e 'require "lfs"' 2>/dev/null || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
LD_PRELOAD=$2 "$1/tide" tests/checkpoint/faults.lua "$2" "$work"
