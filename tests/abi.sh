#!/bin/sh
# The symbols that the shared libraries give to hosts are those of abi.txt, and each is declared in an installed header.
# sh abi.sh BUILD_DIR [--write]
cd "$(dirname "$0")/.." || exit 1
list() { nm -D --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort; }
all=$(mktemp) || exit 1
trap 'rm -f "$all" "$all.lua"' EXIT
list "$1/libtide.so" >"$all"
list "$1/libtide-lua.so" | diff "$all" - | sed -n 's/^< /tide-lua lacks /p; s/^> /tide-lua /p' >"$all.lua"
sed -i 's/^/tide /' "$all"
cat "$all.lua" >>"$all"
if [ "$2" = --write ]; then
    cp "$all" tests/abi.txt
    exit
fi
failed=0
if ! diff tests/abi.txt "$all"; then
    echo 'abi: the symbols are not those of tests/abi.txt: symbols that hosts may use are not taken away;'
    echo 'abi: new ones are written down by: sh tests/abi.sh BUILD_DIR --write'
    failed=1
fi
while read -r _ symbol; do
    [ "$symbol" = luaopen_tide_core ] && continue # declared for Lua's loader alone
    grep -qw "$symbol" core/include/tide.h bindings/engine.h "$1/gen/tide_ops.h" && continue
    echo "abi: $symbol is in no header"
    failed=1
done <"$all"
echo "$((1 - failed)) passed, $failed failed"
exit $failed
