#!/bin/sh
# The long counts, outside CI: every f32 argument of every function, many seeds of the random tests, a
# million random calls, another processor, threads under ThreadSanitizer, 1,000 killed runs, ten minutes of mutated files a reader.
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh
tide_setup build test check && tide_build build || exit 1
for isa in baseline avx2 avx512; do
    [ "$isa" = baseline ] && continue # emulated fma: days
    if [ -x build/accuracy_$isa ]; then sh tests/isa.sh build/accuracy_$isa --all || exit 1; fi
done
sh tests/aarch64.sh build && sh tests/threads.sh && sh tests/kill.sh build 1000 && sh tests/fuzz.sh 600 || exit 1
TIDE_MISUSE_CALLS=1000000 TIDE_NVRTC=each TIDE_TEST_ROUNDS=100 ctest --test-dir build --output-on-failure -j "$(nproc)"
