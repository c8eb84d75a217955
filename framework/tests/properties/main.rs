//! Properties of whole topologies, on records that look like chance: a restart, an abort, a record cache and the number
//! of partitions change nothing that anybody may rely on.

#[cfg(test)]
mod world;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod tables;
