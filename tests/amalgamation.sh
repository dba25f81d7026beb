#!/bin/sh
# tide.c compiled as a host would: sh amalgamation.sh BUILD_DIR OBJECT...
# The objects are the Lua bindings; over them the hashes of every operation's samples are those of the library.
build=$1
shift
cd "$(dirname "$0")/.." || exit 1
. tests/tally.sh
LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua;$PWD/tests/lua/?.lua;;"
TIDE_BLACKBOX=off
TIDE_ONEDNN=0 # which tide.c is without; its sums are its own
export LUA_PATH TIDE_BLACKBOX TIDE_ONEDNN
sets='baseline avx2 avx512'
hashes() { # hashes CORE: one file an instruction set, small samples but for the best of this processor
    for isa in $sets; do
        size=small
        [ "$isa" = avx512 ] && size=
        # shellcheck disable=SC2086 # no word where it is empty
        TIDE_ISA=$isa "$work/lua-$1" tests/lua/bits.lua $size >"$work/$1-$isa" || return 1
        TIDE_ISA=$isa "$work/lua-$1" tests/amalgamation/bits.lua >>"$work/$1-$isa" || return 1
    done
}

check 'it is written' cmake --build "$build" --target amalgamation
here=$build/amalgamation
lua=$(pkg-config --cflags --libs lua5.4)
# shellcheck disable=SC2086 # the words of $lua
check 'a host over the library' cc tests/amalgamation/host.c "$@" "$build/libtide.a" $lua -lm -lpthread -ldl -o "$work/lua-library"

cc -O2 -c "$here/tide.c" -o "$work/tide.o" >"$work/compiled" 2>&1 & # long: the rest goes on beside it
compiler=$!
hashes library
check 'no warning as C11' cc -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only "$here/tide.c"
check '-ffast-math is refused' sh -c "cc -O2 -ffast-math -fsyntax-only '$here/tide.c' 2>&1 | grep '#error'"
for language in 'c99 -pedantic' c11; do
    # shellcheck disable=SC2086
    check "tide.h as $language" cc -std=$language -Werror -fsyntax-only -x c "$here/tide.h"
done
if command -v g++ >/dev/null; then
    check 'tide.h as C++' g++ -Werror -fsyntax-only -x c++ "$here/tide.h"
fi
check 'tide.c names no file but tide.h' sh -c "! grep '#include \"' '$here/tide.c' | grep -v '\"tide.h\"'"
wait $compiler
check 'cc -O2 -c tide.c' test $? = 0
check 'it is compiled without a warning' sh -c "! grep . '$work/compiled'"

check 'every global name begins with tide_' sh -c "! nm --defined-only '$work/tide.o' | awk '\$2 ~ /[A-Z]/ && \$3 !~ /^tide_/' | grep ."
sed 's/#include <tide_ops.h>//' examples/embed/train.c >"$work/train.c" # tide.h has the operations, too
check 'train.c links with libm and pthreads' cc -O2 "-I$here" "$work/train.c" "$work/tide.o" -lm -lpthread -o "$work/train"
check 'train.c links with the library' cc -O2 -Icore/include "-I$build/gen" examples/embed/train.c "$build/libtide.a" -lm -lpthread -ldl -o "$work/train-library"
"$work/train-library" examples/data/digits.csv >"$work/want" 2>&1
check 'train.c says what it says over the library' sh -c "'$work/train' examples/data/digits.csv | diff '$work/want' -"
check 'train.c learns' grep 'accuracy=0.[89]' "$work/want"
check 'no library is loaded at run time' sh -c "! nm -u '$work/tide.o' | grep -E 'dlopen|dlsym'"

# shellcheck disable=SC2086
check 'a host over tide.c' cc tests/amalgamation/host.c "$@" "$work/tide.o" $lua -lm -lpthread -o "$work/lua-one"
echo 'io.write(require("tide.core").parts())' >"$work/parts.lua"
check 'it says that it is one file' sh -c "'$work/lua-one' '$work/parts.lua' | grep '^form: one file'"
hashes one
for isa in $sets; do
    check "the bits of the library: $isa" sh -c "[ \$(wc -l <'$work/one-$isa') -gt 1500 ] && diff '$work/library-$isa' '$work/one-$isa'"
done
tally
