//! The repository keeps its own rules: each rule of the code and of the documents is a test.
//!
//! A rule is a function from a file to what it finds wrong there, so that each rule is also shown a bad sample and must
//! find it: a rule that cannot fail guards nothing.

mod corners;
mod documents;
mod examples;
mod guarantees;
mod layers;
mod names;
mod refused;
mod semantics;
mod shapes;
mod source;
mod text;
mod tree;
