#!/bin/sh
# Feeds every reader of files mutated ones (libFuzzer, AddressSanitizer): sh fuzz.sh SECONDS [READER]...
# Begins with tests/data and tests/fuzz/corpus/READER. What breaks a reader is left in build-fuzz/READER-*.
cd "$(dirname "$0")/.." || exit 1
seconds=$1
shift
[ $# -gt 0 ] || set -- json csv safetensors npy zip pickle gguf image
dir=build-fuzz
mkdir -p $dir || exit 1
seeds() {
    case $1 in
    json) echo tests/data/safetensors tests/data/csv-cases ;;
    csv) echo tests/data/csv-cases ;;
    safetensors) echo tests/data/safetensors ;;
    npy) echo tests/data/npy ;;
    gguf) echo tests/data/gguf ;;
    image) echo tests/data/images ;;
    zip) echo tests/data/npz tests/data/pth ;;
    esac
}
# linked, so that loading them for each input takes no time
parts=$(for part in ZLIB:zlib.h:z PNG:png.h:png JPEG:jpeglib.h:jpeg; do
    header=${part#*:}
    printf '#include <stdio.h>\n#include <%s>\n' "${header%:*}" | clang -E -x c - >/dev/null 2>&1 &&
        echo "-DTIDE_HAVE_${part%%:*} -l${part##*:}"
done)

fuzz() { # READER: builds and runs it; what it said last is in $dir/READER.log
    mkdir -p "$dir/$1-found" || return 1
    case $1 in csv | json) room=2048 ;; *) room=16384 ;; esac # bytes of an input
    # shellcheck disable=SC2086 # words
    clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wno-unused-parameter -std=gnu11 \
        -Itests/fuzz -Icore -Icore/include "tests/fuzz/$1.c" tests/fuzz/base.c core/io/*.c \
        -Wl,--wrap=tide_map_open,--wrap=tide_map_close -o "$dir/$1" -Wl,--no-as-needed -lm -ldl $parts >"$dir/$1.log" 2>&1 || return 1
    # shellcheck disable=SC2046 # words
    "$dir/$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len=$room -print_final_stats=1 \
        -artifact_prefix="$dir/$1-" "$dir/$1-found" $(ls -d "tests/fuzz/corpus/$1" 2>/dev/null) $(seeds "$1") >"$dir/$1.log" 2>&1
}

# as many at a time as there are processors
running=0
for reader; do
    { fuzz "$reader"; echo $? >"$dir/$reader.status"; } &
    running=$((running + 1))
    [ $running -lt "$(nproc)" ] || { wait; running=0; }
done
wait
failed=0
for reader; do
    if [ "$(cat "$dir/$reader.status")" = 0 ]; then
        echo "$reader: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$reader.log") inputs"
    else
        tail -n 30 "$dir/$reader.log"
        echo "$reader: failed"
        failed=1
    fi
done
exit $failed
