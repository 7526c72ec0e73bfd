//! A share of the networks, for processes that do one job together, each a part of it.
//!
//! Which share a network falls to depends on its id and on the number of shares alone: it is the SHA-256 of the
//! eight digits, its first eight bytes as a big-endian number, modulo that number. Dealing the networks out in turn
//! would make the shares equal to the last network, and would be wrong: each process lists the networks for itself,
//! minutes or hours from the others, and one that came or went in between would shift all that stand after it, so that
//! another one would fall to no process, or to two. Like this a network stays where it is whatever becomes of the
//! others, and shares differ as dice do: of 1,000 networks, an eighth is 125, give or take ten.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error_chain::excerpt;
use crate::guest::NetworkId;

/// The variable by which Kubernetes tells each pod of an Indexed Job which one it is, counted from 0.
pub(super) const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";
/// How many shares there may be: as many as an account is believed to have networks.
const COUNTS: RangeInclusive<u32> = 1..=10_000;
/// The word that stands for what `JOB_COMPLETION_INDEX` says.
const INDEX: &str = "index";

/// One of so many shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// Which, from 0.
    index: u32,
    /// Of how many.
    count: u32,
}

impl Shard {
    /// The only share there is: all networks.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    fn new(index: u32, count: u32) -> Option<Self> {
        (COUNTS.contains(&count) && index < count).then_some(Self { index, count })
    }

    /// Returns which share it is, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Returns how many shares there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Says whether it is all there is.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Says whether a network falls to this share.
    #[must_use]
    pub fn holds(self, network: NetworkId) -> bool {
        let digest = Sha256::digest(network.as_str());
        let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        u64::from_be_bytes(*first) % u64::from(self.count) == u64::from(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

/// A share as it is written: `3/16`, or `index/16` for the one that `JOB_COMPLETION_INDEX` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ShardDefinition {
    /// This one.
    Numbered(Shard),
    /// That of the pod, of so many.
    OfPod {
        /// How many there are.
        count: u32,
    },
}

/// A text, or a variable, that names no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The text is in neither form.
    #[error(
        "`{0}` is not a share of the networks; write 3/16 for the fourth of 16, as they count from 0, or \
         index/16 in an Indexed Job of Kubernetes with 16 completions"
    )]
    Unreadable(String),
    /// The pod's own share is wanted, and this is no pod of an Indexed Job.
    #[error(
        "index/{0} is the share that {COMPLETION_INDEX} names, which is not set; run it as an Indexed Job of \
         Kubernetes, or write a number from 0 in place of `index`"
    )]
    NoIndex(u32),
    /// There is no such share.
    #[error(
        "{COMPLETION_INDEX} is `{index}`, which is none of the {count} shares, 0 to {}; give the Job {count} \
         completions, or write their number after `index/`",
        .count - 1
    )]
    BadIndex {
        /// What the variable says.
        index: String,
        /// How many there are.
        count: u32,
    },
}

impl ShardDefinition {
    /// Works out which share is meant; `variable` reads the environment.
    ///
    /// # Errors
    /// [`ShardError`] if the pod's own share is meant, and it has none.
    pub(super) fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard, ShardError> {
        let count = match self {
            Self::Numbered(shard) => return Ok(shard),
            Self::OfPod { count } => count,
        };
        let text = variable(COMPLETION_INDEX).ok_or(ShardError::NoIndex(count))?;
        let shard = text.parse().ok().and_then(|index| Shard::new(index, count));
        shard.ok_or_else(|| ShardError::BadIndex { index: excerpt(&text, 40), count })
    }
}

impl FromStr for ShardDefinition {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || ShardError::Unreadable(excerpt(text, 40));
        let (index, count) = text.split_once('/').ok_or_else(unreadable)?;
        let count = count.parse().ok().filter(|count| COUNTS.contains(count)).ok_or_else(unreadable)?;
        if index == INDEX {
            return Ok(Self::OfPod { count });
        }
        let shard = index.parse().ok().and_then(|index| Shard::new(index, count));
        shard.map(Self::Numbered).ok_or_else(unreadable)
    }
}

impl TryFrom<String> for ShardDefinition {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn shards(count: u32) -> impl Iterator<Item = Shard> {
        (0..count).map(move |index| Shard::new(index, count).unwrap())
    }

    fn networks() -> impl Strategy<Value = BTreeSet<NetworkId>> {
        let network = (0..100_000_000_u32).prop_map(|number| format!("{number:08}").parse().unwrap());
        prop::collection::btree_set(network, 0..60)
    }

    proptest! {
        #[test]
        fn the_union_of_shards_is_the_whole_with_no_overlap(networks in networks(), count in 1..40_u32) {
            let mut found: Vec<NetworkId> = Vec::new();
            for shard in shards(count) {
                found.extend(networks.iter().filter(|network| shard.holds(**network)));
            }
            prop_assert_eq!(found.len(), networks.len(), "none is in two");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), networks, "none is in none");
        }

        #[test]
        fn what_is_printed_is_read_as_the_same(index in 0..10_000_u32, count in 1..=10_000_u32) {
            let shard = Shard::new(index % count, count).unwrap();
            prop_assert_eq!(shard.to_string().parse(), Ok(ShardDefinition::Numbered(shard)));
        }
    }

    /// The rule is written down for others to follow, and a release that changed it would, while old and new pods run
    /// beside each other, export networks twice or not at all.
    #[test]
    fn the_rule_is_the_one_that_is_written_down() {
        // python3 -c 'import hashlib; print(int.from_bytes(hashlib.sha256(b"12345678").digest()[:8], "big") % 16)'
        for (network, of_16, of_7) in [("12345678", 11, 4), ("01234567", 15, 6), ("87654321", 4, 5)] {
            let network = network.parse().unwrap();
            for (count, expected) in [(16, of_16), (7, of_7)] {
                let found: Vec<u32> =
                    shards(count).filter(|shard| shard.holds(network)).map(|shard| shard.index).collect();
                assert_eq!(found, [expected], "{network} of {count}");
            }
        }
    }

    #[test]
    fn shares_are_even_for_ids_in_a_row() {
        for count in [2, 8, 16] {
            let mut sizes = BTreeMap::new();
            for number in 0..4000 {
                let network = format!("{number:08}").parse().unwrap();
                let shard = shards(count).find(|shard| shard.holds(network)).unwrap();
                *sizes.entry(shard.index).or_insert(0_u32) += 1;
            }
            let fair = 4000 / count;
            assert!(sizes.values().all(|size| size.abs_diff(fair) < fair / 4), "{count}: {sizes:?}");
        }
    }

    #[test]
    fn the_pod_of_an_indexed_job_takes_the_share_of_its_index() {
        let with = |index: Option<&str>| {
            let variable = |name: &str| (name == COMPLETION_INDEX).then(|| index.map(str::to_owned))?;
            "index/3".parse::<ShardDefinition>().unwrap().resolve(variable)
        };
        assert_eq!(with(Some("2")), Ok(Shard { index: 2, count: 3 }));
        assert_eq!(with(None), Err(ShardError::NoIndex(3)));
        for index in ["3", "-1", "", "two"] {
            let error = with(Some(index)).unwrap_err().to_string();
            assert!(error.contains(&format!("is `{index}`")) && error.contains("0 to 2"), "{error}");
        }
        let numbered = "1/3".parse::<ShardDefinition>().unwrap();
        assert_eq!(numbered.resolve(|_| Some("2".to_owned())), Ok(Shard { index: 1, count: 3 }));
    }

    #[test]
    fn what_names_no_share_is_refused() {
        for text in
            ["", "3", "/", "3/", "/3", "3/3", "4/3", "-1/3", "0/0", "0/10001", "1/2/3", "Index/3", "a/3"]
        {
            let error = text.parse::<ShardDefinition>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("index/16"), "{error}");
        }
    }
}
