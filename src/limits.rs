//! What the process asks of the system for itself: files enough for many runs, and memory back once it is free.

/// Lets the process open as many files as the system allows it: rosters of several large tasks are many runs.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where even that is refused, what is there has to do.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Has large blocks of memory given back as soon as they are free. To be called before there is another thread.
///
/// The GNU C library keeps blocks of the sizes that were freed before, up to 32 MiB each and for each of its arenas,
/// which doubles what a large roster takes. A threshold that is set no longer moves (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: libc::c_int = 1024 * 1024;
        #[expect(unsafe_code, reason = "a setting of the allocator, of which no reference is held")]
        // SAFETY: it takes two integers, and nothing else runs yet.
        let _refused = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
