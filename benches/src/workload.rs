//! Names of the workloads and guarantees, and of the topics an engine writes to.

use std::fmt;

use clap::ValueEnum;

/// What is done with the invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// JSON invoice parsed, those of at least 5,000.00 kept, number sent on.
    Stateless,
    /// Count per key.
    Count,
    /// Tumbling sum per key.
    Window,
    /// The application's topology, with its repartition topics.
    InvoiceTotals,
    /// Two streams of invoices: each pair of one client's that is close in time.
    JoinStreams,
    /// Each invoice with the row of its client.
    JoinTable,
    /// Sum per key and session.
    Session,
    /// A table of invoices by number, each with the row of its client.
    ForeignJoin,
}

impl Workload {
    /// All, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Stateless,
        Self::Count,
        Self::Window,
        Self::InvoiceTotals,
        Self::JoinStreams,
        Self::JoinTable,
        Self::Session,
        Self::ForeignJoin,
    ];

    /// How many clients its input has, where the plain one has so many: a join is of ten times as many, so that a
    /// record meets about one of the other stream, and a table has more rows than the record cache has room for.
    #[must_use]
    pub fn keys(self, plain: u64) -> u64 {
        match self {
            Self::Stateless | Self::Count | Self::Window | Self::InvoiceTotals | Self::Session => {
                plain
            }
            Self::JoinStreams | Self::JoinTable | Self::ForeignJoin => plain * 10,
        }
    }

    /// Whether it is measured against the hand-written loop, too. A join by hand would be a framework of its own.
    #[must_use]
    pub fn has_bare(self) -> bool {
        matches!(self, Self::Stateless | Self::Count | Self::Window | Self::InvoiceTotals)
    }

    /// The topics the results go to, for an engine that runs as `application`.
    #[must_use]
    pub fn outputs(self, application: &str) -> Vec<String> {
        match self {
            Self::InvoiceTotals => {
                vec![format!("{application}-totals-5s"), format!("{application}-totals-by-client")]
            }
            Self::Stateless
            | Self::Count
            | Self::Window
            | Self::JoinStreams
            | Self::JoinTable
            | Self::Session
            | Self::ForeignJoin => vec![format!("{application}-out")],
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stateless => "stateless",
            Self::Count => "count",
            Self::Window => "window",
            Self::InvoiceTotals => "invoice-totals",
            Self::JoinStreams => "join-streams",
            Self::JoinTable => "join-table",
            Self::Session => "session",
            Self::ForeignJoin => "foreign-join",
        })
    }
}

/// What an engine promises about each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Guarantee {
    /// Outputs first, offsets after.
    #[value(name = "at_least_once")]
    AtLeastOnce,
    /// Outputs and offsets in one transaction.
    #[value(name = "exactly_once")]
    ExactlyOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        })
    }
}
