//! What the operator sees of the program: log lines and progress on stderr while it works, and metrics afterwards.

mod logging;
pub mod metrics;
mod progress;
mod run_id;

pub use logging::{LogFormat, LoggingError, init_logging};
pub use progress::{Progress, ProgressBars, Silent};
pub use run_id::RunId;
