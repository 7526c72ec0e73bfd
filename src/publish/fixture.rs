//! Publications to test with: real rosters, really encoded.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};

use super::error::PublishError;
use super::layout::{TaskKey, every_data_file};
use super::manifest::{Counts, CsvRecord, Program, RosterKind, RosterRecord, Source, SourceKind, Walk};
use super::publication::{CompareRosters, EncodedPart, Part, Publication, RosterChanges};
use super::publisher::{Outcome, Publisher, PublisherSettings};
use super::shrink::ShrinkLimit;
use super::summary::{AttemptedTask, Summary};
use crate::clock::SystemClock;
use crate::dataset::csv::CsvOptions;
use crate::dataset::error::RowsError;
use crate::dataset::{Dataset, Format, changes, csv, parquet, schema};
use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::period::PeriodState;
use crate::roster::{PseudonymKey, Roster, RosterMode, RosterOf};
use crate::storage::LockWait;
use crate::storage::destination::Destination;
use crate::storage::local::LocalDestination;

pub(crate) const BOTH: [Format; 2] = [Format::Parquet, Format::Csv];

/// What a test publishes; change a field to change the publication.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) task: TaskKey,
    pub(crate) guests: BTreeSet<u32>,
    pub(crate) mode: RosterKind,
    pub(crate) formats: Vec<Format>,
    pub(crate) csv: CsvOptions,
    pub(crate) source: SourceKind,
    pub(crate) state: PeriodState,
    pub(crate) allow_shrink: bool,
    pub(crate) checked_at: DateTime<Utc>,
}

impl Sample {
    pub(crate) fn new(guests: impl IntoIterator<Item = u32>) -> Self {
        Self {
            task: task("12345678", "2026-10"),
            guests: guests.into_iter().collect(),
            mode: RosterKind::Full,
            formats: BOTH.to_vec(),
            csv: CsvOptions { bom: false, formula_guard: true },
            source: SourceKind::Wickr,
            state: PeriodState::Closed,
            allow_shrink: false,
            checked_at: "2026-11-05T06:00:00Z".parse().unwrap(),
        }
    }

    pub(crate) fn of(mut self, task: TaskKey) -> Self {
        self.task = task;
        self
    }

    pub(crate) fn hours_later(mut self, hours: i64) -> Self {
        self.checked_at += TimeDelta::hours(hours);
        self
    }

    fn roster(&self) -> Roster {
        let mode = match self.mode {
            RosterKind::Full => RosterMode::Full,
            RosterKind::Pseudonymous => RosterMode::Pseudonymous(PseudonymKey::new([7; 32]).unwrap()),
            RosterKind::None => RosterMode::CountsOnly,
        };
        let guests = self.guests.iter().map(|guest| {
            // Every tenth name is one that a spreadsheet would run.
            let name = if guest % 10 == 0 { format!("=name{guest}") } else { format!("name{guest}") };
            (format!("hash{guest:08}"), name)
        });
        Roster::of_guests(RosterOf { network: self.task.network, period: self.task.period, mode }, guests)
    }

    pub(crate) fn publication(&self) -> Publication {
        let roster = self.roster();
        let with_csv = self.formats.contains(&Format::Csv);
        let CsvOptions { bom, formula_guard } = self.csv;
        Publication {
            program: Program { name: "wickr-guest-export".to_owned(), version: "0.1.0".to_owned() },
            source: Source {
                kind: self.source,
                endpoint: "https://admin.wickr.us-east-1.amazonaws.com".to_owned(),
                region: "us-east-1".to_owned(),
                aws_account_id: Some("111122223333".to_owned()),
                network_name: Some("=Acme".to_owned()),
            },
            period_state: self.state,
            content_sha256: roster.content_sha256(),
            roster: RosterRecord { mode: self.mode, key_id: roster.mode().key_id() },
            csv: with_csv.then_some(CsvRecord { bom, formula_guard }),
            counts: Counts {
                guests: roster.guests(),
                api_guests: Some(roster.guests()),
                reconciliation: Reconciliation::Match,
                confirmed_by: Some(ConfirmedBy::ControlTotal),
            },
            walk: self.walk(),
            checked_at: self.checked_at,
            allow_shrink: self.allow_shrink,
            parts: self.parts(&roster),
            compare: comparison(&roster),
        }
    }

    fn walk(&self) -> Walk {
        let rows = self.guests.len() as u64;
        Walk {
            strategy: "forward".to_owned(),
            walks: 1,
            pages: rows.div_ceil(100),
            rows,
            duplicates: 0,
            edge_repeats: 0,
            username_conflicts: 0,
            empty_usernames: 0,
            guarded_cells: 0,
            requests: rows.div_ceil(100) + 1,
            throttled: 0,
            retries: 0,
            resumed: false,
            stable: true,
            started_at: self.checked_at - TimeDelta::minutes(1),
            finished_at: self.checked_at,
        }
    }

    fn parts(&self, roster: &Roster) -> Vec<Part> {
        let wanted = every_data_file().filter(|(dataset, format)| {
            self.formats.contains(format)
                && (*dataset == Dataset::GuestCounts || self.mode != RosterKind::None)
        });
        let options = self.csv;
        wanted
            .map(|(dataset, format)| {
                let roster = roster.clone();
                let encode = move |out: &mut (dyn std::io::Write + Send)| {
                    let rows: Box<dyn Iterator<Item = Result<RecordBatch, RowsError>> + Send> = match dataset
                    {
                        Dataset::GuestCounts => Box::new(std::iter::once(Ok(roster.counts()))),
                        Dataset::GuestRoster => {
                            Box::new(roster.stream().unwrap().map(|batch| batch.map_err(RowsError::from)))
                        }
                    };
                    let encoded = match format {
                        Format::Parquet => {
                            parquet::write(&dataset.schema(), rows, dataset.sorting_columns(), out)?
                        }
                        Format::Csv => csv::write(&dataset.schema(), rows, options, out)?,
                    };
                    Ok(EncodedPart { rows: encoded.rows, guarded_cells: encoded.guarded_cells })
                };
                Part { dataset, format, encode: Box::new(encode) }
            })
            .collect()
    }

    /// Publishes the sample as one run would, and merges it into the summary.
    pub(crate) async fn run(&self, destination: Arc<dyn Destination>) -> Result<Outcome, PublishError> {
        let publisher = publisher(destination.clone());
        let lock = publisher.lock(self.task).await?;
        let outcome = publisher.publish(&lock, self.publication()).await;
        let attempted = AttemptedTask {
            task: self.task,
            period_state: self.state,
            aws_account_id: None,
            region: Some("us-east-1".to_owned()),
            network_name: None,
        };
        let merged = summary(destination).merge(&[attempted]).await;
        if outcome.is_ok() && merged.is_err() {
            tracing::warn!("the summary was not merged");
        }
        outcome
    }
}

fn comparison(roster: &Roster) -> Option<CompareRosters> {
    let new = roster.stream()?;
    Some(Box::new(move |file| {
        let counted = changes::count(parquet::read(file, &schema::guest_roster())?, new)?;
        Ok(RosterChanges { added: counted.added, removed: counted.removed })
    }))
}

pub(crate) fn task(network: &str, period: &str) -> TaskKey {
    TaskKey::new(network.parse().unwrap(), period.parse().unwrap())
}

pub(crate) fn local(root: &Path) -> Arc<dyn Destination> {
    Arc::new(LocalDestination::new(root.to_owned()))
}

pub(crate) fn publisher(destination: Arc<dyn Destination>) -> Publisher {
    let lock_wait = LockWait::of(Duration::from_secs(10));
    let settings = PublisherSettings { shrink: ShrinkLimit::default(), lock_wait };
    Publisher::new(destination, settings, Arc::new(SystemClock))
}

pub(crate) fn summary(destination: Arc<dyn Destination>) -> Summary {
    Summary::new(
        destination,
        CsvOptions { bom: false, formula_guard: true },
        LockWait::of(Duration::from_secs(10)),
    )
}
