//! Out-of-order segments of mail data. Dropping them would cost nearly all throughput under loss or reordering. So they
//! pass if no end of data is possible in them, whatever the bytes before them are. Their ranges are remembered until
//! the gap is filled: a few in the entry, more in a slot of the shared pool.
//!
//! A segment also passes if its first bytes would end the mail data after one particular state (`\r\n` after a dot at a
//! line's start): that state almost never occurs. If it did, the bytes that follow would be commands. So it is
//! remembered as barred, with the range and as a boundary. The segment that fills the gap is held back or reset if it
//! ends in that state, and is held back if it goes beyond the range's start and has that state there. If it ends there,
//! the state is known from then on, and is remembered like any other.
//!
//! A segment after a gap is judged in [`accept`], its range is looked up in [`search`], remembered in [`add`], and
//! joined with the bytes before it in [`join`]. [`ranges`] has the list itself, with its invariant.

pub mod accept;
pub mod add;
pub mod join;
pub mod ranges;
pub mod search;
