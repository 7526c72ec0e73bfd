//! The recipes of `deploy/warehouse`, run by the engines that they are written for.
//!
//! Every engine goes through one story, and after each load all of its tables are held against the lists that the
//! simulator served. The lists are written out here: what must stand in a warehouse is not taken from what was
//! published. Recipes for engines that cannot be run here are read by a parser of their dialects, and what they have
//! in common with other engines is translated and goes through the story too.

mod declarations;
#[cfg(feature = "simulator")]
mod story;
