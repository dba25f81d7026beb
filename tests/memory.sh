#!/bin/sh
# Memory of long training without a call of the collector: sh tests/memory.sh BUILD_DIR
# Under lua5.4, which starts the collector in generational mode, and under a host that only calls luaL_newstate (the
# program): what is resident stays within 1.5 times of that after the first 100 steps.
build=$1
cd "$(dirname "$0")/.." || exit 1
LUA_PATH="$PWD/lua/?.lua;$PWD/lua/?/init.lua;;"
LUA_CPATH="$build/tide_module/?.so;;"
TIDE_BLACKBOX=off
export LUA_PATH LUA_CPATH TIDE_BLACKBOX
if grep -q 'TIDE_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then # keeps what was freed
    echo '0 passed, 0 failed, 4 skipped'
    exit 0
fi
passed=0 failed=0
for host in lua5.4 "$build/tide"; do
    for how in compiled eager; do
        if "$host" tests/lua/memory.lua 10000 $how; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "memory: $host, $how"
        fi
    done
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
