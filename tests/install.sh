#!/bin/sh
# Installs a build into an empty folder and uses only what lies there: sh install.sh BUILD_DIR
cd "$(dirname "$0")/.." || exit 1
prefix=$(mktemp -d) || exit 1
trap 'rm -rf "$prefix"' EXIT
passed=0
failed=0
check() { # check NAME COMMAND...
    name=$1
    shift
    if "$@" >"$prefix/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "install: $name"
        cat "$prefix/log"
    fi
}
check install cmake --install "$1" --prefix "$prefix"
if grep -q 'TIDE_SANITIZE:BOOL=ON' "$1/CMakeCache.txt"; then # libraries that want a sanitizer's runtime around them
    echo "$passed passed, $failed failed"
    exit $failed
fi
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs tide)
# shellcheck disable=SC2086 # words
for language in c99 c11; do
    check "headers as $language" sh -c "echo '#include <tide_ops.h>' | gcc -std=$language -pedantic -Werror -fsyntax-only -x c - $flags"
done
if command -v g++ >/dev/null; then
    check 'headers as C++' sh -c "echo '#include <tide_ops.h>' | g++ -Werror -fsyntax-only -x c++ - $flags"
fi
check 'train.c builds, shared' sh -c "gcc -O1 -g examples/embed/train.c $flags -lm -Wl,-rpath,$prefix/lib -o $prefix/train"
check 'train.c learns' sh -c "$prefix/train examples/data/digits.csv | grep 'accuracy=0.[89]'"
check 'train.c builds, static' sh -c "gcc -O1 -g examples/embed/train.c -I$prefix/include $prefix/lib/libtide.a -lm -lpthread -ldl -o $prefix/static"
check 'train.c learns, static' sh -c "$prefix/static examples/data/digits.csv | grep 'accuracy=0.[89]'"
if command -v valgrind >/dev/null; then
    check 'train.c is clean under valgrind' sh -c "TIDE_ISA=avx2 valgrind -q --error-exitcode=9 --leak-check=full $prefix/train examples/data/digits.csv"
fi
check 'the installed program' sh -c "cd / && TIDE_BLACKBOX=off $prefix/bin/tide -e 'print(tide.ones(2):sum():item())' | grep 2.0"
check 'the module under plain lua5.4' sh -c "cd / && TIDE_BLACKBOX=off LUA_PATH='$prefix/share/lua/5.4/?.lua;$prefix/share/lua/5.4/?/init.lua' \
    LUA_CPATH='$prefix/lib/lua/5.4/?.so' lua5.4 -e 'print(require(\"tide\").ones(2):sum():item())' | grep 2.0"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
