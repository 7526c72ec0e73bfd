//! `report`: the page for people, and the summary made anew.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::places::{self, PlaceSettings};
use super::print;
use super::reconcile::mapping;
use crate::cli::{ReportArguments, SummaryFormat};
use crate::clock::{Clock as _, SystemClock};
use crate::dataset::csv::CsvOptions;
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::job::UsageError;
use crate::ledger::{Attempts, Ledger};
use crate::page::attention::{Attention, Trouble};
use crate::page::{NothingToShow, PageFacts, arrivals, file, make};
use crate::publish::summary::SummaryTotals;
use crate::publish::{SourceKind, Summary};
use crate::reconcile::comparison::Terms;
use crate::reconcile::invoice::Invoice;
use crate::reconcile::{months_of, reconcile as hold_against};
use crate::status::{StatusQuestion, without_effect};
use crate::storage::LockWait;

pub(super) async fn report(arguments: ReportArguments) -> anyhow::Result<ExitStatus> {
    let rosters = arguments.roster_url.as_deref();
    let output = places::open_output(&arguments.output, rosters, &PlaceSettings::default()).await?;
    let ledger = Ledger::read(&*output, |_| true).await?;
    NothingToShow::check(&ledger, &output.describe())?;
    let as_of = instant(arguments.as_of, &ledger)?;
    let question = StatusQuestion {
        periods: BTreeSet::new(),
        known: None,
        gone: arguments.gone.iter().copied().collect(),
        now: as_of,
        settle_days: arguments.settle_days,
    };
    question.check_gone(&ledger).map_err(|error| UsageError(error.to_string()))?;
    let mut made = Made {
        output: output.describe(),
        source_kind: ledger.source_kind(),
        gone_without_effect: question.gone_without_effect(&ledger),
        ..Made::default()
    };
    if arguments.rebuild_summary {
        let lock_wait = LockWait::of(arguments.lock_wait.0);
        let summary = Summary::new(Arc::clone(&output), csv_options(&ledger), lock_wait);
        let rebuilt = summary.merge(&[]).await;
        output.finish().await;
        let SummaryTotals { published, missing: tried } = rebuilt?;
        made.summary = Some(MadeSummary { published, tried, missing: question.missing(&ledger) });
    }
    if let Some(path) = arguments.html {
        let attempts = Attempts::read(&*output).await?;
        let comparison = match &arguments.invoice {
            Some(invoice) => {
                let invoice = Invoice::read(invoice, &mapping(arguments.mapping.as_deref())?)?;
                let terms = Terms {
                    periods: months_of(&invoice, as_of)?,
                    tolerance: arguments.tolerance.clone(),
                    price: None,
                    gone: question.gone.clone(),
                    now: as_of,
                    settle_days: arguments.settle_days,
                };
                Some(hold_against(&*output, ledger.clone(), &invoice, &terms).await?)
            }
            None => None,
        };
        let facts = PageFacts {
            output: &output.describe(),
            as_of,
            settle_days: arguments.settle_days,
            ledger: &ledger,
            told: &question.told(),
            attempts: &attempts,
            arrivals: &arrivals::compare(&output, &ledger, arguments.compare_rosters).await?,
            invoice: comparison.as_ref(),
        };
        let page = make(facts)?;
        file::replace(&path, &page.html)?;
        let publications = ledger.publications.len();
        let (warnings, notes) = (told(&page.attention, false), told(&page.attention, true));
        made.page = Some(MadePage {
            path,
            publications,
            months: page.months,
            networks: page.networks,
            warnings,
            notes,
        });
    }
    print(&match arguments.summary {
        SummaryFormat::Text => made.text(),
        SummaryFormat::Json => serde_json::to_string_pretty(&made)?,
    })?;
    Ok(ExitStatus::Success)
}

/// Returns the instant of the page. Of real months none is missing before its time.
fn instant(as_of: Option<DateTime<Utc>>, ledger: &Ledger) -> Result<DateTime<Utc>, UsageError> {
    let now = SystemClock.now();
    let is_real = ledger.publications.values().any(|manifest| manifest.source.kind == SourceKind::Wickr);
    match as_of {
        Some(as_of) if as_of > now && is_real => {
            Err(UsageError(format!("--as-of {as_of} lies in the future; name an earlier instant, or none")))
        }
        as_of => Ok(as_of.unwrap_or(now)),
    }
}

/// Writes the summary's CSV as the latest export wrote its own.
fn csv_options(ledger: &Ledger) -> CsvOptions {
    let written =
        ledger.publications.values().filter_map(|manifest| Some((manifest.exported_at, manifest.csv?)));
    let latest = written.max_by_key(|(exported_at, _)| *exported_at);
    latest.map_or(CsvOptions { bom: false, formula_guard: true }, |(_, csv)| CsvOptions {
        bom: csv.bom,
        formula_guard: csv.formula_guard,
    })
}

/// What was made, as it is told.
#[derive(Debug, Default, Serialize)]
struct Made {
    output: String,
    /// Whose numbers they are.
    source_kind: Option<SourceKind>,
    page: Option<MadePage>,
    summary: Option<MadeSummary>,
    /// Networks that are said to be gone, and that no month would miss if they were not.
    gone_without_effect: Vec<NetworkId>,
}

#[derive(Debug, Serialize)]
struct MadePage {
    path: PathBuf,
    publications: usize,
    months: usize,
    networks: usize,
    warnings: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MadeSummary {
    published: u64,
    /// Rows of what a run has tried and none has published.
    tried: u64,
    /// Numbers that closed months miss, as `status` finds them: no run need have tried them.
    missing: usize,
}

/// Writes what needs attention, a line each.
fn told(attention: &Attention, notes: bool) -> Vec<String> {
    let kinds = attention.iter().filter(|(trouble, _)| trouble.is_note() == notes);
    let lines = kinds.flat_map(|(trouble, matters)| {
        matters.iter().map(|matter| match matter.to_string() {
            text if text.is_empty() => trouble.title().to_owned(),
            text => format!("{}: {text}", trouble.title()),
        })
    });
    lines.collect()
}

impl Made {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.source_kind.and_then(SourceKind::caveat).map(str::to_owned));
        if let Some(MadeSummary { published, tried, missing }) = self.summary {
            let missing = match missing {
                0 => "no number of a closed month is missing".to_owned(),
                1 => "1 number of a closed month is missing, see status".to_owned(),
                missing => format!("{missing} numbers of closed months are missing, see status"),
            };
            lines.push(format!(
                "{}: summary made anew, {published} rows published, {tried} tried and never published; {missing}",
                self.output
            ));
        }
        if !self.gone_without_effect.is_empty() {
            lines.push(without_effect(&self.gone_without_effect.iter().copied().collect()));
        }
        if let Some(page) = &self.page {
            let warnings = page.warnings.iter().filter(|warning| *warning != Trouble::Simulated.title());
            lines.extend(warnings.map(|warning| format!("WARNING  {warning}")));
            lines.extend(page.notes.iter().map(|note| format!("note     {note}")));
            lines.push(format!(
                "{}: page of {} written: {}, {}, {}; {}",
                page.path.display(),
                self.output,
                counted(page.publications, "publication"),
                counted(page.months, "month"),
                counted(page.networks, "network"),
                counted(page.warnings.len(), "warning"),
            ));
        }
        lines.join("\n")
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
