//! Log lines on stderr: a constant message plus fields, as text or JSON.
//!
//! The level comes from `RUST_LOG` where it is set, in its usual syntax. No field ever carries a username, a
//! hash, a token or a credential: their types print redacted. A line of JSON is flat: the run's id and the network
//! and period of its task stand beside the message, so that a query needs no path and no lookup in another line.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::progress::ProgressBars;
use super::run_id::RunId;

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
    run_id: RunId,
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
    let writer = BetweenBars { bars };
    // A second initialisation in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => {
            let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
            let lines = lines.with_target(false).with_ansi(colour).finish();
            lines.with(filter_fn(is_discreet)).try_init().map_err(drop)
        }
        LogFormat::Json => {
            std::panic::set_hook(Box::new(log_panic));
            tracing_subscriber::registry()
                .with(filter)
                .with(filter_fn(is_discreet))
                .with(flat_json(run_id, writer))
                .try_init()
                .map_err(drop)
        }
    };
    Ok(())
}

/// Makes a line of the fields of an event and of all spans around it, and puts the run's id into it.
fn flat_json<S>(run_id: RunId, writer: BetweenBars) -> json_subscriber::fmt::Layer<S, BetweenBars>
where
    S: tracing::Subscriber + for<'lookup> tracing_subscriber::registry::LookupSpan<'lookup>,
{
    let layer = json_subscriber::layer().with_writer(writer).with_target(false).flatten_event(true);
    let mut layer = layer.with_current_span(false).with_span_list(false).flatten_span_list_on_top_level(true);
    layer.inner_layer_mut().add_static_field("run_id", run_id.to_string().into());
    layer
}

/// Says as a line of the log what the standard hook prints as text, which no reader of JSON could take.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let words = panic.payload_as_str().unwrap_or("without a word");
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, error = words, "panicked");
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
