#!/bin/sh
# The long counts, outside CI:  sh tests/soak.sh [accuracy|aarch64|threads|kill|fuzz|valgrind|suite]...
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
tide_setup build test check && tide_build build || exit 1

# Every f32 argument of every function. Not for the baseline, whose emulated fma takes days; its bits are compared elsewhere.
soak_accuracy() {
    for isa in avx2 avx512; do
        [ -x build/accuracy_$isa ] || continue
        sh tests/isa.sh build/accuracy_$isa | sed -n 's/^accuracy \([a-z0-9_]*\) f32 .*/\1/p' | sort -u |
            xargs -P "$(nproc)" -I NAME sh tests/isa.sh build/accuracy_$isa --all NAME || return 1
    done
}

soak_aarch64() { # another processor, emulated
    sh tests/aarch64.sh build
}

soak_threads() { # under ThreadSanitizer
    sh tests/threads.sh
}

soak_kill() { # runs ended by SIGKILL
    sh tests/kill.sh build 1000
}

soak_fuzz() { # seconds for each reader
    sh tests/fuzz.sh 600
}

soak_valgrind() {
    if ! command -v valgrind >/dev/null; then
        echo 'valgrind: not found'
        return 0
    fi
    sh tests/valgrind.sh "$(pwd)/build"
}

soak_suite() { # with many seeds, a million random calls, 10,000 engines that come and go
    TIDE_MISUSE_CALLS=1000000 TIDE_NVRTC=each TIDE_TEST_ROUNDS=100 ctest --test-dir build --output-on-failure -j "$(nproc)"
}

[ $# -gt 0 ] || set -- accuracy aarch64 threads kill fuzz valgrind suite
failed=
for step; do
    echo "== $step"
    "soak_$step" || failed="$failed $step"
done
[ -z "$failed" ] || { echo "soak: failed:$failed"; exit 1; }
echo 'soak: all well'
