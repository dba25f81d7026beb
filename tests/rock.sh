#!/bin/sh
# The rock, offline: lint, make, require from plain lua5.4, pack, remove, install, test:  sh tests/rock.sh BUILD_DIR
# What `make rock` would build is taken from BUILD_DIR; LuaFileSystem is made known as provided.
build=$1
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$root/tests/tally.sh"
mkdir "$work/src" && cp -R "$root/Makefile" "$root/lua" "$work/src" || exit 1
cd "$work/src" || exit 1
spec=tide-0.1.0-1.rockspec
sed "s/build_target = \"rock\"/build_target = \"help\"/; s#\"build-rock\"#\"$build\"#g" "$root/rockspec/$spec" >"$spec"
echo 'rocks_provided = { luafilesystem = "1.8.0-1" }' >../config.lua
LUAROCKS_CONFIG=$work/config.lua
LUA_PATH="$work/tree/share/lua/5.4/?.lua;$work/tree/share/lua/5.4/?/init.lua;;"
LUA_CPATH="$work/tree/lib/lua/5.4/?.so;;"
TIDE_BLACKBOX=off
export LUAROCKS_CONFIG LUA_PATH LUA_CPATH TIDE_BLACKBOX
try() { check "$*" "$@"; }
rocks() { luarocks --lua-version=5.4 --tree "$work/tree" "$@"; }
works() { lua5.4 -e 'assert(require("tide").ones(2):sum():item() == 2)
    assert(package.searchpath("tide", package.path):find("tree", 1, true))'; }
gone() { [ ! -e "$work/tree/share/lua/5.4/tide" ]; }
try luarocks --lua-version=5.4 lint "$root/rockspec/$spec"
try rocks make "$spec"
try works
try rocks test "$spec"
try rocks pack tide
try rocks remove tide
try gone
try rocks install ./tide-0.1.0-1.*.rock
try works
tally
