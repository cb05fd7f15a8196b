//! Late segments of a connection that has left the live table.

use super::gone::RESET;
use crate::{
    host::Host,
    outcome::Outcome,
    reason::Reason,
    wire::{FIN, RST},
    work::Work,
};

/// How far before the FIN a late segment may end. Within this distance it counts as a retransmission, otherwise as part
/// of another connection with the same ports.
const LONG_AGO: u32 = 1 << 24;

/// The result for a late segment; `None` if nothing is remembered of its connection.
#[inline(always)]
pub fn late<H: Host>(host: &mut H, work: &mut Work, from: u8) -> Option<Outcome> {
    if !host.gone(&work.key, &mut work.gone) {
        return None;
    }
    let Work { segment, gone, .. } = &*work;
    if segment.has(RST) {
        // It carries nothing, and answers a late segment.
        return Some(Outcome::passes(Reason::Closing));
    }
    if gone.how == RESET {
        return Some(Outcome::held_back(Reason::AfterReset));
    }
    let end = segment.end().plus((segment.flags & FIN) as u32);
    let known = gone.ends[from as usize & 1];
    Some(if known.since(end) < LONG_AGO {
        Outcome::passes(Reason::Late)
    } else {
        Outcome::guarded(Reason::UnknownConnection)
    })
}

const _: () = assert!(FIN == 1);
