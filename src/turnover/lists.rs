//! Lists of guests who came, went and stayed, in the form of a roster and every format.
//!
//! One reading of the rosters feeds all lists, each written by a thread of its own: the encoders take rows at their own
//! pace, and only so many batches wait. No list is put in place before all of them are whole.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use futures::future::try_join_all;

use super::{Question, TurnoverError};
use crate::dataset::changes::{Fate, Guest};
use crate::dataset::csv::CsvOptions;
use crate::dataset::error::RowsError;
use crate::dataset::{BATCH_ROWS, Encoded, Format, csv, parquet, schema};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::storage::destination::{Destination, Precondition, StagedFile};
use crate::storage::encode::{EncodeError, encode};
use crate::storage::path::RelativePath;

/// How many batches wait for an encoder.
const WAITING_BATCHES: usize = 2;

/// Where lists go, and which.
#[derive(Clone, Debug)]
pub struct ListSettings {
    /// The folder or store.
    pub place: Arc<dyn Destination>,
    /// In which formats.
    pub formats: Vec<Format>,
    /// Whether guests who stayed are listed too.
    pub kept: bool,
}

/// What feeds the lists; dropping it ends them.
pub(super) struct Lists {
    open: Vec<OpenList>,
}

/// A list that is being written.
struct OpenList {
    fate: Fate,
    columns: [StringBuilder; 4],
    rows: usize,
    encoders: Vec<SyncSender<RecordBatch>>,
}

/// A list that waits for its rows.
pub(super) struct ListFile {
    path: RelativePath,
    format: Format,
    rows: Receiver<RecordBatch>,
}

const FATES: [Fate; 3] = [Fate::Added, Fate::Removed, Fate::Kept];

const fn name_of(fate: Fate) -> &'static str {
    match fate {
        Fate::Added => "added",
        Fate::Removed => "gone",
        Fate::Kept => "kept",
    }
}

fn path_of(fate: Fate, question: &Question, format: Format) -> RelativePath {
    let (from, to) = (question.from.in_file_names(), question.to.in_file_names());
    RelativePath::known(format!("{}_{from}_{to}.{}", name_of(fate), format.name()))
}

/// Removes the lists of an earlier comparison of the same editions that this one has not written: beside its own they
/// would look like more of it.
pub(super) async fn remove_others(
    settings: &ListSettings,
    question: &Question,
    written: &[String],
) -> Result<(), TurnoverError> {
    for fate in FATES {
        for format in Format::ALL {
            let path = path_of(fate, question, format);
            if !written.contains(&path.to_string()) {
                settings.place.remove(&path).await?;
            }
        }
    }
    Ok(())
}

impl Lists {
    /// Opens the lists that are wanted, none without settings.
    pub(super) fn open(settings: Option<&ListSettings>, question: &Question) -> (Self, Vec<ListFile>) {
        let mut lists = Self { open: Vec::new() };
        let mut files = Vec::new();
        let Some(settings) = settings else { return (lists, files) };
        for fate in FATES {
            if fate == Fate::Kept && !settings.kept {
                continue;
            }
            let mut encoders = Vec::new();
            for format in settings.formats.iter().copied() {
                let (sender, rows) = sync_channel(WAITING_BATCHES);
                files.push(ListFile { path: path_of(fate, question, format), format, rows });
                encoders.push(sender);
            }
            let columns = std::array::from_fn(|_| StringBuilder::new());
            lists.open.push(OpenList { fate, columns, rows: 0, encoders });
        }
        (lists, files)
    }

    /// Adds a guest of a network to its list; breaks off if that can no longer be written.
    pub(super) fn add(
        &mut self,
        fate: Fate,
        period: BillingPeriod,
        network: NetworkId,
        guest: Guest<'_>,
    ) -> ControlFlow<()> {
        let Some(list) = self.open.iter_mut().find(|list| list.fate == fate) else {
            return ControlFlow::Continue(());
        };
        let [periods, networks, hashes, usernames] = &mut list.columns;
        periods.append_value(period.to_string());
        networks.append_value(network.as_str());
        hashes.append_value(guest.username_hash);
        usernames.append_option(guest.username);
        list.rows += 1;
        if list.rows < BATCH_ROWS { ControlFlow::Continue(()) } else { list.flush() }
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self) -> ControlFlow<()> {
        self.open.iter_mut().try_for_each(OpenList::flush)
    }
}

impl OpenList {
    fn flush(&mut self) -> ControlFlow<()> {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(schema::guest_roster(), columns).expect("the columns of a roster");
        for encoder in &self.encoders {
            if encoder.send(batch.clone()).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Lists that are whole and not in place yet.
pub(super) struct WrittenLists(Vec<(StagedFile, RelativePath)>);

/// Writes all lists to their ends.
pub(super) async fn write(
    settings: Option<&ListSettings>,
    files: Vec<ListFile>,
) -> Result<WrittenLists, TurnoverError> {
    let Some(settings) = settings else { return Ok(WrittenLists(Vec::new())) };
    let writing = files.into_iter().map(async |ListFile { path, format, rows }| {
        let written = encode(&*settings.place, &path, move |out| {
            let rows = rows.into_iter().map(Ok::<_, RowsError>);
            let roster = schema::guest_roster();
            let Encoded { .. } = match format {
                Format::Parquet => {
                    parquet::write(&roster, rows, &[schema::NETWORK_ID, schema::USERNAME_HASH], out)?
                }
                Format::Csv => csv::write(&roster, rows, CsvOptions::default(), out)?,
            };
            Ok(())
        });
        match written.await {
            Ok(file) => Ok((file.staged, path)),
            Err(EncodeError::Destination(error)) => Err(error.into()),
            Err(EncodeError::Encoder(error)) => Err(TurnoverError::Encode(error)),
        }
    });
    Ok(WrittenLists(try_join_all(writing).await?))
}

impl WrittenLists {
    /// Puts them in place, and returns their names.
    pub(super) async fn install(self, place: &dyn Destination) -> Result<Vec<String>, TurnoverError> {
        let mut names = Vec::with_capacity(self.0.len());
        for (staged, path) in self.0 {
            place.install(staged, &path, Precondition::Any).await?;
            names.push(path.to_string());
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::local;

    #[test]
    fn a_list_whose_encoder_has_given_up_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ListSettings { place: local(folder.path()), formats: vec![Format::Csv], kept: false };
        let edition = |text: &str| text.parse().unwrap();
        let question = Question {
            from: edition("2026-09"),
            to: edition("2026-10"),
            networks: std::collections::BTreeSet::new(),
        };
        let (mut lists, files) = Lists::open(Some(&settings), &question);
        drop(files);
        let guest = Guest { username_hash: "hash", username: None };
        let mut add = |fate| lists.add(fate, question.to.period, "12345678".parse().unwrap(), guest);
        for _ in 0..BATCH_ROWS * 2 {
            assert!(add(Fate::Kept).is_continue(), "nobody wants it");
        }
        let added = (1..=BATCH_ROWS).find(|_| add(Fate::Added).is_break());
        assert_eq!(added, Some(BATCH_ROWS));
    }
}
