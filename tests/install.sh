#!/bin/sh
# Installs a build into an empty folder and uses only what lies there: sh install.sh BUILD_DIR
cd "$(dirname "$0")/.." || exit 1
. tests/tally.sh
prefix=$work
check install cmake --install "$1" --prefix "$prefix"
if grep -q 'TIDE_SANITIZE:BOOL=ON' "$1/CMakeCache.txt"; then # libraries that want a sanitizer's runtime around them
    tally
    exit
fi
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs tide)
lua_flags=$(pkg-config --cflags --libs tide-lua)
for language in c99 c11; do
    check "headers as $language" sh -c "printf '#include <tide_ops.h>\n#include <tide_engine.h>\n' | gcc -std=$language -pedantic -Werror -fsyntax-only -x c - $flags"
done
if command -v g++ >/dev/null; then
    check 'headers as C++' sh -c "printf '#include <tide_ops.h>\n#include <tide_engine.h>\n' | g++ -Werror -fsyntax-only -x c++ - $flags"
fi
for header in tide.h tide_engine.h; do
    check "$header is short" sh -c "[ \$(wc -l <$prefix/include/$header) -lt 700 ]"
done

# example NAME EXPECTED ARGUMENTS: built shared and static, run, clean under valgrind
example() {
    example=$1 expected=$2 arguments=$3
    if [ "$example" = train ]; then
        shared=$flags static="-I$prefix/include $prefix/lib/libtide.a"
    else
        shared=$lua_flags static="-I$prefix/include $(pkg-config --cflags lua5.4) $prefix/lib/libtide-lua.a $(pkg-config --libs lua5.4)"
    fi
    check "$example.c builds, shared" sh -c "gcc -Wall -Wextra -Werror -O1 -g examples/embed/$example.c $shared -lm -Wl,-rpath,$prefix/lib -o $prefix/$example"
    check "$example.c builds, static" sh -c "gcc -O1 -g examples/embed/$example.c $static -lm -lpthread -ldl -o $prefix/$example-static"
    for program in "$example" "$example-static"; do
        check "$program runs" sh -c "$prefix/$program $arguments | grep -E '^RESULT .*$expected'"
    done
    if command -v valgrind >/dev/null; then
        check "$example is clean under valgrind" sh -c "TIDE_ISA=avx2 valgrind -q --error-exitcode=9 --leak-check=full $prefix/$example $4 >/dev/null"
    fi
}
example train 'accuracy=0.[89]' examples/data/digits.csv examples/data/digits.csv
example game 'saved_last=(0.[89]|1)' 'examples/embed/keeper.lua 150 fast' 'examples/embed/keeper.lua 6 fast'
example sandbox 'fine=1' '' tests/data/attacks/tensor_hoard.lua
example host-state 'w=2.00,-1.00,0.50 reports=4 released=1' '' ''
check 'an engine needs no file of the library' sh -c "cd / && mv $prefix/share $prefix/gone && $prefix/host-state && mv $prefix/gone $prefix/share"
check 'the installed program' sh -c "cd / && TIDE_BLACKBOX=off $prefix/bin/tide -e 'print(tide.ones(2):sum():item())' | grep 2.0"
check 'the module under plain lua5.4' sh -c "cd / && TIDE_BLACKBOX=off LUA_PATH='$prefix/share/lua/5.4/?.lua;$prefix/share/lua/5.4/?/init.lua' \
    LUA_CPATH='$prefix/lib/lua/5.4/?.so' lua5.4 -e 'print(require(\"tide\").ones(2):sum():item())' | grep 2.0"
tally
