//! The sequence discipline: which bytes of a segment are new, retransmitted, out of order or impossible.

pub mod acceptable;
pub mod backlog;
pub mod boundaries;
pub mod chunks;
pub mod client;
pub mod gap;
pub mod identical;
pub mod in_segment;
pub mod normalise;
pub mod out_of_order;
pub mod pieces;
pub mod pool;
pub mod regions;
pub mod retransmission;
pub mod server;
pub mod sorted;
pub mod window;

/// Clears the note that bytes were rewritten before their sequence numbers are used again after a wrap.
#[inline(always)]
fn forget_rewritten(work: &mut crate::work::Work, from: usize) {
    const LONG_AGO: u32 = 1 << 30;
    let side = &mut work.state.side[from];
    side.rewrote &= (side.next.since(side.rewritten) < LONG_AGO) as u8;
}

/// Where region `index` of the client's stream ends.
#[inline(always)]
fn regions_end(work: &crate::work::Work, index: usize) -> crate::seq::Seq {
    let memory = &work.state.memory;
    if index + 1 < memory.regions as usize {
        memory.region_at[(index + 1) & (crate::bounds::REGIONS - 1)]
    } else {
        work.state.side[<crate::direction::Client as crate::direction::Direction>::INDEX].next
    }
}

/// Whether a segment reaches beyond the receiver's window. One byte exactly at the end of the window is a probe of a
/// closed window (RFC 9293 section 3.8.6.1). A longer segment is refused even if only its last byte is beyond: the
/// receiver might keep only part of it.
#[inline(always)]
fn beyond(work: &crate::work::Work, edge: crate::seq::Seq) -> bool {
    let segment = &work.segment;
    segment.end().is_after(edge) && !(segment.length == 1 && segment.sequence == edge)
}
