//! `simulate`: what a simulated service is to look like.

use std::path::PathBuf;

use clap::Args;

use super::LogArguments;
use crate::guest::NetworkId;
use crate::period::PeriodSelector;

/// The arguments of `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
It prints what to export, then serves until it is stopped (Ctrl-C):
  wickr-guest-export simulate --port 4710 > simulator.env &
  source simulator.env
  aws wickr list-guest-users --network-id 12345678 --billing-period 2026-10
  wickr-guest-export run --network all --period previous --output ./out/simulated")]
pub struct SimulateArguments {
    /// A job file whose `[simulator]` table says what to simulate, faults included. Flags stand before it.
    #[arg(value_name = "JOB.toml")]
    pub job: Option<PathBuf>,

    /// The port on 127.0.0.1; 0 takes any free one. [default: 0]
    #[arg(long)]
    pub port: Option<u16>,

    /// Guests a network and period. [default: 3000]
    #[arg(long)]
    pub guests: Option<u64>,

    /// The networks. [default: 01234567,12345678,87654321]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub networks: Vec<NetworkId>,

    /// The billing periods: months, ranges or selectors. [default: the last six months]
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub periods: Vec<PeriodSelector>,

    /// Decides everything that looks random. [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,

    /// How long each answer takes, in milliseconds. [default: 0]
    #[arg(long, value_name = "MS")]
    pub latency: Option<u64>,

    /// Requests a second that are allowed. [default: all]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}
