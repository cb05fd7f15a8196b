//! Debug messages, for `-vv`. Without it the loader sets the level to 0, and the kernel removes the code.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use aya_log_ebpf::debug;
use smtp_filter_common::{
    done::{DONE, Done},
    work::Work,
};

/// One line per judged segment: the result, by the numbers in `smtp_filter_common::{outcome, reason, verdict}`.
#[inline(never)]
pub fn judged(skb: *mut __sk_buff, work: &Work) -> Done {
    let segment = &work.segment;
    debug!(
        &TcContext::new(skb),
        "egress {} ports {} -> {} flags {:x} seq {} length {}: next {} reason {}, mode {}, block {} by {}",
        work.met.egress as u8,
        segment.source_port,
        segment.destination_port,
        segment.flags,
        segment.sequence.0,
        segment.length,
        work.outcome.next.number(),
        work.outcome.reason,
        work.state.session.mode.number(),
        work.block.action,
        work.block.reason,
    );
    DONE
}
