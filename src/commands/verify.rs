//! `verify`: is what is published whole and unaltered?
