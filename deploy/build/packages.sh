# What the scripts need from the system, installed by apt when it is missing. Sourced, never run.
# Nothing is installed without saying so, and root is asked for only at that moment.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The cache outside the checkout: compiled RocksDB, Kafka's jars, the default target directory.
MILLSTREAM_CACHE=${MILLSTREAM_CACHE:-$HOME/.cache/millstream}

apt_updated=no
apt_update_once() {
    [ "$apt_updated" = yes ] && return 0
    apt_get update
    apt_updated=yes
}

# apt's own words go to a log, and onto the screen only when it fails.
apt_get() {
    local log="$MILLSTREAM_CACHE/apt.log"
    mkdir -p "$MILLSTREAM_CACHE"
    as_root apt-get "$@" >"$log" 2>&1 || { tail -20 "$log" >&2; die "apt-get $* failed, see $log"; }
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    else
        die "root is needed for: $*"
    fi
}

# install_packages WHY PACKAGE...
install_packages() {
    local why=$1
    shift
    command -v apt-get >/dev/null ||
        die "missing for $why: $* (Debian's names; this system has no apt-get, please install them yourself)"
    say "missing for $why: installing by apt (as root): $*"
    apt_update_once
    apt_get install -y --no-install-recommends "$@"
}

# first_available PACKAGE...: the first that apt knows; fresh machines have empty package lists.
first_available() {
    local name
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    return 1
}

# C and C++ compilers, make, pkg-config, zlib and OpenSSL for librdkafka; libclang and its headers for the bindings of
# RocksDB. OpenSSL is the system's and linked dynamically, so that its security updates arrive with the system's.
ensure_build_packages() {
    local missing=()
    { command -v cc && command -v c++ && command -v make; } >/dev/null || missing+=(build-essential)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    [ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
    has_openssl || missing+=(libssl-dev)
    [ ${#missing[@]} = 0 ] || install_packages "the build" "${missing[@]}"
    has_libclang || install_libclang
}

# What openssl-sys looks for: a directory given from outside, or what pkg-config knows.
has_openssl() { [ -n "${OPENSSL_DIR:-}${OPENSSL_LIB_DIR:-}" ] || pkg-config --exists openssl 2>/dev/null; }

# bindgen loads libclang at run time and needs the compiler's own headers (stddef.h) of the same version.
has_libclang() {
    local library version
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for library in /usr/lib/llvm-*/lib/libclang*.so*; do
        [ -e "$library" ] || continue
        version=${library#/usr/lib/llvm-}
        version=${version%%/*}
        compgen -G "/usr/lib/llvm-$version/lib/clang/*/include/stddef.h" >/dev/null && return 0
        compgen -G "/usr/lib/clang/$version*/include/stddef.h" >/dev/null && return 0
    done
    return 1
}

install_libclang() {
    command -v apt-get >/dev/null || die "missing for the build: libclang and its headers"
    apt_update_once
    local version
    version=$(apt-cache depends libclang1 2>/dev/null | grep -o 'libclang1-[0-9]*' | head -1)
    if [ -n "$version" ]; then
        install_packages "the bindings of RocksDB" "$version" "libclang-common-${version#libclang1-}-dev"
    else
        install_packages "the bindings of RocksDB" libclang-dev
    fi
}

# Java 17 or later and Maven: only for a local Kafka.
ensure_java_packages() {
    local missing=() java
    if ! has_java_17; then
        command -v apt-get >/dev/null || die "missing for a local Kafka: Java 17 or later"
        apt_update_once
        java=$(first_available openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless) ||
            die "missing for a local Kafka: Java 17 or later, and apt knows none"
        missing+=("$java")
    fi
    command -v mvn >/dev/null || missing+=(maven)
    [ ${#missing[@]} = 0 ] || install_packages "a local Kafka" "${missing[@]}"
}

# ensure_maven WHY: apt brings a Java with it.
ensure_maven() { command -v mvn >/dev/null || install_packages "$1" maven; }

ensure_valgrind() { command -v valgrind >/dev/null || install_packages "counting instructions" valgrind; }

has_java_17() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
    [ "${version:-0}" -ge 17 ]
}
