//! Paths within a place: nothing that could leave its root can be expressed.
//!
//! A manifest or a cursor read back is input like any other, so a path is a [`RelativePath`] from the moment it
//! is parsed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path within an output, in bytes: what the narrowest object store takes as a key.
pub const MAX_PATH_BYTES: usize = 1024;
/// The longest segment of a path, in bytes: what common filesystems take as a name.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// A path below an output's root, `/` between its segments, which cannot lead out of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

/// A text that is not a path within an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path within an output: {rule}")]
pub struct RelativePathError {
    path: String,
    rule: &'static str,
}

impl RelativePath {
    /// Accepts segments parted by `/`, none of them empty, `.` or `..`, without backslashes, colons and
    /// control characters.
    ///
    /// # Errors
    /// [`RelativePathError`] with the rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, RelativePathError> {
        let refuse = |rule| Err(RelativePathError { path: text.escape_debug().take(200).collect(), rule });
        if text.len() > MAX_PATH_BYTES {
            return refuse("it is longer than 1024 bytes");
        }
        if text.chars().any(|character| character.is_control() || matches!(character, '\\' | ':')) {
            return refuse("it holds a backslash, a colon or a control character");
        }
        for segment in text.split('/') {
            match segment {
                "" => return refuse("a segment is empty, so it is absolute or ambiguous"),
                "." | ".." => return refuse("`.` and `..` are not allowed"),
                long if long.len() > MAX_SEGMENT_BYTES => {
                    return refuse("a segment is longer than 255 bytes");
                }
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Makes a path of parts that this program wrote itself.
    pub(crate) fn known(text: String) -> Self {
        debug_assert!(Self::new(&text).is_ok(), "{text}");
        Self(text)
    }

    /// Returns the path as it is written in a manifest.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the segments from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Says whether the path lies below a prefix, which ends at a segment's edge.
    #[must_use]
    pub fn is_below(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(&prefix.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the path of `name` in the folder that this path names.
    ///
    /// # Errors
    /// [`RelativePathError`] if the name is none.
    pub fn join(&self, name: &str) -> Result<Self, RelativePathError> {
        Self::new(&format!("{}/{name}", self.0))
    }
}

impl FromStr for RelativePath {
    type Err = RelativePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for RelativePath {
    type Error = RelativePathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_output() {
        for text in [
            "",
            "/etc/passwd",
            "..",
            "../other",
            "revisions/../../other",
            "revisions/./x",
            "revisions//x",
            "revisions/",
            "C:/x",
            "a\\..\\b",
            "a\0b",
            "a\nb",
        ] {
            assert!(RelativePath::new(text).is_err(), "{text:?}");
        }
        assert!(RelativePath::new(&"a".repeat(256)).is_err());
        assert!(RelativePath::new(&vec!["a"; 600].join("/")).is_err());
        assert!(RelativePath::new("revisions/..x/a b~.txt").is_ok());
        assert!(serde_json::from_str::<RelativePath>("\"../x\"").is_err());
    }
}
