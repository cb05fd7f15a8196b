//! The shell around the datapath in the kernel: reads bytes by skb helpers, keeps state in maps, and carries out
//! verdicts.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "the macro that makes a classifier of a function drops its documentation")]

mod atomic;
mod checksum;
mod emit;
mod host;
mod maps;
mod parts;
mod policies;
mod replay;
mod reset;
mod skb;
mod trace;
mod verdict;

use core::ptr::null_mut;

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
    abi,
    direction::{Client, Direction, Server},
    done::{DONE, Done},
    entry::Connection,
    judge,
    met::Met,
    outcome::{Next, Outcome},
    policy::Policy,
    scope::Policies as _,
    verdict::Verdict,
    wire::{self, Kind},
    work::Work,
};

use crate::{
    host::Kernel,
    maps::{CHAIN, SENDING, WORK},
    policies::InForce,
    skb::Skb,
};

// The chain: a program for each hook, which reads the headers, and one for each step that may follow. They call each
// other by their index in CHAIN. The working area is all that is passed on.

/// Packets that the interface receives.
#[classifier]
pub fn smtp_ingress(context: TcContext) -> i32 {
    begin(context.as_ptr().cast(), false)
}

/// What goes out by the interface.
#[classifier]
pub fn smtp_egress(context: TcContext) -> i32 {
    if let Some(sending) = SENDING.get_ptr(0) {
        // SAFETY: this CPU's own element.
        if unsafe { sending.read_volatile() } != 0 {
            return TCX_NEXT;
        }
    }
    begin(context.as_ptr().cast(), true)
}

/// Segments that begin a connection, or belong to none that is known.
#[classifier]
pub fn smtp_handshake(context: TcContext) -> i32 {
    let skb = context.as_ptr().cast();
    let Some(work) = work() else { return TCX_DROP };
    handshake(skb, InForce::of(work), work);
    match work.outcome.next {
        Next::FIND_CLIENT => go_on::<{ abi::STEP_CLIENT }>(skb, work),
        Next::FIND_SERVER => go_on::<{ abi::STEP_SERVER }>(skb, work),
        Next::SETTLED | Next::PASSES | Next::GUARDED | Next::HELD_BACK => go_on::<{ abi::STEP_FINISH }>(skb, work),
        Next::READ | Next::HANDSHAKE | Next(Next::UNNAMED..) => unjudged(skb, work, null_mut()),
    }
}

/// Segments that the client of a connection sends.
#[classifier]
pub fn smtp_client(context: TcContext) -> i32 {
    side::<Client>(context.as_ptr().cast())
}

/// Segments that the server of a connection sends.
#[classifier]
pub fn smtp_server(context: TcContext) -> i32 {
    side::<Server>(context.as_ptr().cast())
}

/// The steps of one side of a connection.
#[inline(always)]
fn side<D: Direction>(skb: *mut __sk_buff) -> i32 {
    let Some(work) = work() else { return TCX_DROP };
    let policies = InForce::of(work);
    let entry = find::<D>(skb, policies, work);
    match work.outcome.next {
        Next::READ => {
            let Some(policy) = policies.of_scope(work.scope as u32) else { return unjudged(skb, work, entry) };
            read::<D>(skb, policy, work, entry);
            decide::<D>(skb, policy, work, entry);
            leave(skb, policies, work)
        }
        Next::SETTLED | Next::PASSES | Next::GUARDED | Next::HELD_BACK => leave(skb, policies, work),
        Next::HANDSHAKE => go_on::<{ abi::STEP_HANDSHAKE }>(skb, work),
        Next::FIND_CLIENT | Next::FIND_SERVER | Next(Next::UNNAMED..) => unjudged(skb, work, null_mut()),
    }
}

/// The rest: guards, the end of a connection, RSTs.
#[classifier]
pub fn smtp_finish(context: TcContext) -> i32 {
    let skb = context.as_ptr().cast();
    let Some(work) = work() else { return TCX_DROP };
    let policies = InForce::of(work);
    let Some(policy) = policies.of_scope(work.scope as u32) else { return unjudged(skb, work, null_mut()) };
    trace::judged(skb, work);
    let verdict = Verdict::from_u8(finish(skb, policy, work) as u8);
    verdict::carry_out(skb, policy, work, verdict)
}

/// Does nothing: the baseline for measurements. The loader does not load it.
#[classifier]
pub fn smtp_nothing(_context: TcContext) -> i32 {
    TCX_NEXT
}

/// The working area. It always exists.
#[inline(always)]
fn work() -> Option<&'static mut Work> {
    let work = WORK.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element, and no run interrupts another on one CPU.
    Some(unsafe { &mut *work })
}

/// Calls the next program of the chain. If there is none, the segment is dropped, so that nothing passes unread.
#[inline(always)]
fn go_on<const STEP: u32>(skb: *mut __sk_buff, work: &Work) -> i32 {
    // SAFETY: the program that follows takes the same context.
    unsafe { CHAIN.tail_call(&TcContext::new(skb), STEP) };
    unjudged(skb, work, null_mut())
}

/// The segment cannot be judged. It is dropped, and its sender retransmits it. `entry` is the connection that was found.
#[inline(always)]
fn unjudged(skb: *mut __sk_buff, work: &Work, entry: *mut Connection) -> i32 {
    let verdict = judge::unjudged(&mut Kernel::new(skb, work, entry), work);
    replay::judged(verdict);
    TCX_DROP
}

#[inline(always)]
fn begin(skb: *mut __sk_buff, egress: bool) -> i32 {
    // Nothing is filtered before there is a policy.
    let Some(policies) = InForce::now() else { return TCX_NEXT };
    let Some(whole) = policies.of_scope(0) else { return TCX_NEXT };
    let Some(work) = work() else { return TCX_NEXT };
    work.generation = policies.generation;
    work.outcome = Outcome { reason: 0, next: Next::SETTLED, verdict: Verdict::Pass as u8 };
    let mut kind = network(skb, whole, work);
    if kind == Kind::Other as u32 {
        replay::judged(Verdict::Pass);
        return TCX_NEXT;
    }
    if kind == Kind::Segment as u32 {
        kind = transport(skb, work);
    }
    let met = Met {
        now: replay::now(),
        // SAFETY: the context is the kernel's.
        ifindex: unsafe { (*skb).ifindex },
        egress,
    };
    // verifier: walked once, not once for each path through the headers.
    let kind = Kind::from_u8(work.unknown::<Kernel>(kind as u8));
    judge::begin(whole, work, kind, met);
    match work.outcome.next {
        Next::FIND_CLIENT => go_on::<{ abi::STEP_CLIENT }>(skb, work),
        Next::FIND_SERVER => go_on::<{ abi::STEP_SERVER }>(skb, work),
        Next::HANDSHAKE => go_on::<{ abi::STEP_HANDSHAKE }>(skb, work),
        Next::SETTLED | Next::PASSES | Next::GUARDED | Next::HELD_BACK => leave(skb, policies, work),
        Next::READ | Next(Next::UNNAMED..) => unjudged(skb, work, null_mut()),
    }
}

/// Ends here if only counting is left to do; otherwise the last program finishes.
#[inline(always)]
fn leave(skb: *mut __sk_buff, policies: InForce, work: &mut Work) -> i32 {
    let Some(verdict) = judge::leave(&mut Kernel::new(skb, work, null_mut()), work) else {
        return go_on::<{ abi::STEP_FINISH }>(skb, work);
    };
    trace::judged(skb, work);
    replay::judged(verdict);
    if verdict != Verdict::Pass {
        return TCX_DROP;
    }
    if work.marked != 0 {
        let Some(policy) = policies.of_scope(work.scope as u32) else { return TCX_DROP };
        verdict::mark(skb, policy);
    }
    TCX_NEXT
}

// verifier: the steps are functions of their own. Their frames are gone when they return, so that it finds only the
// working area between them. Their parameters tell the compiler about alignment.

/// Reads the headers before the TCP header: a [`Kind`] by number.
#[inline(never)]
fn network(skb: *mut __sk_buff, whole: &Policy, work: &mut Work) -> u32 {
    let frame = Skb::new(skb).found(work);
    wire::network(&frame, whole, &mut work.segment) as u32
}

/// Reads the TCP header: a [`Kind`] by number.
#[inline(never)]
fn transport(skb: *mut __sk_buff, work: &mut Work) -> u32 {
    let frame = Skb::new(skb).found_before(work);
    work.link = frame.link();
    wire::transport(&frame, &mut work.segment) as u32
}

/// Handles segments that belong to no known connection.
#[inline(never)]
fn handshake(skb: *mut __sk_buff, policies: InForce, work: &mut Work) -> Done {
    let mut kernel = Kernel::new(skb, work, null_mut());
    judge::handshake(&mut kernel, &policies, work);
    DONE
}

/// Finds the connection, and what can be judged without reading.
#[inline(never)]
fn find<D: Direction>(skb: *mut __sk_buff, policies: InForce, work: &mut Work) -> *mut Connection {
    let mut kernel = Kernel::new(skb, work, null_mut());
    judge::find::<D, _, _>(&mut kernel, &policies, work);
    kernel.entry
}

/// Reads the payload.
#[inline(never)]
fn read<D: Direction>(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> Done {
    let mut kernel = Kernel::new(skb, work, entry);
    judge::read::<D, _>(&mut kernel, policy, work);
    DONE
}

/// Decides about the segment.
#[inline(never)]
fn decide<D: Direction>(skb: *mut __sk_buff, policy: &Policy, work: &mut Work, entry: *mut Connection) -> Done {
    let mut kernel = Kernel::new(skb, work, entry);
    judge::decide::<D, _>(&mut kernel, policy, work);
    DONE
}

/// Does the rest: a [`Verdict`] by number.
#[inline(never)]
fn finish(skb: *mut __sk_buff, policy: &Policy, work: &mut Work) -> u32 {
    let mut kernel = Kernel::new(skb, work, null_mut());
    judge::finish(&mut kernel, policy, work) as u32
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program in which a panic can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
