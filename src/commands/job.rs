//! Reads a job as its file and the flags say it. The file is read once, whatever is wanted of it.

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use crate::cli::{JobArguments, MetricsArguments};
use crate::job::{Job, JobDefinition, MetricsSettings};

/// A job as it is written.
pub(super) struct WrittenJob<'a> {
    arguments: &'a JobArguments,
    definition: JobDefinition,
}

impl<'a> WrittenJob<'a> {
    /// Reads the job file, if there is one.
    pub(super) fn read(arguments: &'a JobArguments) -> anyhow::Result<Self> {
        let definition = match &arguments.job {
            Some(path) => JobDefinition::read(path)?,
            None => JobDefinition::default(),
        };
        Ok(Self { arguments, definition })
    }

    /// Works out where metrics go, which a job that means nothing tells as well.
    pub(super) fn metrics(&self, arguments: &MetricsArguments) -> anyhow::Result<MetricsSettings> {
        let file = self.arguments.job.as_deref();
        MetricsSettings::resolve(arguments.overrides(), &self.definition.metrics, file)
            .with_context(|| self.name())
    }

    /// Works out what the job means.
    pub(super) fn resolve(self, now: DateTime<Utc>) -> anyhow::Result<Job> {
        let name = self.name();
        let variable = |name: &str| std::env::var(name).ok();
        Job::resolve(self.arguments.overrides(), self.definition, now, variable).context(name)
    }

    /// Names where it is written.
    pub(super) fn name(&self) -> String {
        match &self.arguments.job {
            Some(path) => format!("job file {}", path.display()),
            None => "command line".to_owned(),
        }
    }
}
