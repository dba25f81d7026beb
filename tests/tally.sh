# Sourced by tests of commands. Sets $work, a folder that goes with the script.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

check() { # check NAME COMMAND...: what it prints is shown only where it fails
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $name"
        cat "$work/log"
    fi
}

tally() { # the closing line, and the status
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}
