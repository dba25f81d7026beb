#!/bin/sh
# The same bits however it is run: sh tests/bits.sh BUILD_DIR
# Hashes of every sample's results and gradients, on other numbers of threads, with small tiles, with other instruction
# sets and compiled, are compared with those of one thread. The baseline emulates fma: it runs the small samples only.
# With small tiles two threads at least must have shared some; large ones may be done before another thread wakes.
build=$1
cd "$(dirname "$0")/.." || exit 1
LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua;$PWD/tests/lua/?.lua;;"
LUA_CPATH="$build/tide_module/?.so;;"
TIDE_BLACKBOX=off
export LUA_PATH LUA_CPATH TIDE_BLACKBOX
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

hashes() { # hashes FILE VARIABLE=VALUE... COMMAND...
    file=$1
    shift
    env LD_PRELOAD="$TIDE_PRELOAD" ASAN_OPTIONS=detect_leaks=0 "$@" >"$work/$file" 2>"$work/errors" || {
        cat "$work/errors"
        failed=$((failed + 1))
    }
}

compare() { # compare NAME VARIABLE=VALUE... lua5.4 tests/lua/bits.lua ARGUMENTS...
    name=$1
    shift
    case $name in *tiles) least=2 ;; *) least=0 ;; esac
    for try in 1 2 3 4 5; do # on a busy machine one thread may have done all before another woke
        hashes other "$@"
        threads=$(sed -n 's/^threads //p' "$work/errors")
        [ "${threads:-0}" -ge $least ] && break
        echo "$name: no two threads ran tiles (try $try)"
    done
    counts=$(awk -v name="$name" '
        NR == FNR { want[$1] = $2; next }
        $1 in want && want[$1] == $2 { same++; next }
        { print name ": " $1 " differs" > "/dev/stderr"; other++ }
        END { print same + 0, other + 0 }' "$work/one" "$work/other")
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    [ -s "$work/other" ] || failed=$((failed + 1))
    if [ "${threads:-0}" -ge $least ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

bits="lua5.4 tests/lua/bits.lua"
# shellcheck disable=SC2086 # the words of $bits
{
    hashes one TIDE_THREADS=1 $bits
    compare "2 threads" TIDE_THREADS=2 $bits
    compare "4 threads" TIDE_THREADS=4 $bits
    compare "small tiles" TIDE_THREADS=2 TIDE_TILE=small $bits
    compare "avx512" TIDE_ISA=avx512 $bits
    compare "avx2" TIDE_ISA=avx2 $bits
    compare "baseline" TIDE_ISA=baseline $bits small
    compare "compiled" TIDE_THREADS=2 $bits compiled
}
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
