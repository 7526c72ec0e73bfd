//! JSON as far as an answer is believed: objects that are objects, and lists that end.
//!
//! A list keeps no more rows than the operation may answer with and counts the rest, because `{}` takes three
//! bytes on the wire and many times that in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A JSON object. A derived `Deserialize` alone would take an array of the fields' values for one as well, and
/// `[[]]` for a list that has ended.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

/// A list of objects of which at most `MOST` are kept.
pub(super) struct Rows<T, const MOST: usize> {
    kept: Vec<T>,
    found: usize,
}

impl<T, const MOST: usize> Rows<T, MOST> {
    /// Returns the rows, unless there were more than may be.
    ///
    /// # Errors
    /// How many there were.
    pub(super) fn all(self) -> Result<Vec<T>, usize> {
        self.none_beyond().map(|()| self.kept)
    }

    /// Says whether there were more than may be.
    ///
    /// # Errors
    /// How many there were.
    pub(super) const fn none_beyond(&self) -> Result<(), usize> {
        if self.found > MOST { Err(self.found) } else { Ok(()) }
    }

    /// Returns as many rows as there may be, whether there were more or not.
    pub(super) fn first(&self) -> &[T] {
        &self.kept
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Rows<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for RowsVisitor<T, MOST> {
            type Value = Rows<T, MOST>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                // Most rows come on full pages.
                let mut kept = Vec::with_capacity(MOST);
                while kept.len() < MOST {
                    match rows.next_element::<Object<T>>()? {
                        Some(Object(row)) => kept.push(row),
                        None => return Ok(Rows { found: kept.len(), kept }),
                    }
                }
                let mut found = kept.len();
                while rows.next_element::<IgnoredAny>()?.is_some() {
                    found += 1;
                }
                Ok(Rows { kept, found })
            }
        }

        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Row {}

    fn rows(count: usize) -> Result<usize, usize> {
        let list = format!("[{}]", vec!["{}"; count].join(","));
        serde_json::from_str::<Rows<Row, 3>>(&list).unwrap().all().map(|rows| rows.len())
    }

    #[test]
    fn a_list_keeps_as_many_rows_as_there_may_be_and_counts_the_rest() {
        assert_eq!([rows(0), rows(1), rows(3)], [Ok(0), Ok(1), Ok(3)]);
        assert_eq!([rows(4), rows(10_000)], [Err(4), Err(10_000)]);
        let long: Rows<Row, 3> = serde_json::from_str("[{}, {}, {}, 7]").unwrap();
        assert_eq!(long.first().len(), 3);
    }
}
