#!/bin/sh
# Random calls of the Lua API: sh tests/misuse.sh BUILD_DIR [CALLS] [SEED]; best under AddressSanitizer.
# TIDE_MISUSE_CALLS sets the count too (make soak: a million).
build=$1
calls=${2:-${TIDE_MISUSE_CALLS:-20000}}
seed=${3:-1}
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
work=$(mktemp -d) || exit 1 # files that calls write lie there
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;;"
TIDE_BLACKBOX=$work/box
ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512
UBSAN_OPTIONS=print_stacktrace=1
export LUA_PATH TIDE_BLACKBOX ASAN_OPTIONS UBSAN_OPTIONS
grep -q 'TIDE_SANITIZE:BOOL=ON' "$build/CMakeCache.txt" || ulimit -v 4000000 # sizes out of all bounds must fail
"$build/tide" "$root/tests/misuse.lua" "$calls" "$seed" >out 2>err
status=$?
if [ $status -ne 0 ]; then
    grep -v '^call' out | tail -n 3 # scripts print too; the last line counts
    grep '^call' out
    grep -v 'WARNING: AddressSanitizer' err | tail -n 60
    [ ! -s box ] || { "$build/tide" blackbox box | tail -n 5; echo "misuse: seed $seed"; }
fi
tail -n 2 out
exit $status
