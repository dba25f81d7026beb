#!/bin/sh
# Bytes on disk without debugging information: sh tests/size.sh BUILD_DIR
# The program and its library together stay within 4 MB; what else is installed is told beside them.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if grep -q 'TIDE_SANITIZE:BOOL=ON' "$1/CMakeCache.txt"; then
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
bytes() {
    strip -o "$work/stripped" "$1" && stat -c %s "$work/stripped"
}
program=$(bytes "$1/tide") && library=$(bytes "$1/libtide-lua.so.0") && alone=$(bytes "$1/libtide.so.0") &&
    module=$(bytes "$1/tide_module/tide/core.so") || exit 1
both=$((program + library))
echo "size: tide $program, libtide-lua $library, together $both of 4000000; libtide $alone, tide/core.so $module"
[ $both -le 4000000 ]
