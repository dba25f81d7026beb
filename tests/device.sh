#!/bin/sh
# What needs a GPU. `sh tests/device.sh probe [OUT.json]` asks the one that is there what it answers and how fast it is
# (under 5 minutes; needs nvcc, not Tide; PyTorch's times are added where python3 has torch).
# The exit status is 0, or 3 where there is no GPU driver.
here=$(cd "$(dirname "$0")" && pwd) || exit 1

usage() {
    echo 'usage: sh tests/device.sh probe [OUT.json]   record what the GPU answers (default: build/probe.json)'
}

probe() {
    out=${1:-$here/../build/probe.json}
    nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) || {
        echo 'device.sh: no nvcc on the PATH' >&2
        return 1
    }
    toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
    libraries=$toolkit/lib64:$toolkit/targets/$(uname -m)-linux/lib
    include=
    if [ ! -e "$toolkit/include/cublasLt.h" ] || [ ! -e "$toolkit/include/nvrtc.h" ]; then
        # a bare compiler: PyTorch's wheels bring the libraries, with their headers
        wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)/cu13
        include=-I$wheels/include
        libraries=$libraries:$wheels/lib
    fi
    mkdir -p "$(dirname "$out")" || return 1
    work=$(mktemp -d) || return 1
    # an RPATH, not LD_LIBRARY_PATH: PyTorch, which the probe starts, brings its own libraries
    # shellcheck disable=SC2086 # $include is one word or none
    if "$nvcc" -O2 -arch=sm_90 $include -o "$work/probe" "$here"/device/probe*.c -ldl -lm -lpthread \
        -Xlinker --disable-new-dtags -Xlinker -rpath -Xlinker "$libraries"; then
        "$work/probe" "$out" "$here/device/torch_rows.py"
        status=$?
        case $status in
        0 | 3) echo "device.sh: wrote $out" ;;
        esac
    else
        status=1
    fi
    rm -rf "$work"
    return $status
}

case $1 in
probe)
    shift
    probe "$@"
    ;;
'')
    usage
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
