//! Replaying captures: such an instance has the capture's clock, and numbers connections in order. In any other
//! instance the kernel removes this code.

use aya_ebpf::{Global, helpers::bpf_ktime_get_boot_ns};
use smtp_filter_common::{abi::Replayed, verdict::Verdict};

use crate::maps::REPLAYED;

/// Not 0: this instance replays a capture. `smtp_filter_common::abi::REPLAY`.
#[unsafe(no_mangle)]
static REPLAY: Global<u8> = Global::new(0);

/// Whether this instance replays a capture.
#[inline(always)]
pub fn is_on() -> bool {
    REPLAY.load() != 0
}

/// What the loader says about the capture; `None` if there is none.
#[inline(always)]
fn replayed() -> Option<*mut Replayed> {
    if REPLAY.load() == 0 { None } else { REPLAYED.get_ptr_mut(0) }
}

/// The time: the frame's when a capture is replayed, else nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    match replayed() {
        // SAFETY: the loader writes it between two frames.
        Some(replayed) => unsafe { (*replayed).now },
        // SAFETY: the helper takes nothing.
        None => unsafe { bpf_ktime_get_boot_ns() },
    }
}

/// Length of the segments that a frame was merged from, when a capture is replayed.
#[inline(always)]
pub fn piece() -> Option<u16> {
    // SAFETY: as above.
    replayed().map(|replayed| unsafe { (*replayed).piece } as u16)
}

/// The next connection's number, when a capture is replayed: a replay gives the same output each time and everywhere.
#[inline(always)]
pub fn number() -> Option<u64> {
    let replayed = replayed()?;
    // SAFETY: frames are replayed one after the other.
    let connections = unsafe { &mut (*replayed).connections };
    *connections = connections.wrapping_add(1);
    Some(*connections)
}

/// Reports the verdict on a frame, when a capture is replayed.
#[inline(always)]
pub fn judged(verdict: Verdict) {
    if let Some(replayed) = replayed() {
        // SAFETY: as above.
        let Replayed { frames, verdict: last, .. } = unsafe { &mut *replayed };
        (*frames, *last) = (frames.wrapping_add(1), verdict as u64);
    }
}
