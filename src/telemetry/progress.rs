//! Progress of walks: bars on a terminal, nothing elsewhere.
//!
//! The expected total is the service's own count, where it has one; duplicates make a bar overshoot a little.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// Watches the walks of one task.
pub trait Progress: Send + Sync {
    /// A walk begins; so many guests are expected, if that is known.
    fn expect(&self, guests: Option<u64>);
    /// So many rows more were read.
    fn advance(&self, rows: u64);
}

/// Watches and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn expect(&self, _guests: Option<u64>) {}

    fn advance(&self, _rows: u64) {}
}

/// Draws one bar a task on the terminal behind stderr.
#[derive(Clone, Debug, Default)]
pub struct ProgressBars {
    bars: MultiProgress,
}

impl ProgressBars {
    /// Runs `print` with the bars out of the way, so that a log line does not tear one.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    /// Adds the bar of a task; it goes away when it is dropped.
    #[must_use]
    pub fn task(&self, network: NetworkId, period: BillingPeriod) -> impl Progress + 'static {
        let bar = self.bars.add(ProgressBar::no_length());
        bar.set_prefix(format!("{network} {period}"));
        TaskBar { bar }
    }
}

struct TaskBar {
    bar: ProgressBar,
}

impl Progress for TaskBar {
    fn expect(&self, guests: Option<u64>) {
        let template = match guests {
            Some(_) => "{prefix} {bar:30} {pos}/{len} guests, {eta} left",
            None => "{prefix} {spinner} {pos} guests",
        };
        // The templates are constants, and a bar without style is still a bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(0);
        if let Some(guests) = guests {
            self.bar.set_length(guests);
        }
    }

    fn advance(&self, rows: u64) {
        self.bar.inc(rows);
    }
}

impl Drop for TaskBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
