# What Tide needs to be built and tested. Sourced, from the root of the repository:
#   tide_setup build [test] [check]   installs what is missing (Debian packages), or says what to install
#   tide_build DIR [CMAKE ARGUMENT]...   configures and builds there, quiet unless it fails

# package, then how its presence shows: a command, a header, a pkg-config module, or an option with which clang links
# (not every system is Debian)
tide_needs_build='gcc command:gcc
libc6-dev header:stdio.h
make command:make
cmake command:cmake
pkg-config command:pkg-config
lua5.4 command:lua5.4
liblua5.4-dev module:lua5.4'
tide_needs_test='libcmocka-dev header:cmocka.h
lua-busted command:busted
lua-check command:luacheck'
tide_needs_check='clang-format command:clang-format
cppcheck command:cppcheck
clang command:clang
libclang-rt-dev clang:-fsanitize=fuzzer,address
git command:git
lua-check command:luacheck'
# better with these; installed along with the others where the archive has them, never missed
tide_optional='libdnnl-dev libedit-dev zlib1g-dev libpng-dev libjpeg-dev lua-filesystem'
tide_optional_test='luarocks valgrind'

tide_present() {
    case $1 in
    command:*) command -v "${1#*:}" >/dev/null 2>&1 ;;
    module:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
    header:*) # asked of the compiler: headers also lie in /usr/include/x86_64-linux-gnu or /usr/local/include; some
              # (cmocka's) insist on others before them, so only the file is looked for
        printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "${1#*:}" |
            gcc -E -x c - >/dev/null 2>&1 ;;
    clang:*) echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang "${1#*:}" -x c -o /dev/null - >/dev/null 2>&1 ;;
    esac
}

tide_missing() { # prints the packages of the named lists that are not there
    for list; do
        eval "printf '%s\\n' \"\$tide_needs_$list\"" | while read -r package sign; do
            tide_present "$sign" || printf '%s ' "$package"
        done
    done
}

tide_setup() {
    missing=$(tide_missing "$@")
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "tide: missing: $missing(Debian's names); this system has no apt-get, please install them" >&2
        return 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true >/dev/null 2>&1; then
        as_root='sudo -n'
    else
        echo "tide: missing: $missing; neither root nor able to 'sudo -n'. Please run:" >&2
        echo "    sudo apt-get install --no-install-recommends $missing$tide_optional" >&2
        return 1
    fi
    echo "tide: installing $missing" >&2
    tide_apt update || echo "tide: the package lists could not be refreshed; trying with those at hand" >&2
    # shellcheck disable=SC2086 # a list of words
    tide_apt install $missing || { echo "tide: could not install: $missing" >&2; return 1; }
    case " $* " in *' test '*) tide_optional="$tide_optional $tide_optional_test" ;; esac
    for package in $tide_optional; do
        tide_apt install "$package" || echo "tide: going on without $package" >&2
    done
    missing=$(tide_missing "$@")
    [ -z "$missing" ] || { echo "tide: installed, but not found: $missing" >&2; return 1; }
}

tide_apt() { # only its errors are worth reading
    log=$(mktemp) || return 1
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "$@" >"$log" 2>&1 </dev/null
    status=$?
    [ $status = 0 ] || tail -n 20 "$log" >&2
    rm -f "$log"
    return $status
}

tide_build() {
    dir=$1
    shift
    mkdir -p "$dir" || return 1
    echo "tide: building in $dir/" >&2
    if ! { cmake -S . -B "$dir" "$@" && cmake --build "$dir" -j "$(nproc)"; } >"$dir/build.log" 2>&1; then
        tail -n 60 "$dir/build.log" >&2
        echo "tide: the build failed; all of it is in $dir/build.log" >&2
        return 1
    fi
    grep -i 'warning:' "$dir/build.log" >&2 || :
}
