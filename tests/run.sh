#!/bin/sh
# Builds Tide and runs every test. The last line is "N passed, N failed"; the exit status says the same.
# TIDE_BUILD_DIR and TIDE_CMAKE name another build folder and options for CMake; arguments go to ctest (-R NAME).
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
dir=${TIDE_BUILD_DIR:-build}

# shellcheck disable=SC2086 # TIDE_CMAKE holds words
if ! { tide_setup build test && tide_build "$dir" $TIDE_CMAKE; }; then
    echo '0 passed, 1 failed'
    exit 1
fi

log=$dir/Testing/Temporary/LastTest.log
rm -f "$log"
(cd "$dir" && ctest -j "$(nproc)" --output-on-failure --no-tests=error "$@")
status=$?

# Every test closes with a line "N passed, N failed" (count.sh). One that failed without saying so, because it was
# killed or ran out of time, counts as one failure; so does a run in which ctest itself failed.
[ -f "$log" ] || : >"$log"
awk -v status=$status '
    function close_test() {
        if (open && bad && !f) f = 1
        passed += p; failed += f; p = f = bad = open = 0
    }
    /^[0-9]+\/[0-9]+ Testing: / { close_test(); open = 1 }
    /^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 }
    /^Test Failed/ { bad = 1 }
    /^Unable to find executable/ { failed++ }
    END {
        close_test()
        if (status && !failed) failed = 1
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0
    }' "$log"
