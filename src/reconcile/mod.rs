//! Does the invoice agree with what was published?
//!
//! [`mapping`] says which columns of an invoice mean what, and [`invoice`] reads them.

pub mod invoice;
pub mod mapping;
pub mod quantity;
pub mod written_period;
