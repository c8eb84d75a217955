//! The topologies of the recording, each written once with the public DSL.
//!
//! Keys and values of a case may be null where its inputs hold nulls; the types say so.

mod foreign;
mod grouped;
mod invoices;
mod joins;
mod processors;
mod stateless;
mod suppress;
mod tables;
mod versions;
mod windows;

use anyhow::Result;
use millstream::Topology;

use crate::check::{Contents, Output};

/// A topology and how what comes of it is read.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) topology: fn() -> Result<Topology>,
    pub(crate) outputs: &'static [(&'static str, Output)],
    /// Stores by name, with the kind that the recording calls them.
    pub(crate) stores: &'static [(&'static str, &'static str, Contents)],
}

/// The case of this name, if it is written.
pub(crate) fn find(name: &str) -> Option<&'static Case> {
    let all = [
        stateless::CASES,
        suppress::CASES,
        tables::CASES,
        joins::CASES,
        foreign::CASES,
        grouped::CASES,
        versions::CASES,
        windows::CASES,
        processors::CASES,
        invoices::CASES,
    ];
    all.into_iter().flatten().find(|case| case.name == name)
}
