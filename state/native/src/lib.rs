//! Empty on purpose: this package exists for what its dependency compiles (see Cargo.toml).
