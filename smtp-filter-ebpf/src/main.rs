//! The shell around the datapath in the kernel: bytes by skb helpers, state in maps, verdicts carried out.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "the macro that makes a classifier of a function leaves its documentation behind")]

mod emit;
mod host;
mod maps;
mod policies;
mod replay;
mod reset;
mod skb;
mod trace;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        __sk_buff,
        tcx_action_base::{TCX_DROP, TCX_NEXT},
    },
    macros::classifier,
    programs::TcContext,
};
use smtp_filter_common::{
    datapath::{self, Met},
    entry::Connection,
    policy::Policy,
    reset::{Reset, shorten},
    scope::Policies as _,
    verdict::Verdict,
    wire::{self, Kind},
    work::{Found, READ_CLIENT, READ_SERVER, SETTLED, Work},
};

use crate::{
    host::Kernel,
    maps::{SENDING, WORK},
    policies::InForce,
    reset::Turned,
    skb::Skb,
};

/// What comes in by the interface.
#[classifier]
pub fn smtp_ingress(context: TcContext) -> i32 {
    run(context.as_ptr().cast(), false)
}

/// What goes out by the interface.
#[classifier]
pub fn smtp_egress(context: TcContext) -> i32 {
    if let Some(sending) = SENDING.get_ptr(0) {
        // SAFETY: this CPU's own place.
        if unsafe { sending.read_volatile() } != 0 {
            return TCX_NEXT;
        }
    }
    run(context.as_ptr().cast(), true)
}

/// Does nothing: what the others are measured beside. The loader does not load it.
#[classifier]
pub fn smtp_nothing(_context: TcContext) -> i32 {
    TCX_NEXT
}

/// Beside the number of a [`Kind`]: at egress. A function takes five arguments at most.
const EGRESS: u32 = 1 << 8;

#[inline(always)]
fn run(skb: *mut __sk_buff, egress: bool) -> i32 {
    // Nothing is filtered before there is a policy.
    let Some(policies) = InForce::now() else { return TCX_NEXT };
    let Some(whole) = policies.of_scope(0) else { return TCX_NEXT };
    let Some(work) = WORK.get_ptr_mut(0) else { return TCX_NEXT };
    // SAFETY: this CPU's own place, and no run interrupts another on one CPU.
    let work = unsafe { &mut *work };
    work.found = Found { reason: 0, how: SETTLED, verdict: Verdict::Pass as u8 };
    let kind = headers(skb, whole, work);
    if kind == Kind::Other as u32 {
        replay::judged(Verdict::Pass);
        return TCX_NEXT;
    }
    let entry = find(skb, policies, whole, work, kind | (EGRESS * egress as u32));
    let Some(policy) = policies.of_scope(work.scope as u32) else {
        datapath::without_policy(&mut Kernel::new(skb, work, entry), work);
        return TCX_DROP;
    };
    match work.found.how {
        SETTLED => {
            let verdict = Verdict::from_u8(work.found.verdict);
            replay::judged(verdict);
            return if verdict == Verdict::Pass { TCX_NEXT } else { TCX_DROP };
        }
        READ_CLIENT => {
            read_client(skb, policy, work, entry);
            decide_client(skb, policy, work, entry);
        }
        READ_SERVER => {
            read_server(skb, policy, work, entry);
            decide_server(skb, policy, work, entry);
        }
        _ => {}
    }
    trace::judged(skb, work, egress);
    finish(skb, policy, work, entry, egress)
}

// The steps are functions of their own: their frames are gone when they return, so that the verifier finds nothing
// but the working place between them; and the parameters tell the compiler how they are aligned.

/// Reads the headers: a [`Kind`] by number.
#[inline(never)]
fn headers(skb: *mut __sk_buff, whole: &Policy, work: &mut Work) -> u32 {
    let frame = Skb::new(skb).found(work);
    let kind = wire::read(&frame, whole, &mut work.segment);
    if kind != Kind::Other {
        work.link = frame.link();
    }
    kind as u32
}

/// Finds the connection of a frame of this kind.
#[inline(never)]
fn find(
    skb: *mut __sk_buff,
    policies: InForce,
    whole: &Policy,
    work: &mut Work,
    kind_and_hook: u32,
) -> *mut Connection {
    let egress = kind_and_hook & EGRESS != 0;
    // verifier: walked once, not once for each way through the headers.
    let kind = Kind::from_u8(work.unknown::<Kernel>(kind_and_hook as u8));
    let mut kernel = Kernel::new(skb, work, core::ptr::null_mut());
    let met = Met {
        now: replay::now(),
        // SAFETY: the context is the kernel's.
        ifindex: unsafe { (*skb).ifindex },
        egress,
    };
    datapath::find(&mut kernel, &policies, whole, work, kind, met);
    kernel.entry
}

/// Reads what the client sent.
#[inline(never)]
fn read_client(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> bool {
    let mut kernel = Kernel::new(skb, work, entry);
    datapath::read_client(&mut kernel, policy, work);
    // A function that returns nothing may leave a pointer to its stack behind, which the verifier refuses.
    true
}

/// Reads what the server sent.
#[inline(never)]
fn read_server(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> bool {
    let mut kernel = Kernel::new(skb, work, entry);
    datapath::read_server(&mut kernel, policy, work);
    // See `read_client`.
    true
}

/// Decides about what the client sent.
#[inline(never)]
fn decide_client(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> bool {
    let mut kernel = Kernel::new(skb, work, entry);
    datapath::decide_client(&mut kernel, policy, work);
    // See `read_client`.
    true
}

/// Decides about what the server sent.
#[inline(never)]
fn decide_server(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> bool {
    let mut kernel = Kernel::new(skb, work, entry);
    datapath::decide_server(&mut kernel, policy, work);
    // See `read_client`.
    true
}

/// Carries the verdict out.
#[inline(never)]
fn finish(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection, egress: bool) -> i32 {
    let mut kernel = Kernel::new(skb, work, entry);
    let verdict = datapath::finish(&mut kernel, policy, work);
    replay::judged(verdict);
    match verdict {
        Verdict::Pass => {
            if work.marked != 0 {
                // SAFETY: the context is the kernel's.
                let mark = unsafe { &mut (*skb).mark };
                *mark = *mark & !policy.mark_mask | policy.mark_value & policy.mark_mask;
            }
            TCX_NEXT
        }
        Verdict::Drop => TCX_DROP,
        Verdict::Reset => reset(skb, work, egress, true),
        Verdict::ResetSender => reset(skb, work, egress, false),
    }
}

/// Sends a RST to the segment's sender, and (`both`) turns the segment into one to its receiver.
#[inline(always)]
fn reset(skb: *mut __sk_buff, work: &Work, egress: bool, both: bool) -> i32 {
    let segment = &work.segment;
    let mut turned = Turned { skb, link: work.link };
    let Some(partial) = shorten(&mut turned, work.link, segment) else { return TCX_DROP };
    let to_sender = Reset::to_sender(segment).write(&mut turned, work.link, segment.header, partial);
    if !(to_sender && turned.turn_link() && turned.send_back(egress)) || !both {
        return TCX_DROP;
    }
    // Whatever fails here, the connection is cut: its next segment brings the RST once more.
    let to_receiver = Reset::to_receiver(segment, work.next());
    if turned.turn_link() && to_receiver.write(&mut turned, work.link, segment.header, partial) {
        TCX_NEXT
    } else {
        TCX_DROP
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program in which a panic can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
