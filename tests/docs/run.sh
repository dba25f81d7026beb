#!/bin/sh
# The reference and the stubs are those that the sources yield; every Lua block of the documentation runs and prints what
# it says:  sh tests/docs/run.sh BUILD_DIR.   To make them again: lua5.4 tests/docs/generate.lua . .  (LUA_PATH, LUA_CPATH)
build=$1
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;;"
LUA_CPATH="$build/tide_module/?.so;;"
TIDE_BLACKBOX=off
TIDE=$build/tide
ROOT=$root
export LUA_PATH LUA_CPATH TIDE_BLACKBOX TIDE ROOT
if [ -n "$TIDE_PRELOAD" ]; then # a sanitizer's library, for plain lua5.4 with an instrumented module
    LD_PRELOAD=$TIDE_PRELOAD
    ASAN_OPTIONS=detect_leaks=0
    export LD_PRELOAD ASAN_OPTIONS
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/docs/reference" "$work/types" "$work/run"
good=0
bad=0
if lua5.4 "$root/tests/docs/generate.lua" "$root" "$work"; then
    for part in docs/reference types; do
        if diff -r "$root/$part" "$work/$part"; then good=$((good + 1)); else bad=$((bad + 1)); fi
    done
else
    bad=1
fi
cd "$work/run" || exit 1 # files that the blocks write lie there
find "$root/README.md" "$root/docs" -name '*.md' ! -path '*/reference/*' | sort >../list
blocks=$(xargs lua5.4 "$root/tests/docs/blocks.lua" <../list) || true
printf '%s\n' "$blocks" | sed '$d'
last=$(printf '%s\n' "$blocks" | tail -n 1) # N passed, N failed
case "$last" in
*" passed, "*" failed")
    failed=${last#*, }
    good=$((good + ${last%% *}))
    bad=$((bad + ${failed%% *}))
    ;;
*) bad=$((bad + 1)) ;;
esac
if [ -z "$TIDE_PRELOAD" ]; then # C programs, as a host would build them
    mkdir ../include
    cp "$root/core/include/tide.h" "$build/gen/tide_ops.h" ../include
    cp "$root/bindings/engine.h" ../include/tide_engine.h
    n=$(lua5.4 "$root/tests/docs/programs.lua" "$root/docs/guides/embedding.md" .)
    i=1
    while [ "$i" -le "${n:-0}" ]; do
        if cc -I../include "$i.c" -L"$build" -ltide-lua -lm "-Wl,-rpath,$build" -o "program$i" && "./program$i" >"$i.out" &&
            diff "$i.txt" "$i.out"; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
        fi
        i=$((i + 1))
    done
    [ "${n:-0}" -gt 0 ] || bad=$((bad + 1))
fi
echo "$good passed, $bad failed"
[ $bad -eq 0 ]
