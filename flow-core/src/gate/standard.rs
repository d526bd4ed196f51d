use std::fmt;

use serde::{Deserialize, Serialize};

/// The quality gates of the standard with its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandardGate {
    /// Requests answered well, in percent: above 99.9.
    Availability,
    /// Time without service during the run, in seconds: below 300.
    Downtime,
    /// Response time of key functions, in milliseconds: below 1,000.
    KeyFunction,
    /// Requests answered badly, in percent: below 0.1.
    ErrorRate,
    /// Page load time, in milliseconds: below 3,000.
    PageLoad,
    /// API response time, in milliseconds: below 500.
    ApiLatency,
    /// Database query time, in milliseconds: below 100.
    DatabaseQuery,
    /// Use of the machine's resources, in percent: below 80.
    ResourceUse,
}

impl StandardGate {
    /// All eight, in the standard's order.
    pub const ALL: [Self; 8] = [
        Self::Availability,
        Self::Downtime,
        Self::KeyFunction,
        Self::ErrorRate,
        Self::PageLoad,
        Self::ApiLatency,
        Self::DatabaseQuery,
        Self::ResourceUse,
    ];

    /// The limit, which itself no longer holds.
    #[must_use]
    pub const fn limit(self) -> f64 {
        match self {
            Self::Availability => 99.9,
            Self::Downtime => 300.0,
            Self::KeyFunction => 1000.0,
            Self::ErrorRate => 0.1,
            Self::PageLoad => 3000.0,
            Self::ApiLatency => 500.0,
            Self::DatabaseQuery => 100.0,
            Self::ResourceUse => 80.0,
        }
    }

    /// The unit of limit and value.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Availability | Self::ErrorRate | Self::ResourceUse => "%",
            Self::Downtime => "s",
            Self::KeyFunction | Self::PageLoad | Self::ApiLatency | Self::DatabaseQuery => "ms",
        }
    }

    /// Whether `value` keeps the gate. A value that is not a number never does.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        self.holds_against(value, self.limit())
    }

    /// Whether `value` keeps the gate with another `limit`.
    pub(crate) fn holds_against(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Availability => value > limit,
            _ => value < limit,
        }
    }
}

impl fmt::Display for StandardGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Availability => "availability",
            Self::Downtime => "downtime of the run",
            Self::KeyFunction => "key functions",
            Self::ErrorRate => "error rate",
            Self::PageLoad => "page load",
            Self::ApiLatency => "API response",
            Self::DatabaseQuery => "database query",
            Self::ResourceUse => "resource use",
        })
    }
}

/// A measured value for one of the standard's gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The gate.
    pub gate: StandardGate,
    /// The value, in the gate's unit.
    pub value: f64,
    /// How it was measured: over how many observations, from where.
    pub measured: String,
}
