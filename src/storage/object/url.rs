//! The URL of a place in an object store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

use std::fmt;

use object_store::path::Path;

use crate::storage::destination::{DestinationUrlError, without_credentials};
use crate::storage::path::RelativePath;

/// Whose protocol a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Amazon's.
    S3,
    /// That of Google Cloud Storage.
    Google,
    /// That of Azure Blob Storage.
    Azure,
}

impl StoreKind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" | "azure" => Some(Self::Azure),
            _ => None,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

/// A bucket of S3 or Google, or a container of Azure, and a prefix of keys within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// What speaks there.
    pub kind: StoreKind,
    /// The bucket, or container.
    pub bucket: String,
    /// What all keys begin with, if anything.
    pub prefix: Option<RelativePath>,
}

impl StoreUrl {
    /// Reads the URL, if its scheme is that of a store.
    ///
    /// # Errors
    /// [`DestinationUrlError::Store`] if it names no bucket, or a prefix that is no path.
    pub fn parse(text: &str) -> Result<Option<Self>, DestinationUrlError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let Some(kind) = StoreKind::of(scheme) else { return Ok(None) };
        let refuse = |reason: &str| DestinationUrlError::Store {
            url: without_credentials(text),
            reason: reason.to_owned(),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
        if bucket.contains([':', '@']) {
            return Err(refuse(
                "holds credentials, which do not belong there: give them as the store's own tools want",
            ));
        }
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(refuse("names no bucket"));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = match prefix {
            "" => None,
            // Keys with other characters would be written in one form and listed in another.
            prefix if Path::from(prefix).as_ref() != prefix => {
                return Err(refuse("has a prefix with a character that keys cannot have as it is"));
            }
            prefix => Some(RelativePath::new(prefix).map_err(|error| refuse(&error.to_string()))?),
        };
        Ok(Some(Self { kind, bucket: bucket.to_owned(), prefix }))
    }

    /// Returns the key of a path below the prefix.
    pub(super) fn key(&self, path: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{path}"),
            None => path.to_owned(),
        }
    }

    /// Returns the path below the prefix that a key is of.
    pub(super) fn path_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        match &self.prefix {
            Some(prefix) => key.strip_prefix(prefix.as_str())?.strip_prefix('/'),
            None => Some(key),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.kind.scheme(), self.bucket)?;
        match &self.prefix {
            Some(prefix) => write!(formatter, "/{prefix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_stores_are_read_and_written_in_one_form() {
        for (text, shown) in [
            ("s3://bucket", "s3://bucket"),
            ("s3a://my.bucket-1/", "s3://my.bucket-1"),
            ("S3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket_1/a", "gs://bucket_1/a"),
            ("az://container/a", "az://container/a"),
        ] {
            let url = StoreUrl::parse(text).unwrap().expect(text);
            assert_eq!(url.to_string(), shown);
        }
        assert_eq!(StoreUrl::parse("./s3/bucket"), Ok(None));
        assert_eq!(StoreUrl::parse("file:///x"), Ok(None));
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in ["s3://", "s3:///prefix", "s3://a b", "s3://b/../x", "s3://c//x"] {
            let error = StoreUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("s3://bucket/prefix"), "{error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for text in
            ["s3a://AKIAKEY:se+cr/et@bucket/x", "s3://AKIAKEY:secret@bucket", "gs://user:secret@bucket/a@b"]
        {
            let error = StoreUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains("holds credentials"), "{error}");
            assert!(
                !error.contains("AKIAKEY") && !error.contains("cret") && !error.contains("et@"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_prefix_whose_keys_would_be_listed_in_another_form_is_refused() {
        for character in "%~#[]{}^*?\"<>|`\\".chars() {
            let error = StoreUrl::parse(&format!("s3://bucket/a{character}b")).unwrap_err().to_string();
            assert!(error.contains("prefix") || error.contains("path"), "{error}");
        }
        assert!(StoreUrl::parse("s3://bucket/a b=c+d,e;f@g!h$i&j'(k)").unwrap().is_some());
    }

    #[test]
    fn keys_and_paths_are_told_from_each_other_by_the_prefix() {
        let url = StoreUrl::parse("s3://bucket/a/b").unwrap().unwrap();
        assert_eq!(url.key("x/y"), "a/b/x/y");
        assert_eq!(url.path_of("a/b/x/y"), Some("x/y"));
        assert_eq!(url.path_of("a/bc/x"), None);
        let url = StoreUrl::parse("s3://bucket").unwrap().unwrap();
        assert_eq!(url.path_of(&url.key("x")), Some("x"));
    }
}
