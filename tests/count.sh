#!/bin/sh
# Runs a test program and closes with a line "N passed, N failed": sh tests/count.sh COMMAND [ARGUMENT]...
# Understands what cmocka and busted (TAP or plainTerminal) print, and programs that write such a line themselves;
# any other program is one test. Its output is shown if something failed.
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$@" >"$out" 2>&1
status=$?

summary=$(awk -v status=$status '
    /^\[  PASSED  \] [0-9]+ test\(s\)/ { p += $4; known = 1 } # cmocka, once a group
    /^ *[0-9]+ FAILED TEST\(S\)/ { f += $1; known = 1 }
    /^\[  FAILED  \] GROUP SETUP/ { f++; known = 1 }
    /^ok [0-9]+/ && !/# SKIP/ { p++; known = 1 }             # TAP
    /^not ok [0-9]+/ { f++; known = 1 }
    /^[0-9]+ success(es)? \/ [0-9]+ failures? \/ [0-9]+ errors? / { p += $1; f += $4 + $7; known = 1 } # busted, plainTerminal
    /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { own = 1; own_p = $1; own_f = $3 + 0 }
    END {
        if (own) { p = own_p; f = own_f }
        else if (!known && !status) p = 1
        if (status && !f) f = 1 # crashed, or left early
        printf "%d passed, %d failed", p, f
    }' "$out")

failed=${summary#*, }
if [ "${failed%% *}" -gt 0 ]; then
    cat "$out"
    [ $status -lt 128 ] || echo "ended by signal $((status - 128))"
    echo "$summary"
    exit 1
fi
echo "$summary"
