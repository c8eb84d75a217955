# Makes this machine ready to build Millstream. Sourced by ./run, ./test, ./bench and .ci/run; then call `prepare`.
# It installs what is missing, compiles RocksDB once into the cache, and exports what cargo needs to find both.
#
# Why RocksDB is not left to cargo: it takes a quarter of an hour on two cores, and cargo would do it again for every
# profile and every clean target directory. See docs/adr.

build_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$build_here/../.." && pwd)
. "$build_here/packages.sh"

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

locked_version() { sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$1"; }

# Exports ROCKSDB_LIB_DIR and ROCKSDB_STATIC, which the build script of librocksdb-sys reads.
# A directory given from outside is taken as it is.
ensure_rocksdb() {
    local version native library lock
    version=$(locked_version "$repository/Cargo.lock")
    native=$(locked_version "$repository/state/native/Cargo.lock")
    [ -n "$version" ] || die "Cargo.lock names no librocksdb-sys"
    [ "$version" = "$native" ] ||
        die "librocksdb-sys is $version in Cargo.lock but $native in state/native/Cargo.lock: make them the same"
    export ROCKSDB_STATIC=1
    if [ -n "${ROCKSDB_LIB_DIR:-}" ]; then
        [ -e "$ROCKSDB_LIB_DIR/librocksdb.a" ] || die "no librocksdb.a in ROCKSDB_LIB_DIR=$ROCKSDB_LIB_DIR"
        return
    fi
    library="$MILLSTREAM_CACHE/rocksdb-$version"
    if [ ! -d "$library" ]; then
        mkdir -p "$MILLSTREAM_CACHE"
        exec {lock}>"$MILLSTREAM_CACHE/rocksdb.lock"
        flock -n "$lock" || { say "waiting for another compilation of RocksDB"; flock "$lock"; }
        [ -d "$library" ] || compile_rocksdb "$version" "$library"
        exec {lock}>&-
    fi
    export ROCKSDB_LIB_DIR=$library
}

# The directory appears by one rename after cargo has succeeded: a half-finished build is never taken for a whole one,
# and what an interrupted build has compiled is used by the next.
compile_rocksdb() {
    local version=$1 library=$2 tree="$MILLSTREAM_CACHE/native-build" log="$MILLSTREAM_CACHE/rocksdb.log"
    local part="$library.part.$$" monitor status=0 found
    say "compiling RocksDB (librocksdb-sys $version) once into $library: about 16 minutes on two cores, log in $log"
    show_progress "$tree" $$ &
    monitor=$!
    env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC -u RUSTFLAGS CARGO_TARGET_DIR="$tree" \
        cargo build --locked --manifest-path "$repository/state/native/Cargo.toml" >"$log" 2>&1 || status=$?
    kill "$monitor" 2>/dev/null || true
    [ $status = 0 ] || { tail -20 "$log" >&2; die "compiling RocksDB failed, see $log"; }
    found=$(find "$tree" -path '*librocksdb-sys-*/out/librocksdb.a' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d ' ' -f 2-)
    [ -n "$found" ] || die "cargo succeeded but no librocksdb.a is below $tree"
    rm -rf "$part"
    mkdir "$part"
    cp "$found" "$part/librocksdb.a"
    mv -T "$part" "$library"
    rm -rf "$tree"
    say "RocksDB is ready: $library/librocksdb.a"
}

# A line a minute: silence for a quarter of an hour looks like a hang. Ends with the script that started it.
show_progress() {
    local tree=$1 script=$2 seconds=0 files
    while kill -0 "$script" 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        [ $((seconds % 60)) = 0 ] || continue
        files=$(find "$tree" -path '*librocksdb-sys-*/out/*.o' 2>/dev/null | wc -l)
        say "  RocksDB: $files of about 345 files after $((seconds / 60)) min"
    done
}
