//! Texts of many guests in two flat buffers, without an allocation for each.
//!
//! Offsets are 32 bits wide, half the memory of wider ones: what is held at a time is bounded far below the 2 GiB that
//! an Arrow array reaches.

/// Texts one after the other.
#[derive(Default)]
pub(super) struct TextColumn {
    text: String,
    ends: Vec<u32>,
}

impl TextColumn {
    /// What tells a text from the next.
    pub(super) const BYTES_BESIDE_A_TEXT: usize = size_of::<u32>();

    /// Returns the bytes of all texts together.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns the bytes of all texts together, and of what tells them apart.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * Self::BYTES_BESIDE_A_TEXT
    }

    /// Returns the number of texts.
    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("every text but the empty ones takes a byte")
    }

    /// Appends a text.
    ///
    /// # Panics
    /// If the texts are then longer than 32-bit offsets reach: a run ends long before.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).expect("a run is far smaller than 4 GiB"));
    }

    /// Appends the texts of another column.
    ///
    /// # Panics
    /// As [`Self::push`].
    pub(super) fn append(&mut self, other: &Self) {
        let start = self.text.len();
        self.text.push_str(&other.text);
        u32::try_from(self.text.len()).expect("a run is far smaller than 4 GiB");
        let start = u32::try_from(start).expect("shorter than all of it");
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    /// Returns the text of one row.
    pub(super) fn get(&self, row: u32) -> &str {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_pushed() {
        let texts = ["", "ann", "", "Zoë 🦀", "\0", ""];
        let mut column = TextColumn::default();
        for text in texts {
            column.push(text);
        }
        assert_eq!(column.rows(), 6);
        for (row, text) in (0..).zip(texts) {
            assert_eq!(column.get(row), text);
        }
        assert_eq!(column.bytes(), texts.iter().map(|text| text.len() + 4).sum::<usize>());
    }
}
