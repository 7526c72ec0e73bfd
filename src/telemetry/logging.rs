//! Log lines on stderr: a constant message plus fields, as text or JSON.
//!
//! The level comes from `RUST_LOG` where it is set, in its usual syntax. No field ever carries a username, a
//! hash, a token or a credential: their types print redacted.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::progress::ProgressBars;

/// How the targets of AWS's libraries begin.
const AWS_LIBRARIES: &str = "aws_";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `RUST_LOG` holds no filter.
#[derive(Debug, thiserror::Error)]
#[error("RUST_LOG cannot be read as a log filter such as `info` or `wickr_guest_export=debug`: {0}")]
pub struct LoggingError(String);

/// Starts logging for the process. With `quiet`, only warnings and errors are written.
///
/// # Errors
/// [`LoggingError`] if `filter` (the value of `RUST_LOG`) is no filter.
pub fn init_logging(
    format: LogFormat,
    quiet: bool,
    colour: bool,
    filter: Option<&str>,
    bars: Option<ProgressBars>,
) -> Result<(), LoggingError> {
    // The AWS crates warn of every link of the credential chain that has nothing to say, in many words.
    let default = if quiet { "error,wickr_guest_export=warn" } else { "error,wickr_guest_export=info" };
    let filter = EnvFilter::try_new(filter.filter(|text| !text.is_empty()).unwrap_or(default))
        .map_err(|error| LoggingError(error.to_string()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(BetweenBars { bars });
    // A second initialisation in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => {
            lines.with_target(false).with_ansi(colour).finish().with(filter_fn(is_discreet)).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_target(false);
            lines.finish().with(filter_fn(is_discreet)).try_init()
        }
    };
    Ok(())
}

/// AWS's libraries repeat in their logs what they send and what is answered, credentials and page tokens included, and
/// quote it in their warnings. Nothing of them but errors is written, whatever the filter says.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with(AWS_LIBRARIES) || *metadata.level() == Level::ERROR
}

/// Writes lines to stderr, with the progress bars out of the way.
struct BetweenBars {
    bars: Option<ProgressBars>,
}

struct BetweenBarsWriter<'a> {
    bars: Option<&'a ProgressBars>,
}

impl<'a> MakeWriter<'a> for BetweenBars {
    type Writer = BetweenBarsWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        BetweenBarsWriter { bars: self.bars.as_ref() }
    }
}

/// A log that nobody can read any more must not stop the export, so failures to write are swallowed here.
impl Write for BetweenBarsWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(line);
        let _unread = match self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _unread = io::stderr().flush();
        Ok(())
    }
}
