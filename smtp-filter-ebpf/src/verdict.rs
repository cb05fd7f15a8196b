//! From a verdict to what the kernel does with the segment.

use aya_ebpf::bindings::{
    __sk_buff,
    tcx_action_base::{TCX_DROP, TCX_NEXT},
};
use smtp_filter_common::{
    policy::Policy,
    reset::{Reset, shorten},
    verdict::Verdict,
    work::Work,
};

use crate::{replay, reset::Turned};

/// Carries out the verdict.
#[inline(always)]
pub fn carry_out(skb: *mut __sk_buff, policy: &Policy, work: &Work, verdict: Verdict) -> i32 {
    replay::judged(verdict);
    match verdict {
        Verdict::Pass => {
            if work.marked != 0 {
                mark(skb, policy);
            }
            TCX_NEXT
        }
        Verdict::Drop => TCX_DROP,
        Verdict::Reset => reset(skb, work, true),
        Verdict::ResetSender => reset(skb, work, false),
    }
}

/// Sends a RST to the segment's sender and, if `both`, turns the segment into one to its receiver.
#[inline(never)]
fn reset(skb: *mut __sk_buff, work: &Work, both: bool) -> i32 {
    let segment = &work.segment;
    let mut turned = Turned { skb, link: work.link };
    let Some(partial) = shorten(&mut turned, work.link, segment) else { return TCX_DROP };
    let to_sender = Reset::to_sender(segment).write(&mut turned, work.link, segment.header, partial);
    if !(to_sender && turned.turn_link() && turned.send_back(work.met.egress)) || !both {
        return TCX_DROP;
    }
    // If anything fails here, the connection is still marked as reset: its next segment triggers the RST again.
    let to_receiver = Reset::to_receiver(segment, work.next());
    if turned.turn_link() && to_receiver.write(&mut turned, work.link, segment.header, partial) {
        TCX_NEXT
    } else {
        TCX_DROP
    }
}

/// Sets the policy's skb mark.
#[inline(always)]
pub fn mark(skb: *mut __sk_buff, policy: &Policy) {
    // SAFETY: the context is the kernel's.
    let mark = unsafe { &mut (*skb).mark };
    *mark = *mark & !policy.mark_mask | policy.mark_value & policy.mark_mask;
}
