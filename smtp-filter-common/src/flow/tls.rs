//! TLS, of which nothing is read.

use crate::{
    direction::Direction,
    entry::{SEALED, Shared, TLS, first_of},
    host::Host,
    wire::Segment,
};

/// Whether a segment lies in TLS, of which nothing is read.
#[inline(always)]
pub fn sealed<H: Host, D: Direction>(shared: &Shared, flags: u64, segment: &Segment) -> bool {
    let from = D::of(H::load(&shared.tls_from));
    let sealed = SEALED << D::INDEX;
    if flags & (TLS | sealed) == TLS && !first_of(H::load(&shared.peer[D::INDEX])).is_before(from) {
        H::set(&shared.flags, sealed);
    }
    flags & sealed != 0 || flags & TLS != 0 && !segment.sequence.is_before(from)
}
