//! What can be unusual.

use serde::{Deserialize, Serialize};

/// The kinds of anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// More errors than the service's own rate explains.
    ErrorBurst,
    /// More requests than usual.
    RateSpike,
    /// Fewer requests than usual, or none.
    RateDrop,
    /// Other latencies than usual.
    LatencyShift,
    /// Any other series than that of a whole service.
    Metric,
    /// A template never seen.
    NewTemplate,
    /// A template that was absent for a day.
    TemplateBack,
    /// Ten times as many lines of a template as usual.
    TemplateBurst,
    /// A value never seen of a field with few values.
    RareValue,
    /// A number far above all others.
    Outlier,
    /// Failed sign-ins from one address.
    BruteForce,
    /// Unknown users from one address.
    UserScan,
    /// A success after failures.
    Compromised,
    /// Paths that are not there, from one address.
    PathScan,
    /// What sshd itself calls so.
    BreakIn,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ErrorBurst,
        Self::RateSpike,
        Self::RateDrop,
        Self::LatencyShift,
        Self::Metric,
        Self::NewTemplate,
        Self::TemplateBack,
        Self::TemplateBurst,
        Self::RareValue,
        Self::Outlier,
        Self::BruteForce,
        Self::UserScan,
        Self::Compromised,
        Self::PathScan,
        Self::BreakIn,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorBurst => "error_burst",
            Self::RateSpike => "rate_spike",
            Self::RateDrop => "rate_drop",
            Self::LatencyShift => "latency_shift",
            Self::Metric => "metric",
            Self::NewTemplate => "new_template",
            Self::TemplateBack => "template_back",
            Self::TemplateBurst => "template_burst",
            Self::RareValue => "rare_value",
            Self::Outlier => "outlier",
            Self::BruteForce => "brute_force",
            Self::UserScan => "user_scan",
            Self::Compromised => "compromised",
            Self::PathScan => "path_scan",
            Self::BreakIn => "break_in",
        }
    }

    /// What it is about.
    pub fn category(self) -> &'static str {
        match self {
            Self::ErrorBurst
            | Self::RateSpike
            | Self::RateDrop
            | Self::LatencyShift
            | Self::Metric => "performance",
            Self::NewTemplate | Self::TemplateBack | Self::TemplateBurst => "templates",
            Self::RareValue | Self::Outlier => "values",
            Self::BruteForce
            | Self::UserScan
            | Self::Compromised
            | Self::PathScan
            | Self::BreakIn => "security",
        }
    }
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a line.
    Info,
    /// Worth a look.
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// That of a score.
    pub fn of(score: f64) -> Self {
        match score {
            score if score >= 0.8 => Self::Critical,
            score if score >= 0.5 => Self::Warning,
            _ => Self::Info,
        }
    }

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json_and_severities_follow_the_score() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
        }
        let found = [0.0, 0.49, 0.5, 0.79, 0.8, 1.0].map(Severity::of);
        use Severity::{Critical, Info, Warning};
        assert_eq!(found, [Info, Info, Warning, Warning, Critical, Critical]);
        assert_eq!(serde_json::to_string(&Warning).unwrap(), "\"warning\"");
    }
}
