#!/bin/sh
# accuracy programs on processors that may not have an instruction set: sh isa.sh PROGRAM | --same PROGRAM...
# --same: those that run here must print the same checksum.
runs() { case $1 in *avx512) grep -qw avx512f /proc/cpuinfo;; *avx2) grep -qw avx2 /proc/cpuinfo;; *) true;; esac; }
if [ "$1" = --same ]; then
    shift
    first=
    for p; do
        runs "$p" || continue
        sum=$("$p" --sum) || exit 1
        echo "$p $sum"
        [ -n "$first" ] || first=$sum
        [ "$sum" = "$first" ] || exit 1
    done
    exit 0
fi
runs "$1" || { echo "not on this processor"; echo "0 passed, 0 failed"; exit 0; }
exec "$@"
