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
}

impl Workload {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Stateless, Self::Count, Self::Window, Self::InvoiceTotals];

    /// The topics the results go to, for an engine that runs as `application`.
    #[must_use]
    pub fn outputs(self, application: &str) -> Vec<String> {
        match self {
            Self::Stateless | Self::Count | Self::Window => vec![format!("{application}-out")],
            Self::InvoiceTotals => {
                vec![format!("{application}-totals-5s"), format!("{application}-totals-by-client")]
            }
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
