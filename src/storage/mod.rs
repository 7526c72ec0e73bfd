//! Files in a folder or in a bucket: whole, durable, and changed by one process at a time.
//!
//! [`destination`] is the seam to what files are stored in, with [`local`] and [`object`] behind it. What is published and what
//! an interrupted walk leaves behind are stored through it alike; which paths they have is not known here.

pub mod destination;
pub mod digest;
#[cfg(test)]
pub(crate) mod dying;
pub mod encode;
mod failpoint;
pub mod local;
pub mod lock;
pub mod lock_wait;
pub mod object;
pub mod path;
pub mod seal;

pub use destination::{
    Destination, DestinationError, DestinationUrlError, HeldLock, ListedFile, Listing, Precondition,
    StagedFile, Version, Versioned, local_path,
};
pub use digest::{FileDigest, Measure, Measured};
pub use encode::{EncodeError, EncodedFile, EncoderError, encode};
pub use local::LocalDestination;
pub use lock_wait::LockWait;
pub use object::{ObjectDestination, StoreUrl};
pub use path::{RelativePath, RelativePathError};
