//! The comparison: one set of workloads, run by several engines over the same records of the same broker.
//!
//! `./bench` starts a broker and calls the harness (`src/bin/bench.rs`), which makes the input once (`produce`), runs the
//! engines one after the other as child processes (`measure`), ends each when everything is committed (`finish`), compares
//! what they wrote (`results`) and prints and keeps the figures (`report`). The engine `bare` lives here; the engine
//! `kafka-streams` is a Maven project beside this folder.
//!
//! This package reads the clock of the machine: measuring is its purpose.

pub mod settings;
pub mod workload;
pub mod arguments;
pub mod invoice;
pub mod clock;
pub mod native;
pub mod cluster;
pub mod produce;
pub mod bare;
pub mod measure;
pub mod finish;
pub mod results;
pub mod engines;
pub mod report;
