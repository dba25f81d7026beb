#!/bin/sh
# Each floor uses only itself and the floors below it; core/ knows no Lua. sh tests/floors.sh
cd "$(dirname "$0")/.." || exit 1

# lowest first; include/ is beneath them all, and bindings/ stands on top
floors='base tensor io program device op autograd optim trace dist ahead'
# headers without a floor: the public API and what is generated from the operation table
public='tide.h tide_ops.h ahead_programs.h'

find core bindings -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort |
    xargs grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null |
    awk -v floors="$floors" -v public="$public" '
    BEGIN {
        n = split("include " floors " bindings", floor, " ")
        for (i = 1; i <= n; i++) height[floor[i]] = i
        n = split(public, name, " ")
        for (i = 1; i <= n; i++) height_of_name[name[i]] = 1
    }
    function complain(what) { print file ":" line ": " what; bad = 1 }
    {
        split($0, part, ":")
        file = part[1]; line = part[2]
        split(file, dir, "/")
        here = dir[1] == "core" ? dir[2] : dir[1]
        if (!(here in height)) { complain("core/" here " is no floor: add it to the table in tests/floors.sh"); next }
        if (!match($0, /[<"][^>"]*[>"]/)) next # the name comes from a macro
        quote = substr($0, RSTART, 1); header = substr($0, RSTART + 1, RLENGTH - 2)
        if (here != "bindings" && header ~ /^(lua|lauxlib|lualib|luaconf)\.h(pp)?$|^lua5/) complain("core knows no Lua")
        if (quote == "<") next
        split(header, dir, "/")
        there = dir[1]
        if (header in height_of_name) above = 0
        else if (there in height && header ~ /\//) above = height[there] > height[here]
        else if (here == "bindings" && header !~ /\.\./) above = 0 # its own headers
        else { complain("\"" header "\" is not written from core/ (\"floor/name.h\")"); next }
        if (above) complain(here " is below " there ", but includes " header)
    }
    END { exit bad }'
