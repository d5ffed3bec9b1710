# Functions that packaging/try and packaging/check share. Sourced, with $root set to the top of the
# sources.
# shellcheck shell=sh
# shellcheck disable=SC2154 # root

say() { printf '%s\n' "$*"; }

# setup_quietly LOG COMMAND...: appends what the command says to LOG, and shows its end on failure.
setup_quietly() {
    setup_log=$1
    shift
    "$@" >>"$setup_log" 2>&1 </dev/null && return 0
    say "failed: $*"
    tail -n 60 "$setup_log"
    say "(all of it: $setup_log)"
    return 1
}

# setup_packages PACKAGE...: installs those of Debian's packages that are missing.
setup_packages() {
    setup_missing=
    for setup_name; do
        # shellcheck disable=SC2016 # dpkg-query expands it
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$setup_name" 2>/dev/null)" = installed ] ||
            setup_missing="$setup_missing $setup_name"
    done
    [ -n "$setup_missing" ] || return 0
    say "installing:$setup_missing"
    mkdir -p "$root/build"
    setup_quietly "$root/build/packages.log" apt-get -qq update || return 1
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive setup_quietly "$root/build/packages.log" \
        apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install $setup_missing
}

# Writes configure where it is missing or older than what it is made from.
setup_configure() {
    [ -n "$(find "$root/configure" -newer "$root/configure.ac" -newer "$root/Makefile.am" \
        -newer "$root/packaging/m4/nsp_flags.m4" 2>/dev/null)" ] ||
        (cd "$root" && setup_quietly "$root/build/autoreconf.log" autoreconf -fi)
}

# setup_build NAME ARGUMENTS...: configures and builds in $root/NAME, anew when ARGUMENTS differ from
# the last time's.
setup_build() {
    tree=$root/$1
    shift
    mkdir -p "$tree" "$root/build"
    setup_configure || return 1
    : >"$tree/build.log"
    if [ ! -f "$tree/Makefile" ] || [ "$(cat "$tree/.arguments" 2>/dev/null)" != "$*" ]; then
        (cd "$tree" && setup_quietly build.log ../configure --with-cjson-prefix="$root/build/deps" "$@") || return 1
        say "$*" >"$tree/.arguments"
    fi
    (cd "$tree" && setup_quietly build.log make -j"$(nproc)")
}

# setup_strip PROGRAM...: moves the debugging information of each into PROGRAM.debug. setup_tools:
# what the names of another machine's tools begin with.
setup_strip() {
    for program; do
        [ -n "$("${setup_tools:-}nm" "$program" 2>/dev/null)" ] || continue
        "${setup_tools:-}objcopy" --only-keep-debug "$program" "$program.debug"
        "${setup_tools:-}strip" "$program"
        "${setup_tools:-}objcopy" --add-gnu-debuglink="$program.debug" "$program"
    done
}

# setup_release ARGUMENTS...: build/nullspace-agent and build/nsctl are there afterwards.
setup_release() {
    "$root/packaging/install-dependencies" "$root/build/deps" || return 1
    setup_build build "$@" || return 1
    setup_strip "$root/build/nullspace-agent" "$root/build/nsctl"
}
