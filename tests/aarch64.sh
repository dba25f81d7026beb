#!/bin/sh
# The engine for another processor: built by Debian's cross compiler (gcc-aarch64-linux-gnu), and where
# qemu-user is there, the C example trains under it to the same numbers: sh tests/aarch64.sh BUILD_DIR
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
cross=aarch64-linux-gnu-gcc
command -v $cross >/dev/null || { echo "aarch64: no $cross, skipped"; echo "0 passed, 0 failed"; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { [ ! -s "$work/log" ] || tail -n 20 "$work/log"; echo "aarch64: $1"; echo "$passed passed, 1 failed"; exit 1; }
passed=0
cmake -S . -B "$work" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=$cross >"$work/log" 2>&1 &&
    make -C "$work" -j "$(nproc)" tide_static amalgamation >>"$work/log" 2>&1 || fail "does not build"
passed=1
train() { # compiler, library: train
    "$1" -O2 -Icore/include -I"$build/gen" examples/embed/train.c -o "$work/$1" "$2" -lm -lpthread -ldl >>"$work/log" 2>&1
}
train $cross "$work/libtide.a" || fail "the example does not link"
$cross -O2 -Wall -Werror -c "$work/amalgamation/tide.c" -o "$work/tide.o" >>"$work/log" 2>&1 || fail "tide.c does not compile"
passed=2
if command -v qemu-aarch64 >/dev/null; then
    train cc "$build/libtide.a" || fail "the example does not link here"
    qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/$cross" >"$work/there" || fail "the example fails"
    "$work/cc" >"$work/here"
    diff "$work/here" "$work/there" || fail "other numbers than here"
    train $cross "$work/tide.o" && qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/$cross" | diff "$work/here" - || fail "tide.c: other numbers"
    passed=4
fi
echo "$passed passed, 0 failed"
