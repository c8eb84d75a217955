# Makes this machine ready to build Millstream. Sourced by ./run, ./test, ./bench and .ci/run; then call `prepare`.
# It installs what is missing, brings RocksDB into the cache, and exports what cargo needs to find both.

build_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$build_here/../.." && pwd)
. "$build_here/packages.sh"
. "$build_here/rocksdb.sh"

prepare() {
    find_cargo
    ensure_build_packages
    ensure_rocksdb
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$MILLSTREAM_CACHE/target}
}

find_cargo() {
    command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo >/dev/null || die "no cargo found: install Rust first, see https://rustup.rs"
    local wanted has
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repository/Cargo.toml")
    has=$(cd "$repository" && rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n%s\n' "$wanted" "$has" | sort -V | head -1)" = "$wanted" ] ||
        die "Rust $wanted or later is needed, this is $has: rustup update"
}
