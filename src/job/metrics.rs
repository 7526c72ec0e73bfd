//! Where a job's metrics go, and under which name.
//!
//! Worked out before everything else of the job, so that a job that means nothing still tells that it failed.

use std::path::{Path, PathBuf};

use super::definition::{MetricsDefinition, SecretUrl};
use super::resolve::UsageError;
use super::shard::Shard;
use crate::telemetry::metrics::pushgateway::PushgatewayUrl;

/// The job's name where no file and no key names it.
const DEFAULT_JOB: &str = env!("CARGO_PKG_NAME");
/// The longest name of a job, in characters.
const MAX_JOB_CHARACTERS: usize = 100;

/// What the flags say; each stands before the job file.
#[derive(Clone, Debug, Default)]
pub struct MetricsOverrides {
    /// `--metrics-file`.
    pub file: Option<PathBuf>,
    /// `--pushgateway-url`.
    pub pushgateway: Option<SecretUrl>,
}

/// Where metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// What the job is called.
    pub job: String,
    /// The file that they are written to, if any.
    pub file: Option<PathBuf>,
    /// The Pushgateway that they are pushed to, if any.
    pub pushgateway: Option<PushgatewayUrl>,
}

impl MetricsSettings {
    /// Works out what is written; a job is called as its file is, without the ending, unless a key says otherwise.
    ///
    /// # Errors
    /// [`UsageError`] for a name that is none, or a Pushgateway that no URL leads to.
    pub fn resolve(
        overrides: MetricsOverrides,
        definition: &MetricsDefinition,
        job_file: Option<&Path>,
    ) -> Result<Self, UsageError> {
        let stem = job_file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy());
        let stem = stem.as_deref().filter(|stem| checked(stem).is_ok());
        let job = definition.job.as_deref().map_or(Ok(stem.unwrap_or(DEFAULT_JOB)), checked)?.to_owned();
        let url = overrides.pushgateway.or_else(|| definition.pushgateway.clone());
        let pushgateway =
            url.map(|SecretUrl(text)| PushgatewayUrl::parse(&text)).transpose().map_err(|error| {
                UsageError(format!("--pushgateway-url or metrics.pushgateway cannot be used: {error}"))
            })?;
        let file = overrides.file.or_else(|| definition.file.clone());
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            let advice = "--metrics-file or metrics.file is empty; name a file, or remove it";
            return Err(UsageError(advice.to_owned()));
        }
        Ok(Self { job, file, pushgateway })
    }

    /// Gives each share of the networks a name and a file of its own: shares that run at once would write over each
    /// other.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        if !shard.is_whole() {
            let end = format!("-{}-of-{}", shard.index(), shard.count());
            self.job.push_str(&end);
            self.file = self.file.map(|file| beside(&file, &end));
        }
        self
    }

    /// Says whether they go anywhere.
    #[must_use]
    pub const fn go_somewhere(&self) -> bool {
        self.file.is_some() || self.pushgateway.is_some()
    }
}

/// Puts something at the end of a file's name, before its ending.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(end);
    if let Some(ending) = file.extension() {
        name.push(".");
        name.push(ending);
    }
    file.with_file_name(name)
}

fn checked(name: &str) -> Result<&str, UsageError> {
    let fits = !name.trim().is_empty() && name.chars().count() <= MAX_JOB_CHARACTERS;
    if fits && !name.contains(char::is_control) {
        Ok(name)
    } else {
        let bounds =
            format!("it must be one line of 1 to {MAX_JOB_CHARACTERS} characters, such as \"daily\"");
        Err(UsageError(format!("metrics.job is no name of a job; {bounds}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ShardDefinition;

    fn resolve(definition: &MetricsDefinition, file: Option<&str>) -> Result<MetricsSettings, String> {
        MetricsSettings::resolve(MetricsOverrides::default(), definition, file.map(Path::new))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_called_as_it_is_told_or_as_its_file_or_as_the_program() {
        let named =
            MetricsDefinition { job: Some("finance/daily".to_owned()), ..MetricsDefinition::default() };
        let nameless = MetricsDefinition::default();
        assert_eq!(resolve(&named, Some("jobs/daily.toml")).unwrap().job, "finance/daily");
        assert_eq!(resolve(&nameless, Some("jobs/month-close.toml")).unwrap().job, "month-close");
        assert_eq!(resolve(&nameless, Some("jobs/\n.toml")).unwrap().job, "wickr-guest-export");
        assert_eq!(resolve(&nameless, None).unwrap().job, "wickr-guest-export");
        assert!(!resolve(&nameless, None).unwrap().go_somewhere());
        for name in ["", " ", "a\nb", &"x".repeat(101)] {
            let wrong = MetricsDefinition { job: Some(name.to_owned()), ..MetricsDefinition::default() };
            assert!(resolve(&wrong, None).unwrap_err().starts_with("metrics.job is no name"), "{name:?}");
        }
    }

    #[test]
    fn shares_of_one_job_do_not_write_over_each_other() {
        let settings = resolve(&MetricsDefinition::default(), Some("jobs/daily.toml")).unwrap();
        let settings = MetricsSettings { file: Some(PathBuf::from("/var/lib/x.prom")), ..settings };
        assert_eq!(settings.clone().of_shard(Shard::WHOLE).job, "daily");
        let ShardDefinition::Numbered(shard) = "3/16".parse().unwrap() else { panic!("it is numbered") };
        let settings = settings.of_shard(shard);
        assert_eq!(settings.job, "daily-3-of-16");
        assert_eq!(settings.file, Some(PathBuf::from("/var/lib/x-3-of-16.prom")));
    }

    #[test]
    fn flags_stand_before_the_file_and_no_error_repeats_a_password() {
        let definition = MetricsDefinition {
            job: None,
            file: Some(PathBuf::from("written.prom")),
            pushgateway: Some(SecretUrl("gateway:secret@:1".to_owned())),
        };
        let error = resolve(&definition, None).unwrap_err();
        assert!(error.contains("metrics.pushgateway cannot be used") && !error.contains("secret"), "{error}");
        let overrides = MetricsOverrides {
            file: Some(PathBuf::from("flag.prom")),
            pushgateway: Some(SecretUrl("http://gateway:9091".to_owned())),
        };
        assert!(!format!("{overrides:?}").contains("9091"));
        let settings = MetricsSettings::resolve(overrides, &definition, None).unwrap();
        assert_eq!(settings.file, Some(PathBuf::from("flag.prom")));
        assert_eq!(settings.pushgateway.unwrap().to_string(), "http://gateway:9091");
    }
}
