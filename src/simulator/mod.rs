//! An embedded server that speaks the Wickr Admin API over loopback HTTP: for demonstrations, for jobs whose
//! source is the simulator, and for tests.
//!
//! ```text
//! server.rs ─▶ authorization.rs   is the request signed by whom it says?
//!           ─▶ throttle.rs        is it within the rate?
//!           ─▶ query.rs           what does it ask?
//!           ─▶ faults.rs          is something planned to go wrong here?   effects.rs  and what does it come to?
//!           ─▶ operations.rs ─▶ paging.rs ─▶ population/     the true answer
//!           ─▶ wire.rs            the shapes that travel    delivery.rs  and how whole they arrive
//! ```
//!
//! It shares no wire code with the client: shapes, spellings and signature checking are written here a second
//! time, from the reference, so that a mistake on one side cannot cancel itself out on the other. Only the
//! domain's [`NetworkId`](crate::guest::NetworkId) and [`BillingPeriod`](crate::period::BillingPeriod) are
//! common. It speaks hyper rather than a web framework because half its work is to misbehave below HTTP.

mod authorization;
mod config;
mod delivery;
mod effects;
mod faults;
mod noise;
mod operations;
mod paging;
mod population;
mod query;
mod server;
mod stats;
mod throttle;
mod token;
mod wire;

pub use authorization::Credentials;
pub use config::{
    Answers, History, LastToken, MAX_GUESTS, OldestMonth, PagingMode, PeriodAnswer, SimulatorConfig,
    SimulatorError, ThrottleHint,
};
pub use faults::{Fault, FaultKind, When};
pub use population::{Census, Change, Collation, ExplicitPopulation, Mutation, Population};
pub use query::Direction;
pub use server::{RunningSimulator, Simulator};
pub use stats::{FaultCount, Stats};
pub use wire::Operation;

/// The header that every answer of the simulator carries, with its version, so that simulated data can never
/// pass for real data.
pub const SIMULATOR_HEADER: &str = "x-wickr-simulator";
/// The value of [`SIMULATOR_HEADER`]: the version of this program.
pub const SIMULATOR_VERSION: &str = env!("CARGO_PKG_VERSION");
