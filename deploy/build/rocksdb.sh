# RocksDB for the build: fetched as RocksDB's own project publishes it, or compiled. Sourced, never run; ./rocksdb beside
# it is the command. Needs packages.sh and $repository.
#
# Why it is not left to cargo: it takes a quarter of an hour on two cores, and cargo would do it again for every profile
# and every clean target directory. See docs/adr/0004 and 0010.

locked_version() { sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$1"; }

# Exports ROCKSDB_LIB_DIR, and ROCKSDB_STATIC where it is compiled: the build script of librocksdb-sys reads both.
# MILLSTREAM_ROCKSDB=prebuilt or =compile decides; otherwise a directory given from outside is taken as it is, and
# without one the published library where there is one for this system.
ensure_rocksdb() {
    local version native mode=${MILLSTREAM_ROCKSDB:-} given=${ROCKSDB_LIB_DIR:-} library
    if [ -z "$mode" ] && [ -n "$given" ]; then
        take_rocksdb_from "$given"
        return
    fi
    version=$(locked_version "$repository/Cargo.lock")
    native=$(locked_version "$repository/state/native/Cargo.lock")
    [ -n "$version" ] || die "Cargo.lock names no librocksdb-sys"
    [ "$version" = "$native" ] ||
        die "librocksdb-sys is $version in Cargo.lock but $native in state/native/Cargo.lock: make them the same"
    case ${mode:-$(rocksdb_mode)} in
        prebuilt) library="$MILLSTREAM_CACHE/rocksdb-$version-prebuilt" ;;
        compile) library="$MILLSTREAM_CACHE/rocksdb-$version" ;;
        *) die "MILLSTREAM_ROCKSDB is '$mode': it can be 'prebuilt' or 'compile'" ;;
    esac
    [ -z "$given" ] || [ "$given" = "$library" ] ||
        say "ROCKSDB_LIB_DIR=$given is not used, since MILLSTREAM_ROCKSDB=$mode"
    case $library in
        *-prebuilt) once "$library" fetch_rocksdb "${version#*+}" ;;
        *) once "$library" compile_rocksdb "$version" ;;
    esac
    take_rocksdb_from "$library"
}

# What librocksdb-sys finds in a directory: a static library needs ROCKSDB_STATIC, a shared one must not have it.
take_rocksdb_from() {
    if [ -e "$1/librocksdb.so" ]; then
        unset ROCKSDB_STATIC
    elif [ -e "$1/librocksdb.a" ]; then
        export ROCKSDB_STATIC=1
    else
        die "neither librocksdb.so nor librocksdb.a is in ROCKSDB_LIB_DIR=$1"
    fi
    export ROCKSDB_LIB_DIR=$1
}

# RocksDB is published for Linux with glibc; the names of the files are its own.
rocksdb_file() {
    [ "$(uname -s)" = Linux ] || return 1
    getconf GNU_LIBC_VERSION >/dev/null 2>&1 || return 1
    case $(uname -m) in
        x86_64) echo librocksdbjni-linux64.so ;;
        aarch64) echo librocksdbjni-linux-aarch64.so ;;
        *) return 1 ;;
    esac
}

rocksdb_mode() { if rocksdb_file >/dev/null; then echo prebuilt; else echo compile; fi; }

# once DIRECTORY COMMAND ARGUMENT: the command makes DIRECTORY.part.PID, which appears as DIRECTORY by one rename after it
# has succeeded: nothing half-finished is ever taken for a whole, and two scripts never make it at once.
once() {
    local directory=$1 command=$2 argument=$3 lock part="$1.part.$$"
    [ ! -d "$directory" ] || return 0
    mkdir -p "$MILLSTREAM_CACHE"
    exec {lock}>"$MILLSTREAM_CACHE/rocksdb.lock"
    flock -n "$lock" || { say "waiting for another script that makes RocksDB ready"; flock "$lock"; }
    if [ ! -d "$directory" ]; then
        # Of scripts that were killed; nobody else makes it now.
        rm -rf "$directory".part.*
        mkdir "$part" || die "$part cannot be made"
        "$command" "$argument" "$part" "$directory" || { rm -rf "$part"; die "RocksDB is not ready"; }
        mv -T "$part" "$directory" || die "$part could not become $directory"
    fi
    exec {lock}>&-
}

# fetch_rocksdb VERSION PART DIRECTORY: the shared library out of RocksDB's artifact for Java, which exports the C API too.
#
# The program is linked with a stub that has the rocksdb_* functions alone and says where the library lies. Seen by the
# linker, the library would also give lz4, zstd and zlib to librdkafka, and take librdkafka's lz4 at run time.
fetch_rocksdb() {
    local version=$1 part=$2 directory=$3 file log="$MILLSTREAM_CACHE/rocksdb.log"
    file=$(rocksdb_file) || die "RocksDB is not published for this system ($(uname -sm)): MILLSTREAM_ROCKSDB=compile compiles it"
    ensure_maven "RocksDB"
    say "fetching RocksDB $version as its project publishes it (Maven, org.rocksdb:rocksdbjni, 90 MB once) into $directory"
    say "  so that it need not be compiled, which takes 16 minutes on two cores; MILLSTREAM_ROCKSDB=compile does that instead"
    # In a directory of its own: without a project, Maven leaves markers where it is called.
    mkdir "$part/maven" || return 1
    (cd "$part/maven" && mvn -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack \
        "-Dartifact=org.rocksdb:rocksdbjni:$version" "-Dmdep.unpack.includes=$file" "-DoutputDirectory=$part") \
        >"$log" 2>&1 || { tail -20 "$log" >&2; die "Maven could not fetch RocksDB, see $log; MILLSTREAM_ROCKSDB=compile needs no Maven"; }
    rm -r "$part/maven"
    is_what_was_published "$part" "$file" || return 1
    stub_of "$part/$file" "$directory/$file" "$part/librocksdb.so"
}

is_what_was_published() {
    local part=$1 file=$2 wanted
    wanted=$(grep " $file\$" "$build_here/rocksdb-prebuilt.sha256") || die "rocksdb-prebuilt.sha256 does not name $file"
    (cd "$part" && printf '%s\n' "$wanted" | sha256sum --check --status) && return 0
    say "$file has another checksum than deploy/build/rocksdb-prebuilt.sha256 says: it is another release, or not RocksDB's"
    return 1
}

# stub_of LIBRARY SONAME STUB: a shared library with the functions of the C API of LIBRARY and no code.
stub_of() {
    nm -D --defined-only "$1" | awk '$3 ~ /^rocksdb_/ { print "void " $3 "(void) {}" }' |
        cc -x c -shared -nostdlib -fPIC "-Wl,-soname,$2" -o "$3" -
}

# compile_rocksdb VERSION PART DIRECTORY; what an interrupted build has compiled is used by the next.
compile_rocksdb() {
    local version=$1 part=$2 directory=$3 tree="$MILLSTREAM_CACHE/native-build" log="$MILLSTREAM_CACHE/rocksdb.log"
    local monitor status=0 found
    say "compiling RocksDB (librocksdb-sys $version) once into $directory: about 16 minutes on two cores, log in $log"
    show_progress "$tree" $$ &
    monitor=$!
    env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC -u RUSTFLAGS CARGO_TARGET_DIR="$tree" \
        cargo build --locked --manifest-path "$repository/state/native/Cargo.toml" >"$log" 2>&1 || status=$?
    kill "$monitor" 2>/dev/null || true
    [ $status = 0 ] || { tail -20 "$log" >&2; die "compiling RocksDB failed, see $log"; }
    found=$(find "$tree" -path '*librocksdb-sys-*/out/librocksdb.a' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d ' ' -f 2-)
    [ -n "$found" ] || die "cargo succeeded but no librocksdb.a is below $tree"
    # Said here: behind `||` the shell does not end at an error by itself, and a library that was cut off must not be taken.
    cp "$found" "$part/librocksdb.a" || die "librocksdb.a could not be copied into $part: is the disk full?"
    rm -rf "$tree"
    say "RocksDB is ready: $directory/librocksdb.a"
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
