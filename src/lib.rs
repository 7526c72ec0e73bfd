//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.
//!
//! The library behind the program `wickr-guest-export`. It walks every page of `ListGuestUsers` for networks and
//! billing periods, counts each guest once, and publishes the number of an ended month only if something confirmed it.
//!
//! # How a page of guests flows
//!
//! ```text
//! jobs/*.toml + flags + environment ──job──▶ Job ──commands::run──▶ export::Source, one per account and region
//!                                                 │ all asked for their networks: export::Description
//!                                                 ▼
//!                                               tasks: (NetworkId, BillingPeriod), each network of one source
//!                                                 │ each under its task's lock: export.rs
//!   pacing::Pacer (one per source) ◀──429/5xx──── pacing::Paced ──▶ wickr::HttpWickrAdmin, one signed attempt
//!                                                 │ GuestPage { guests, next }
//!   walk: forward, backward, or both at once ─────┤ every page checked: shape in wickr, progress in walk::guard
//!                                                 ▼
//!   roster::RosterBuilder ── sorted, deduplicated runs ──▶ checkpoint: run files, then the cursor
//!                                                 │ merge of the runs: streaming, bounded memory
//!                                                 ▼
//!   Roster ──▶ RosterStream (batches of 8,192 rows)
//!                                                 ▼
//!   evidence::confirm: control total before and after, or a walk in each direction ──▶ judge
//!                                                 ▼ ConfirmedRoster
//!   dataset: Parquet and CSV, digest of the content, changes against the roster published before
//!                                                 ▼
//!   publish::Publisher: immutable revision ──▶ manifest (THE publication) ──▶ current copies ──▶ summary
//!                                                 ▼
//!   ledger: nothing of a month is awaited any more ──▶ its closing, written once
//!                                                 ▼
//!   report::RunSummary ──▶ table, JSON, metrics ──▶ exit::ExitStatus
//! ```
//!
//! # Modules, lower ones first
//!
//! | module | owns |
//! |---|---|
//! | [`guest`], [`period`], [`task`], [`clock`], [`error_chain`] | the vocabulary: ids, hashes, tokens, billing periods and their selectors, tasks, wall time, errors on one line |
//! | [`telemetry`] | log lines, progress bars; what metrics are called, how they are written, where they go |
//! | [`wickr`] | the API: operations, endpoint, credentials, signing, errors; one attempt a call; the HTTP clients of everybody |
//! | [`pacing`] | the rate, the waiting, the retries; decorates the API |
//! | [`storage`] | files in a folder or a bucket: putting in place, locks, digests; paths are others' business |
//! | [`dataset`] | schemas, Parquet, CSV, the digest of the content |
//! | [`roster`] | the guests of one task, sorted and counted once, in memory or in runs on disk |
//! | [`checkpoint`] | what an interrupted task leaves behind: the state location, the cursor, what it must fit |
//! | [`walk`] | full walks over the pages, one or two at the same time, piece by piece; whether two have met |
//! | [`evidence`] | why a number may be believed |
//! | [`publish`] | every path of an output, manifests, the order of publication, the summary |
//! | [`verify`] | reads everything that is published again |
//! | [`ledger`] | what is published, read for its numbers; when a month is closed |
//! | [`reconcile`] | an invoice, held against the ledger |
//! | [`status`] | what an output lacks, and what time runs out for |
//! | [`page`] | the page for people: one HTML file with what is published, what confirmed it, and what is missing |
//! | [`simulator`] | a Wickr Admin API on loopback; shares no wire code with [`wickr`] |
//! | [`job`] | job files and flags, and what they mean |
//! | [`export`] | the sources and their networks, the pipeline of one task |
//! | [`turnover`] | who came, went and stayed between two periods or revisions |
//! | [`retention`] | rosters of old periods go, their counts stay |
//! | [`exit`], [`report`] | what a run tells whoever started it, and what it states in metrics |
//! | [`doctor`] | what a run will meet, tried beforehand |
//! | [`limits`] | what the process asks of the system for itself |
//! | [`cli`], [`commands`] | the command line; commands wire parts together |

pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod dataset;
pub mod doctor;
pub mod error_chain;
pub mod evidence;
pub mod exit;
pub mod export;
pub mod guest;
pub mod job;
pub mod ledger;
pub mod limits;
pub mod pacing;
pub mod page;
pub mod period;
pub mod publish;
pub mod reconcile;
pub mod report;
pub mod retention;
pub mod roster;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod status;
pub mod storage;
pub mod task;
pub mod telemetry;
pub mod turnover;
pub mod verify;
pub mod walk;
pub mod wickr;
