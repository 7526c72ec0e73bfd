//! The status as people read it: the periods, the networks of each, what is wrong, and all of it in a sentence.

use std::collections::BTreeSet;
use std::fmt;

use super::{NetworkStatus, PeriodStatus, Problem, Status, Tally};
use crate::guest::NetworkId;
use crate::ledger::named;
use crate::period::{MAX_SELECTED_PERIODS, PeriodState};
use crate::publish::SourceKind;
use crate::report::{Alignment, laid_out};

/// Says that networks are said to be gone that nobody would miss.
#[must_use]
pub fn without_effect(gone: &BTreeSet<NetworkId>) -> String {
    format!(
        "--gone without effect: {} missed in no month after the last one that is published; check the id, or leave it out",
        named(gone)
    )
}

impl Status {
    /// Lays it out as text. What closed periods wait for is told only to whoever wanted them closed.
    #[must_use]
    pub fn table(&self, with_awaited: bool) -> String {
        let mut parts = Vec::new();
        if let Some(caveat) = self.source_kind.and_then(SourceKind::caveat) {
            parts.push(caveat.to_owned());
            parts.push(String::new());
        }
        if !self.periods.is_empty() {
            parts.push(self.period_grid());
            parts.push(String::new());
        }
        if self.periods.iter().any(|period| !period.networks.is_empty()) {
            parts.push(self.network_grid());
            parts.push(String::new());
        }
        for period in &self.periods {
            parts.extend(period.remarks(with_awaited));
        }
        if !self.never_published.is_empty() {
            let networks = self.never_published.iter().copied().collect();
            parts.push(format!("never published: {} known and published for no month", named(&networks)));
        }
        if !self.gone_without_effect.is_empty() {
            let networks = self.gone_without_effect.iter().copied().collect();
            parts.push(without_effect(&networks));
        }
        parts.push(format!("{}: {}", self.output, self.conclusion));
        parts.join("\n")
    }

    fn period_grid(&self) -> String {
        use Alignment::{Left, Right};
        let columns = [
            ("PERIOD", Left),
            ("STATE", Left),
            ("PUBLISHED", Right),
            ("EXPECTED", Right),
            ("GUESTS", Right),
            ("AWS HISTORY", Right),
            ("MARKED CLOSED", Left),
        ];
        let rows = self.periods.iter().map(|period| {
            let closed_at = match (&period.closed, &period.closed_problem) {
                (Some(closed), _) => closed.closed_at.format("%FT%TZ").to_string(),
                (None, Some(_)) => "damaged".to_owned(),
                (None, None) => "-".to_owned(),
            };
            [
                period.billing_period.to_string(),
                period.period_state.to_string(),
                period.published.to_string(),
                period.expected.to_string(),
                period.guests.to_string(),
                period.history(),
                closed_at,
            ]
        });
        laid_out(columns, rows)
    }

    fn network_grid(&self) -> String {
        use Alignment::{Left, Right};
        let columns = [
            ("PERIOD", Left),
            ("STATE", Left),
            ("NETWORK", Left),
            ("PUBLISHED AS", Left),
            ("GUESTS", Right),
            ("CONFIRMED BY", Left),
            ("REVISION", Right),
            ("CHECKED AT", Left),
            ("AWS HISTORY", Right),
            ("STATUS", Left),
        ];
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let rows = self.periods.iter().flat_map(|period| {
            period.networks.iter().map(move |network| {
                [
                    period.billing_period.to_string(),
                    period.period_state.to_string(),
                    network.network_id.to_string(),
                    or_none(network.published_as.map(|state| state.to_string())),
                    or_none(network.guests.map(|guests| guests.to_string())),
                    or_none(network.confirmed_by.map(|confirmed| confirmed.as_str().to_owned())),
                    or_none(network.revision.map(|revision| revision.to_string())),
                    or_none(network.checked_at.map(|checked| checked.format("%FT%TZ").to_string())),
                    period.history(),
                    network.word(period.period_state),
                ]
            })
        });
        laid_out(columns, rows)
    }
}

impl PeriodStatus {
    fn history(&self) -> String {
        match self.history_days_left {
            0.. => format!("{} days", self.history_days_left),
            _ => "over".to_owned(),
        }
    }

    /// Says what is wrong, or has changed, a line each.
    fn remarks(&self, with_awaited: bool) -> Vec<String> {
        let period = self.billing_period;
        let mut lines = Vec::new();
        if self.is_gap {
            lines.push(format!(
                "gap: {period}: nothing is published for it, though for months before and after"
            ));
        }
        for network in &self.networks {
            let matters =
                self.period_state == PeriodState::Closed || network.problems.contains(&Problem::Damaged);
            if let (true, Some(message)) = (matters, &network.message) {
                let word = network.word(self.period_state);
                lines.push(format!("{word}: {}/{period}: {message}", network.network_id));
            }
        }
        if let Some(problem) = &self.closed_problem {
            lines.push(format!("damaged: the closing of {period} {problem}"));
        }
        if let Some(closed) = &self.closed {
            for (networks, what) in
                [(&closed.restated_since, "restated"), (&closed.added_since, "published for the first time")]
            {
                if !networks.is_empty() {
                    let networks = named(&networks.iter().copied().collect());
                    lines.push(format!("since {period} was marked closed: {networks} {what}"));
                }
            }
        }
        if let (true, Some(awaited)) = (with_awaited, &self.awaited) {
            lines.push(format!("not marked closed: {period}: {awaited}"));
        }
        lines
    }
}

impl NetworkStatus {
    fn word(&self, state: PeriodState) -> String {
        match &self.problems[..] {
            [] => "ok".to_owned(),
            [Problem::Missing] if state != PeriodState::Closed => "not yet".to_owned(),
            problems => problems.iter().map(|problem| problem.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let mut findings: Vec<String> = [
            counted(
                self.missing,
                "number of a closed month is missing",
                "numbers of closed months are missing",
            ),
            counted(
                self.stale,
                "number is from before its month had closed",
                "numbers are from before their months had closed",
            ),
            counted(
                self.mismatched,
                "number is contradicted by AWS's count",
                "numbers are contradicted by AWS's counts",
            ),
            counted(self.damaged, "document is damaged", "documents are damaged"),
            counted(self.waiting, "month could not be marked closed", "months could not be marked closed"),
        ]
        .into_iter()
        .flatten()
        .collect();
        findings.extend(
            self.unpublished_periods.iter().map(|period| format!("nothing is published for {period}")),
        );
        if findings.is_empty() {
            return match self.closed_periods {
                0 => {
                    formatter.write_str("no month has closed yet, and nothing contradicts what is published")
                }
                1 => {
                    formatter.write_str("the closed month has all its numbers, and nothing contradicts them")
                }
                months => write!(
                    formatter,
                    "the {months} closed months have all their numbers, and nothing contradicts them"
                ),
            };
        }
        formatter.write_str(&findings.join(", "))?;
        if (1..=MAX_SELECTED_PERIODS).contains(&self.months_to_export) {
            let day = self.simulated_day.map(|day| format!(" --as-of {}", day.format("%FT%TZ")));
            write!(
                formatter,
                "; `run --period missing:{}{}` exports what is not there",
                self.months_to_export,
                day.unwrap_or_default()
            )?;
        }
        if self.damaged > 0 {
            formatter.write_str("; `verify` says what to restore")?;
        }
        Ok(())
    }
}
