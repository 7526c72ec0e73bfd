//! Texts of many guests in two flat buffers, without an allocation for each.
//!
//! Offsets are 32 bits wide: half the memory of wider ones, and the bound that they set is the bound on what a
//! hostile server can make this process hold.

/// Texts one after the other.
#[derive(Default)]
pub(super) struct TextColumn {
    text: String,
    ends: Vec<u32>,
}

impl TextColumn {
    /// Returns the bytes of all texts together.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends a text, unless the texts would then be longer than 32-bit offsets reach.
    #[must_use]
    pub(super) fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + text.len()) else { return false };
        self.text.push_str(text);
        self.ends.push(end);
        true
    }

    /// Returns the text of one row.
    pub(super) fn get(&self, row: u32) -> &str {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// Gives back memory that growing took in advance.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_pushed() {
        let texts = ["", "ann", "", "Zoë 🦀", "\0", ""];
        let mut column = TextColumn::default();
        assert!(texts.iter().all(|text| column.push(text)));
        for (row, text) in (0..).zip(texts) {
            assert_eq!(column.get(row), text);
        }
        assert_eq!(column.bytes(), texts.iter().map(|text| text.len()).sum::<usize>());
    }
}
