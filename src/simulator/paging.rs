//! Pages of guests: one list, or the lists of all periods merged, from either end.
//!
//! A position is a number for each list that is read: how many of its rows were given (offset paging), or which
//! row was given last (keyset paging). The first is what makes rows repeat or vanish when the list changes, and
//! it is here because real services do it.

use std::ops::Range;

use super::config::PagingMode;
use super::noise::Noise;
use super::population::{List, Row};
use super::query::Direction;
use crate::period::BillingPeriod;

/// One list that is read, narrowed to some of its ranks.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) period: BillingPeriod,
    pub(super) list: &'a List,
    pub(super) ranks: Range<u64>,
}

/// What the rows of several lists are ordered by; within one list they are ordered by username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Period,
    Username,
}

/// How often a page begins with rows of the page before, and with how many of them at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct EdgeRepeats {
    pub(super) noise: Noise,
    pub(super) per_thousand: u32,
    pub(super) rows: u64,
}

/// How a page is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) size: u64,
    pub(super) direction: Direction,
    pub(super) order: Order,
    pub(super) mode: PagingMode,
    pub(super) edge_repeats: EdgeRepeats,
    pub(super) trailing_empty_page: bool,
}

/// One page, and the positions after it unless it is the last.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<(BillingPeriod, Row)>,
    pub(super) next: Option<Vec<u64>>,
}

impl Section<'_> {
    fn rows(&self) -> u64 {
        self.ranks.end - self.ranks.start
    }

    /// Returns the rank of the row that comes `offset` rows after the beginning in this direction.
    fn rank(&self, offset: u64, direction: Direction) -> u64 {
        match direction {
            Direction::Ascending => self.ranks.start + offset,
            Direction::Descending => self.ranks.end - 1 - offset,
        }
    }

    fn offset(&self, position: u64, reading: &Reading) -> Option<u64> {
        match (reading.mode, position) {
            (PagingMode::Offset, given) => Some(given.min(self.rows())),
            (PagingMode::Keyset, 0) => Some(0),
            (PagingMode::Keyset, number) => {
                let around = self.list.ranks_around(number - 1)?;
                let within = |rank: u64| rank.clamp(self.ranks.start, self.ranks.end);
                Some(match reading.direction {
                    Direction::Ascending => within(around.end) - self.ranks.start,
                    Direction::Descending => self.ranks.end - within(around.start),
                })
            }
        }
    }
}

impl Reading {
    /// Reads the page at the positions given, all zero at the beginning. The sections stand in the order of their
    /// periods in this direction. Nothing comes back if the positions are not of these sections.
    pub(super) fn page(&self, sections: &[Section<'_>], positions: &[u64]) -> Option<Page> {
        if positions.len() != sections.len() {
            return None;
        }
        let mut positions = positions.to_vec();
        let mut offsets = sections
            .iter()
            .zip(&positions)
            .map(|(section, position)| section.offset(*position, self))
            .collect::<Option<Vec<u64>>>()?;
        if let [offset] = offsets.as_mut_slice() {
            *offset -= self.repeated(*offset);
        }
        let mut rows = Vec::new();
        let mut heads: Vec<Option<Row>> = vec![None; sections.len()];
        while (rows.len() as u64) < self.size {
            let Some(chosen) = self.choose(sections, &offsets, &mut heads) else { break };
            let section = &sections[chosen];
            let rank = section.rank(offsets[chosen], self.direction);
            let row = heads[chosen].take().unwrap_or_else(|| section.list.row(rank));
            rows.push((section.period, row));
            offsets[chosen] += 1;
            positions[chosen] = match self.mode {
                PagingMode::Offset => offsets[chosen],
                PagingMode::Keyset => section.list.number(rank) + 1,
            };
        }
        let more = sections.iter().zip(&offsets).any(|(section, offset)| *offset < section.rows());
        let full = rows.len() as u64 == self.size;
        let goes_on = more || (full && self.trailing_empty_page);
        Some(Page { rows, next: goes_on.then_some(positions) })
    }

    /// Returns how many rows before this offset are given once more: always fewer than the page has.
    fn repeated(&self, offset: u64) -> u64 {
        let noise = self.edge_repeats.noise.at(offset);
        if !noise.at(0).hits(self.edge_repeats.per_thousand) {
            return 0;
        }
        let rows = 1 + noise.at(1).below(self.edge_repeats.rows);
        rows.min(self.edge_repeats.rows).min(offset).min(self.size - 1)
    }

    /// Chooses the section that gives the next row.
    fn choose(&self, sections: &[Section<'_>], offsets: &[u64], heads: &mut [Option<Row>]) -> Option<usize> {
        let mut open = (0..sections.len()).filter(|at| offsets[*at] < sections[*at].rows());
        if self.order == Order::Period || sections.len() == 1 {
            return open.next();
        }
        let open: Vec<usize> = open.collect();
        for at in &open {
            let rank = sections[*at].rank(offsets[*at], self.direction);
            heads[*at].get_or_insert_with(|| sections[*at].list.row(rank));
        }
        let name = |at: &usize| heads[*at].as_ref().map(|row| row.username.as_str());
        open.into_iter().reduce(|best, at| {
            let better = match self.direction {
                Direction::Ascending => name(&at) < name(&best),
                Direction::Descending => name(&at) > name(&best),
            };
            if better { at } else { best }
        })
    }
}

/// Reads a page of a short list that is held in memory and already stands in the order asked for.
pub(super) fn slice<T>(items: Vec<T>, size: u64, given: u64) -> (Vec<T>, Option<u64>) {
    let total = items.len() as u64;
    let end = given.saturating_add(size).min(total);
    let start = usize::try_from(given.min(total)).expect("within a list in memory");
    let page =
        items.into_iter().skip(start).take(usize::try_from(size).expect("at most a hundred")).collect();
    (page, (end < total).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::NetworkId;
    use crate::simulator::config::SimulatorConfig;
    use crate::simulator::population::{Change, Mutation, Population, World};

    type Named = (BillingPeriod, String);

    fn reading(size: u64, direction: Direction, order: Order, mode: PagingMode) -> Reading {
        let edge_repeats = EdgeRepeats { noise: Noise::seeded(1), per_thousand: 0, rows: 0 };
        Reading { size, direction, order, mode, edge_repeats, trailing_empty_page: false }
    }

    fn walk(
        world: &World,
        network: NetworkId,
        periods: &[BillingPeriod],
        reading: Reading,
    ) -> Vec<Vec<Named>> {
        let mut positions = vec![0; periods.len()];
        let mut pages = Vec::new();
        loop {
            world.advance(network, periods[0]);
            let networks = world.read();
            let mut sections: Vec<Section<'_>> = periods
                .iter()
                .map(|period| {
                    let list = &networks[&network][period];
                    Section { period: *period, list, ranks: 0..list.rows() }
                })
                .collect();
            if reading.direction == Direction::Descending {
                sections.reverse();
            }
            let page = reading.page(&sections, &positions).expect("positions of these sections");
            pages.push(page.rows.into_iter().map(|(period, row)| (period, row.username)).collect());
            match page.next {
                Some(next) => positions = next,
                None => return pages,
            }
        }
    }

    fn generated(guests: u64) -> (World, NetworkId, [BillingPeriod; 2]) {
        let config = SimulatorConfig { guests, ..SimulatorConfig::default() };
        let periods = ["2026-09".parse().unwrap(), "2026-10".parse().unwrap()];
        (World::new(&config, &periods).unwrap(), config.networks[0], periods)
    }

    #[test]
    fn backward_is_the_reverse_of_forward_in_every_mode_and_order() {
        let (world, network, periods) = generated(230);
        for mode in [PagingMode::Offset, PagingMode::Keyset] {
            for order in [Order::Period, Order::Username] {
                for periods in [&periods[..1], &periods[..]] {
                    for size in [1, 7, 100] {
                        let rows = |direction| -> Vec<Named> {
                            walk(&world, network, periods, reading(size, direction, order, mode)).concat()
                        };
                        let (forward, mut backward) =
                            (rows(Direction::Ascending), rows(Direction::Descending));
                        backward.reverse();
                        assert_eq!(forward, backward);
                        let networks = world.read();
                        let total: u64 = periods.iter().map(|period| networks[&network][period].rows()).sum();
                        assert_eq!(forward.len() as u64, total);
                        match order {
                            Order::Period => assert!(forward.is_sorted()),
                            Order::Username => assert!(forward.is_sorted_by_key(|(_, name)| name.clone())),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn edge_repeats_repeat_rows_of_the_page_before_and_lose_none() {
        let (world, network, periods) = generated(500);
        let plain = reading(10, Direction::Ascending, Order::Username, PagingMode::Offset);
        let repeats = EdgeRepeats { noise: Noise::seeded(1), per_thousand: 1000, rows: 3 };
        let expected = walk(&world, network, &periods[..1], plain).concat();
        for mode in [PagingMode::Offset, PagingMode::Keyset] {
            let pages =
                walk(&world, network, &periods[..1], Reading { edge_repeats: repeats, mode, ..plain });
            let mut rows = pages[0].clone();
            for pair in pages.windows(2) {
                let repeated = (1..=3).rev().find(|count| pair[0].ends_with(&pair[1][..*count]));
                rows.extend_from_slice(&pair[1][repeated.expect("every edge repeats")..]);
            }
            assert_eq!(rows, expected);
        }
    }

    #[test]
    fn pages_of_one_row_make_progress_whatever_is_repeated() {
        let (world, network, periods) = generated(20);
        let repeats = EdgeRepeats { noise: Noise::seeded(1), per_thousand: 1000, rows: 9 };
        let reading = Reading {
            edge_repeats: repeats,
            ..reading(1, Direction::Descending, Order::Username, PagingMode::Offset)
        };
        assert!(walk(&world, network, &periods[..1], reading).len() < 40);
    }

    fn changing(change: Change) -> (World, NetworkId, [BillingPeriod; 1]) {
        let network: NetworkId = "01234567".parse().unwrap();
        let period: BillingPeriod = "2026-10".parse().unwrap();
        let rows = "bdfhjlnp".chars().map(|name| (format!("h{name}"), name.to_string())).collect();
        let config = SimulatorConfig {
            population: Population::explicit([(network, period, rows)]),
            mutations: vec![Mutation { network, period, before_request: 2, change }],
            ..SimulatorConfig::default()
        };
        (World::new(&config, &[]).unwrap(), network, [period])
    }

    fn read_while(change: &Change, mode: PagingMode) -> String {
        let (world, network, periods) = changing(change.clone());
        let reading = reading(3, Direction::Ascending, Order::Username, mode);
        walk(&world, network, &periods, reading).concat().into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn an_arrival_repeats_a_row_by_offset_and_none_by_keyset() {
        let arrive = Change::Arrive { username_hash: "ha".to_owned(), username: "a".to_owned() };
        assert_eq!(read_while(&arrive, PagingMode::Offset), "bdffhjlnp");
        assert_eq!(read_while(&arrive, PagingMode::Keyset), "bdfhjlnp");
    }

    #[test]
    fn a_departure_skips_a_row_by_offset_and_none_by_keyset() {
        for gone in ["hb", "hf"] {
            let leave = Change::Leave { username_hash: gone.to_owned() };
            assert_eq!(read_while(&leave, PagingMode::Offset), "bdfjlnp", "h is lost without a trace");
            assert_eq!(read_while(&leave, PagingMode::Keyset), "bdfhjlnp");
        }
    }

    #[test]
    fn a_full_last_page_may_promise_an_empty_one() {
        let (world, network, periods) = changing(Change::Leave { username_hash: "none".to_owned() });
        let plain = reading(4, Direction::Ascending, Order::Username, PagingMode::Offset);
        assert_eq!(walk(&world, network, &periods, plain).len(), 2);
        let pages = walk(&world, network, &periods, Reading { trailing_empty_page: true, ..plain });
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 0]);
    }

    #[test]
    fn a_list_in_memory_is_cut_into_pages() {
        assert_eq!(slice(vec![1, 2, 3], 2, 0), (vec![1, 2], Some(2)));
        assert_eq!(slice(vec![1, 2, 3], 2, 2), (vec![3], None));
        assert_eq!(slice(vec![1, 2], 2, 0), (vec![1, 2], None));
        assert_eq!(slice(vec![1, 2], 2, u64::MAX), (vec![], None));
    }
}
