#!/bin/sh
# A training run is ended by SIGKILL at random moments: the last acknowledged checkpoint must load, and the 20 steps after
# it be those of a run that nothing stopped, bit for bit. Then by SIGTERM, which must leave one.    sh kill.sh BUILD [TIMES]
cd "$(dirname "$0")/.." || exit 1
times=${2:-20}
tide=$1/tide
LUA_PATH="$(pwd)/lua/?.lua;$(pwd)/lua/?/init.lua;;"
TIDE_BLACKBOX=off
TIDE_THREADS=1
export LUA_PATH TIDE_BLACKBOX TIDE_THREADS
# checkpoints need LuaFileSystem, which is optional
lua5.4 -e 'require "lfs"' 2>/dev/null || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
work=$(mktemp -d) || exit 1
trap '[ -z "$running" ] || kill -KILL "$running" 2>/dev/null; rm -rf "$work"' EXIT
train() { "$tide" tests/checkpoint/train.lua "$@"; }

LAST=400
train "$work/whole" $((LAST + 20)) >"$work/whole.txt" || exit 1
running='' passed=0 failed=0 saves=0 halves=0 loaded=0 round=0
verdict() { # 0 or another status, then what was wrong
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "run $n: $2"; fi
}

# What the folder's newest checkpoint leads to: prints the step, status 1 if that is before $1 or the steps differ.
follow() {
    train "$work/run$round" "$(($(newest) + 20))" >"$work/follow.txt" 2>&1 || return 1
    step=$(sed -n 's/^resumed //p' "$work/follow.txt")
    [ "$step" -ge "$1" ] || { echo "step $1 was acknowledged, $step loaded"; return 1; }
    sed 1d "$work/follow.txt" >"$work/a.txt"
    sed -n "$((step + 2)),$((step + 21))p" "$work/whole.txt" | cmp -s - "$work/a.txt" || { echo "the steps after $step differ"; return 1; }
    [ "$(wc -l <"$work/a.txt")" = 20 ]
}
newest() { # an upper bound will do: the run is cut at 20 steps
    train "$work/run$round" 0 | sed -n 's/^resumed //p'
}

# Moments: within four times what the start and five steps take here.
before=$(date +%s%N)
train "$work/five" 5 1 >/dev/null || exit 1
moments=$(awk -v n="$times" -v seed="${TIDE_TEST_SEED:-1}" -v ns="$(($(date +%s%N) - before))" \
    'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.4f\n", 4e-9 * ns * (0.05 + 0.95 * rand()) }')
n=0
for moment in $moments; do
    n=$((n + 1))
    timeout -s KILL "$moment" "$tide" tests/checkpoint/train.lua "$work/run$round" $LAST 1 >"$work/log.txt" 2>&1
    acknowledged=$(sed -n 's/^saved \([0-9]*\)$/\1/p' "$work/log.txt" | tail -n 1) # whole lines only
    [ -n "$acknowledged" ] || acknowledged=$(sed -n 's/^resumed \([0-9]*\)$/\1/p' "$work/log.txt")
    saves=$((saves + $(grep -c '^saved [0-9]*$' "$work/log.txt")))
    [ -z "$acknowledged" ] || loaded=$acknowledged
    ! ls -d "$work/run$round"/*.tmp* >/dev/null 2>&1 || halves=$((halves + 1))
    why=$(follow "$loaded" 2>&1)
    verdict $? "$why$(tail -n 3 "$work/follow.txt")"
    [ "$loaded" -lt $LAST ] || { rm -rf "$work/run$round"; round=$((round + 1)); loaded=0; }
done
echo "$times runs killed, $halves of them within a save; $saves checkpoints acknowledged"
[ "$saves" -gt "$times" ] || { failed=$((failed + 1)); echo "too few checkpoints were saved to say anything"; }

round=term n=TERM
"$tide" tests/checkpoint/train.lua "$work/run$round" 100000000 >"$work/log.txt" 2>&1 &
running=$!
while kill -0 $running 2>/dev/null && ! grep -q '^5 ' "$work/log.txt"; do sleep 0.05; done
kill -TERM $running
kill -TERM $running 2>/dev/null # batch systems send it to the process and to its group
wait $running
step=$(tail -n 1 "$work/log.txt" | sed -n 's/^stopped //p')
[ -n "$step" ] && [ "$(newest)" = "$step" ]
verdict $? "SIGTERM: $(tail -n 2 "$work/log.txt")"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
