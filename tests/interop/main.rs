//! The exporter judged by programs that its authors did not write: boto3, the AWS CLI, botocore, pyarrow,
//! `DuckDB`, Polars, Python's csv module and `LibreOffice`.
//!
//! The simulator and the client come from one hand and could share one error. So the client also runs against
//! a server made of botocore's service model and signer, and the simulator is also read by the stock clients.

mod deploy;
mod invoices;
mod model;
mod processes;
mod published;
mod python;
mod roles;
#[cfg(feature = "simulator")]
mod simulator;
#[cfg(feature = "simulator")]
mod spreadsheet;
mod stores;
mod warehouse;
