//! What the tests are made of: a scene with a simulator, the exporter as a process, and the published output.

mod exporter;
mod history;
mod output;
mod plain_server;
mod raw_server;
mod scene;
mod token_service;

pub(crate) use exporter::{Exporter, Run, pid, tell};
pub(crate) use history::{Story, assert_hit, kinds};
pub(crate) use output::{Output, files_below};
pub(crate) use plain_server::{PlainAnswer, PlainServer};
pub(crate) use raw_server::{RawServer, Wire};
pub(crate) use scene::{
    AS_OF, CLOSED, NETWORK, OLD, OPEN, SETTLING, Scene, guests, network, old_list, period, population, small,
};
pub(crate) use token_service::{FAR, KeyRing, keys_document, lent_role, soon, sts_refusal};
