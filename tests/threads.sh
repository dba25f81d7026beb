#!/bin/sh
# What uses several threads, under ThreadSanitizer: sh tests/threads.sh [BUILD_DIR]
cd "$(dirname "$0")/.." || exit 1
dir=${1:-build-tsan}
cmake -S . -B "$dir" -DCMAKE_C_FLAGS='-fsanitize=thread' -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null || exit 1
cmake --build "$dir" -j "$(nproc)" --target test_threads test_host test_engine >/dev/null || exit 1
TSAN_OPTIONS=halt_on_error=1
export TSAN_OPTIONS
for name in test_threads test_host; do
    sh tests/count.sh "$dir/$name" || exit 1
done
sh tests/count.sh "$dir/test_engine" test_threads # two engines; the attacks' times mean nothing here
