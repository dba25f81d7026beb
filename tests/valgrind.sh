#!/bin/sh
# The Lua suite under valgrind, with the library in plain lua5.4 and with the program:  sh tests/valgrind.sh BUILD_DIR [FILE]...
# Long: the largest instruction set is valgrind's own, and what a test starts as a process of its own is not followed.
cd "$(dirname "$0")/.." || exit 1
root=$(pwd)
build=$1
shift
[ $# -gt 0 ] || set -- tests/lua/test_*.lua
LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;$root/tests/lua/?.lua;;"
LUA_CPATH="$build/tide_module/?.so;;"
TIDE=$build/tide
TIDE_ROOT=$root
TIDE_BLACKBOX=off
TIDE_VALGRIND=1 # tests of time and memory give way
export LUA_PATH LUA_CPATH TIDE TIDE_ROOT TIDE_BLACKBOX TIDE_VALGRIND
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
good=0
bad=0
for file; do
    for program in lua5.4 "$TIDE"; do
        valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --log-file="$work/log" \
            "$program" "$(command -v busted)" -o TAP "$file" >"$work/out" 2>&1
        status=$?
        if [ $status = 0 ]; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
            echo "$program $file: status $status"
            grep '^not ok' "$work/out"
            head -n 60 "$work/log"
        fi
    done
done
echo "$good passed, $bad failed"
[ $bad = 0 ]
