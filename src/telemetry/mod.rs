//! What the operator sees while the program works: log lines and progress, both on stderr.

mod logging;
mod progress;
mod run_id;

pub use logging::{LogFormat, LoggingError, init_logging};
pub use progress::{Progress, ProgressBars, Silent};
pub use run_id::RunId;
