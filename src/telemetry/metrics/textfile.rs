//! Metrics in a file for the textfile collector of Prometheus's node exporter.
//!
//! The file is replaced as a whole, by renaming, so a reader sees the old one or the new one. What this run does not
//! state is therefore read from the old file first and written again: the series of this job, of metrics whose values
//! stand, and only if they are exactly what this program writes. Whatever else stands there is not believed, as one
//! bad line would make the collector refuse the file. Two runs of one job at the same instant could lose the success
//! of one of them, until the next; they already work one after the other on each task, and a lock for the rest would
//! be another file in a folder that belongs to others.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::catalogue::{JOB_LABEL, METRICS, Metric, NETWORK_LABEL, PERIOD_LABEL};
use super::{Sample, encode};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// Everybody may read it: the node exporter runs as another user, and nothing in it is personal.
const FILE_MODE: u32 = 0o644;
/// The longest old file that is read. Of 200 networks in 120 periods, the series take 3 MB.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Why metrics were not written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct TextfileError {
    path: PathBuf,
    reason: io::Error,
}

/// Replaces the metrics of a job; what its samples do not state stays as it was.
///
/// # Errors
/// [`TextfileError`]; the old file is then still there, and whole.
pub fn replace(path: &Path, job: &str, samples: &[Sample]) -> Result<(), TextfileError> {
    let failed = |reason| TextfileError { path: path.to_owned(), reason };
    if path.extension().is_none_or(|extension| extension != "prom") {
        tracing::warn!(file = %path.display(), "the textfile collector reads only files whose name ends in .prom");
    }
    let mut all = samples.to_vec();
    match old_text(path) {
        Ok(Some(text)) => all.extend(standing(&text, job, samples)),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "old metrics not readable, what stood there is lost");
        }
    }
    write(path, &encode(job, &all)).map_err(failed)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A name that no collector reads, should the program die before it is renamed.
    let mut file = tempfile::Builder::new()
        .prefix(".wickr-guest-export-")
        .suffix(".tmp")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
    // Else a loss of power could leave the new name with nothing in it.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads what is there; never a pipe, which would block, nor more than metrics can take up.
fn old_text(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(io::Error::other("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is longer than metrics can be"));
    }
    Ok(Some(text))
}

/// Picks out of an old file the samples of a job that still stand beside those that are stated anew.
///
/// Of a metric all series are kept, or none if one of them is not what this program writes.
fn standing(text: &str, job: &str, stated: &[Sample]) -> Vec<Sample> {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for metric in METRICS.into_iter().filter(|metric| metric.stands) {
        if stated.iter().any(|sample| sample.metric == metric) {
            continue;
        }
        let lines = text.lines().filter_map(|line| line.strip_prefix(metric.name)?.strip_prefix('{'));
        let samples: Option<Vec<Sample>> = lines.map(|series| sample(metric, job, series)).collect();
        let is_unique = |samples: &Vec<Sample>| {
            let series: BTreeSet<_> = samples.iter().map(|sample| &sample.labels).collect();
            series.len() == samples.len()
        };
        match samples.filter(is_unique) {
            Some(samples) => kept.extend(samples),
            None => dropped.push(metric.name),
        }
    }
    if !dropped.is_empty() {
        let metrics = dropped.join(",");
        tracing::warn!(
            metrics,
            "old metrics are another job's or not as this program writes them, they are dropped"
        );
    }
    kept
}

/// Reads what follows the name and the brace of a series: `name="value",…} value`.
fn sample(metric: &'static Metric, job: &str, series: &str) -> Option<Sample> {
    let mut labels = Vec::new();
    let mut rest = series;
    let value = loop {
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.push((name, value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => break after.strip_prefix("} ")?,
        }
    };
    let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    let mut labels = labels.into_iter();
    if labels.next()? != (JOB_LABEL, job.to_owned()) {
        return None;
    }
    let mut allowed = metric.labels.iter();
    let known = labels.map(|(name, value)| {
        // In the order of the catalogue, with some left out.
        let name = *allowed.find(|allowed| **allowed == name)?;
        let is_sound = match name {
            NETWORK_LABEL => value.parse::<NetworkId>().is_ok(),
            PERIOD_LABEL => value.parse::<BillingPeriod>().is_ok(),
            _ => false,
        };
        is_sound.then_some((name, value))
    });
    Some(Sample { metric, labels: known.collect::<Option<_>>()?, value })
}

/// Reads a label's value up to the quote that ends it, and returns what follows as well.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match signs.next()?.1 {
                'n' => '\n',
                sign @ ('\\' | '"') => sign,
                _ => return None,
            }),
            sign => value.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::metrics::catalogue::{GUESTS, LAST_RUN, LAST_SUCCESS, MISMATCHES};

    const JOB: &str = "a \"daily\" job\\\nof Zoë, {x=\"y\"} 1";

    fn guests(network: &str, period: &str, value: f64) -> Sample {
        let labels = vec![(NETWORK_LABEL, network.to_owned()), (PERIOD_LABEL, period.to_owned())];
        Sample { metric: &GUESTS, labels, value }
    }

    fn written() -> Vec<Sample> {
        vec![
            Sample::single(&LAST_RUN, 7.0),
            Sample::single(&LAST_SUCCESS, 1_762_073_000.125),
            guests("01234567", "2026-10", 3.0),
            guests("12345678", "2026-10", 0.0),
        ]
    }

    #[test]
    fn what_stands_is_read_as_it_was_written_and_what_is_stated_anew_is_not() {
        let text = encode(JOB, &written());
        assert_eq!(standing(&text, JOB, &[]), written()[1..]);
        assert_eq!(standing(&text, JOB, &[guests("01234567", "2026-11", 1.0)]), written()[1..2]);
        assert_eq!(standing(&text, "another job", &[]), []);
        let by_period = Sample { labels: vec![(PERIOD_LABEL, "2026-10".to_owned())], ..guests("", "", 5.0) };
        assert_eq!(standing(&encode(JOB, std::slice::from_ref(&by_period)), JOB, &[]), [by_period]);
    }

    #[test]
    fn one_series_that_is_not_ours_drops_its_metric_and_no_other() {
        let text = encode("daily", &written());
        let name = GUESTS.name;
        for line in [
            r#"{job_name="daily",network="01234567",period="2026-10"} 4.0"#,
            r#"{job_name="daily",network="1",period="2026-10"} 4.0"#,
            r#"{job_name="daily",network="11111111",period="2026-13"} 4.0"#,
            r#"{job_name="daily",period="2026-10",network="11111111"} 4.0"#,
            r#"{job_name="daily",network="11111111",network="11111111"} 4.0"#,
            r#"{job_name="daily",network="11111111",period="2026-10",status="kept"} 4.0"#,
            r#"{job_name="daily",network="11111111",period="2026-10"} -4.0"#,
            r#"{job_name="daily",network="11111111",period="2026-10"} NaN"#,
            r#"{job_name="daily",network="11111111",period="2026-10"} 4.0 1762073000"#,
            r#"{job_name="daily",network="11111111",period="2026-10"}"#,
            r#"{job_name="daily",network="11111111",period="2026-10} 4.0"#,
            r#"{job_name="dai\ly",network="11111111",period="2026-10"} 4.0"#,
            r#"{network="11111111",period="2026-10"} 4.0"#,
            r#"{job_name="weekly",network="11111111",period="2026-10"} 4.0"#,
            "{} 4.0",
        ] {
            let kept = standing(&format!("{text}{name}{line}\n"), "daily", &[]);
            assert_eq!(kept, written()[1..2], "{line}");
        }
    }

    #[test]
    fn everybody_may_read_the_file_and_none_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daily.prom");
        replace(&path, JOB, &written()).unwrap();
        replace(&path, JOB, &[Sample::single(&MISMATCHES, 1.0)]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut expected = written()[1..].to_vec();
        expected.push(Sample::single(&MISMATCHES, 1.0));
        assert_eq!(fs::read_to_string(&path).unwrap(), encode(JOB, &expected));
    }

    #[test]
    fn what_cannot_be_written_is_named_and_a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("no/such/daily.prom");
        let error = replace(&absent, JOB, &written()).unwrap_err().to_string();
        assert!(error.contains("no/such") && error.contains("No such file"), "{error}");
        let pipe = folder.path().join("pipe.prom");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        replace(&pipe, JOB, &written()).unwrap();
        assert_eq!(fs::read_to_string(&pipe).unwrap(), encode(JOB, &written()));
    }

    proptest! {
        /// A collector refuses a whole file for one series that is there twice or not well formed.
        #[test]
        fn whatever_stood_there_the_new_file_is_well_formed(
            lines in prop::collection::vec((0..4_usize, any::<prop::sample::Index>(), ".{0,3}"), 0..8)
        ) {
            let text = encode("daily", &written());
            let mut damaged = String::new();
            for (what, at, noise) in lines {
                let line = at.get(&text.lines().collect::<Vec<_>>()).to_string();
                let cut = at.index(line.chars().count() + 1);
                let (head, tail): (String, String) =
                    (line.chars().take(cut).collect(), line.chars().skip(cut).collect());
                let parts: &[&str] = match what {
                    0 => &[&line, "\n"],
                    1 => &[&head, &noise, &tail, "\n"],
                    2 => &[&head, "\n"],
                    _ => &[&noise, "\n"],
                };
                damaged.extend(parts.iter().copied());
            }
            let kept = standing(&damaged, "daily", &[]);
            let again = encode("daily", &kept);
            let series: Vec<&str> = again.lines().filter(|line| !line.starts_with('#')).collect();
            let names = series.iter().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name);
            prop_assert_eq!(names.collect::<BTreeSet<_>>().len(), series.len());
            prop_assert_eq!(standing(&again, "daily", &[]), kept);
        }
    }
}
