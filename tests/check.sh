#!/bin/sh
# Everything that can be said about the code without a reader: sh tests/check.sh [format|lua|cppcheck|floors|fuzz|sanitize]...
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
tide_setup build check || exit 1

check_format() {
    files=$(git ls-files -- '*.c' '*.h') || return 1
    # shellcheck disable=SC2086 # names without spaces
    [ -z "$files" ] || clang-format --dry-run -Werror $files
}

check_lua() {
    luacheck --quiet lua examples tests || return 1
    for file in $(git ls-files -- 'lua/*.lua'); do # what the compiler made: no writes to globals
        luac5.4 -l -p "$file" | sed -n "/SETTABUP.*; _ENV /s#^#$file: #p"
    done | (! grep .)
}

check_cppcheck() { # knows the operation table, also without a build
    [ -f build/gen/tide_ops.h ] || { mkdir -p build/gen && lua5.4 core/op/generate.lua core/op build/gen; } || return 1
    cppcheck --quiet --error-exitcode=1 -j "$(nproc)" --std=c11 --language=c --inline-suppr \
        --enable=warning --suppress=internalAstError --suppress=constStatement \
        -D__GNUC__=12 -D__x86_64__=1 -Icore -Icore/include -Ibuild/gen core bindings
}

check_floors() {
    sh tests/floors.sh
}

check_fuzz() { # seconds for each reader
    sh tests/fuzz.sh 20
}

check_sanitize() {
    TIDE_BUILD_DIR=build-asan TIDE_CMAKE=-DTIDE_SANITIZE=ON sh tests/run.sh
}

[ $# -gt 0 ] || set -- format lua cppcheck floors fuzz sanitize
failed=
for step; do
    echo "== $step"
    "check_$step" || failed="$failed $step"
done
[ -z "$failed" ] || { echo "check: failed:$failed"; exit 1; }
echo 'check: all well'
