//! Durable steps: every change of what a folder holds passes through [`step`], where tests can break it.
//!
//! Without the cargo feature `failpoints`, which only the tests enable, a step is the change and nothing else. With
//! it, the environment variable `FAILPOINTS` (see `fail::cfg` for what it may hold) decides before and after each
//! change, at four fail points in this order:
//!
//! ```text
//! durable-step                           every step, before and after it takes effect
//! durable-step.before                    only before, or `after`; a change that fails has no after
//! durable-step.before.rename             of these, the steps of this operation: the names of Operation
//! durable-step.before.rename.manifests   of these, the ones in this folder of the root; `root` stands for the rest
//! ```
//!
//! `durable-step.before=7*off->return(kill)` kills before the eighth change. What is on the disk after a change is
//! what is there before the next, so killing before each one leaves out nothing but the end.
//! `durable-step=4*off->1*return(enospc)` fails once, `durable-step=4*off->return(enospc)` from there on.
//!
//! Each action says on stderr in one line what it does and where:
//!
//! | action | says | does |
//! |---|---|---|
//! | `return(kill)` | `killed at durable step: before rename manifests/…/manifest.json` | SIGKILL |
//! | `return(tear)` | `torn at durable step: …` | cuts the file in half, as a power loss may if it is not synced; SIGKILL |
//! | `return(stop)` | `stopped at durable step: …` | SIGSTOP, until somebody sends SIGCONT |
//! | `return(enospc)`, `return(erofs)`, `return(eacces)` | `failed at durable step: …` | fails with this error |
//! | `return(trace)` | `durable step: …` | goes on |
//!
//! What stands after the colon is the moment, the operation, and the path below the root of the destination.
//!
//! `lease-term=return(6)` is no step: it makes leases in a bucket last six seconds, so that a test need not wait for
//! those of a run that it killed as long as users do.

use std::fs::File;
use std::io;
use std::path::Path;

/// What a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An empty file is created under `.staging/`.
    Stage,
    /// Bytes are written to a staged file.
    Write,
    /// Content becomes durable; the path is where it will be put.
    Sync,
    /// A staged file or link is put in place.
    Rename,
    /// Another name of a file is made under `.staging/`.
    Link,
    /// A file is removed.
    Remove,
    /// A folder is created.
    CreateFolder,
    /// An empty folder is removed.
    RemoveFolder,
    /// The names in a folder become durable.
    SyncFolder,
    /// The holder of a lock is written into its file.
    Lock,
}

/// Where a step changes something.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "failpoints"), expect(dead_code, reason = "only fail points ask where"))]
pub(crate) struct Site<'a> {
    /// The root of the destination.
    pub(crate) root: &'a Path,
    /// What is changed.
    pub(crate) path: &'a Path,
    /// The content that a power loss may tear: none if it is durable or the change is not of content.
    pub(crate) content: Option<&'a File>,
}

impl<'a> Site<'a> {
    /// A change of names, or of content that is durable already.
    pub(crate) const fn of(root: &'a Path, path: &'a Path) -> Self {
        Self { root, path, content: None }
    }

    /// A change of content that is not durable yet.
    pub(crate) const fn content(root: &'a Path, path: &'a Path, content: &'a File) -> Self {
        Self { root, path, content: Some(content) }
    }
}

/// Returns how long leases last if a test says so.
#[cfg(feature = "failpoints")]
pub(crate) fn lease_term() -> Option<std::time::Duration> {
    let seconds = fail::eval("lease-term", |seconds| seconds.and_then(|seconds| seconds.parse().ok()))?;
    Some(std::time::Duration::from_secs(seconds.expect("lease-term=return(SECONDS)")))
}

/// Returns how long leases last if a test says so: nothing does.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn lease_term() -> Option<std::time::Duration> {
    None
}

/// Makes a change, unless a fail point forbids it.
///
/// # Errors
/// What the change fails with, or a fail point instead of it or after it.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn step<T>(
    _operation: Operation,
    _site: Site<'_>,
    change: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    change()
}

/// Makes a change, unless a fail point forbids it.
///
/// # Errors
/// What the change fails with, or a fail point instead of it or after it.
#[cfg(feature = "failpoints")]
pub(crate) fn step<T>(
    operation: Operation,
    site: Site<'_>,
    change: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    armed::meet("before", operation, site)?;
    let changed = change()?;
    // Synced content is whole, whatever happens from here on.
    let content = if operation == Operation::Sync { None } else { site.content };
    armed::meet("after", operation, Site { content, ..site })?;
    Ok(changed)
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::io::Write;

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    use super::{File, Operation, Path, Site, io};

    impl Operation {
        const fn name(self) -> &'static str {
            match self {
                Self::Stage => "stage",
                Self::Write => "write",
                Self::Sync => "sync",
                Self::Rename => "rename",
                Self::Link => "link",
                Self::Remove => "remove",
                Self::CreateFolder => "create-folder",
                Self::RemoveFolder => "remove-folder",
                Self::SyncFolder => "sync-folder",
                Self::Lock => "lock",
            }
        }
    }

    /// Asks the fail points of a step, widest first.
    pub(super) fn meet(moment: &str, operation: Operation, site: Site<'_>) -> io::Result<()> {
        let below = site.path.strip_prefix(site.root).unwrap_or(Path::new(".."));
        let folder = below.components().next().filter(|_| below != Path::new(".."));
        let folder = folder.map_or("root".into(), |folder| folder.as_os_str().to_string_lossy());
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let operation = operation.name();
        let place = format!("{moment} {operation} {}", below.display());
        let mut point = "durable-step".to_owned();
        for narrower in [None, Some(moment), Some(operation), Some(&*folder)] {
            if let Some(narrower) = narrower {
                point = format!("{point}.{narrower}");
            }
            let action = fail::eval(&point, Option::unwrap_or_default);
            if let Some(action) = action {
                act(&action, &place, site.content)?;
            }
        }
        Ok(())
    }

    fn act(action: &str, place: &str, content: Option<&File>) -> io::Result<()> {
        match action {
            "trace" => say("durable step", place),
            "kill" => {
                say("killed at durable step", place);
                signal(Signal::KILL);
            }
            "tear" => {
                let tear = |content: &File| content.set_len(content.metadata()?.len() / 2);
                let torn = content.is_some_and(|content| tear(content).is_ok());
                assert!(torn, "`tear` at `{place}`: no content is at stake");
                say("torn at durable step", place);
                signal(Signal::KILL);
            }
            "stop" => {
                say("stopped at durable step", place);
                signal(Signal::STOP);
                // Another thread may be the one that takes the signal: this one must not go on before it does. What
                // passes while the process is stopped counts.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            "enospc" => return Err(failure(Errno::NOSPC, place)),
            "erofs" => return Err(failure(Errno::ROFS, place)),
            "eacces" => return Err(failure(Errno::ACCESS, place)),
            unknown => panic!("`{unknown}` is no action of a durable step"),
        }
        Ok(())
    }

    fn failure(errno: Errno, place: &str) -> io::Error {
        say("failed at durable step", place);
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    /// Writes the line at once: there may be no later.
    fn say(what: &str, place: &str) {
        // Nobody may be reading, which changes nothing.
        let _unread = io::stderr().write_all(format!("{what}: {place}\n").as_bytes());
    }

    fn signal(signal: Signal) {
        kill_process(getpid(), signal).expect("a process may signal itself");
    }
}
