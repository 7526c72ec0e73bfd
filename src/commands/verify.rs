//! `verify`: is what is published whole and unaltered?

use std::fmt::Write as _;

use serde::Serialize;

use super::places::{self, PlaceSettings};
use super::print;
use crate::cli::{SummaryFormat, VerifyArguments};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::verify::{VerificationFilter, VerificationReport, verify as read_everything};

pub(super) async fn verify(arguments: VerifyArguments) -> anyhow::Result<ExitStatus> {
    let mut filter =
        VerificationFilter { networks: arguments.network.into_iter().collect(), ..Default::default() };
    let now = SystemClock.now();
    for selector in &arguments.period {
        let selected =
            selector.select(now, arguments.settle_days).map_err(|error| UsageError(error.to_string()))?;
        filter.periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    let rosters = arguments.roster_url.as_deref();
    let output = places::open_output(&arguments.output, rosters, &PlaceSettings::default()).await?;
    let report = read_everything(output, &filter, now).await?;
    if rosters.is_none() && report.misses_rosters() {
        tracing::warn!("rosters are missing: if the job has output.roster_url, give it as --roster-url");
    }
    let exit = if report.is_clean() { ExitStatus::Success } else { ExitStatus::Untrusted };
    print(&match arguments.summary {
        SummaryFormat::Text => shown(&report, &arguments.output),
        SummaryFormat::Json => serde_json::to_string_pretty(&VerificationSummary {
            output: &arguments.output,
            exit_code: exit.code(),
            report: &report,
        })?,
    })?;
    Ok(exit)
}

/// What was verified, for programs.
#[derive(Serialize)]
struct VerificationSummary<'a> {
    output: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    report: &'a VerificationReport,
}

fn shown(report: &VerificationReport, output: &str) -> String {
    let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let totals = report.totals;
    let verdict = match lines.len() {
        0 => "whole and unaltered".to_owned(),
        1 => "1 finding".to_owned(),
        findings => format!("{findings} findings"),
    };
    let mut told = format!(
        "{output}: {verdict}. Read {} publications with {} guests, {} revisions, {} files, {} bytes of data",
        totals.publications, totals.guests, totals.revisions, totals.files, totals.bytes
    );
    if totals.purged > 0 {
        let _ = write!(told, "; the rosters of {} were purged", totals.purged);
    }
    if totals.without_rosters > 0 {
        let have = if totals.without_rosters == 1 { "has" } else { "have" };
        let _ = write!(told, "; {} {have} counts alone, as roster = \"none\" says", totals.without_rosters);
    }
    lines.push(told);
    lines.join("\n")
}
