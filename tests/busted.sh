#!/bin/sh
# Runs a busted file against a build: sh busted.sh BUILD_DIR FILE
cd "$(dirname "$0")/.." || exit 1
root=$(pwd)
LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;$root/tests/lua/?.lua;;"
LUA_CPATH="$1/tide_module/?.so;;"
TIDE=$1/tide
TIDE_ROOT=$root
TIDE_BLACKBOX=off
export LUA_PATH LUA_CPATH TIDE TIDE_ROOT TIDE_BLACKBOX
if [ -n "$TIDE_PRELOAD" ]; then # a sanitizer's library, for plain lua5.4 with an instrumented module
    LD_PRELOAD=$TIDE_PRELOAD
    ASAN_OPTIONS=detect_leaks=0
    export LD_PRELOAD ASAN_OPTIONS
fi
exec lua5.4 "$(command -v busted)" -o TAP "$2"
