//! What an instance that replays captures has of its own: the capture's clock, and connections that are numbered as they
//! come. Any other is loaded without, and the kernel leaves this out of it.

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

/// What the loader says of the capture; `None` where there is none.
#[inline(always)]
fn replayed() -> Option<*mut Replayed> {
    if REPLAY.load() == 0 { None } else { REPLAYED.get_ptr_mut(0) }
}

/// The time: of the frame where a capture is replayed, else nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    match replayed() {
        // SAFETY: the loader writes it between two frames.
        Some(replayed) => unsafe { (*replayed).now },
        // SAFETY: the helper takes nothing.
        None => unsafe { bpf_ktime_get_boot_ns() },
    }
}

/// Of what long segments a frame was merged, where a capture is replayed.
#[inline(always)]
pub fn piece() -> Option<u16> {
    // SAFETY: as above.
    replayed().map(|replayed| unsafe { (*replayed).piece } as u16)
}

/// The next connection's number where a capture is replayed: a replay says the same each time, wherever it runs.
#[inline(always)]
pub fn number() -> Option<u64> {
    let replayed = replayed()?;
    // SAFETY: frames are replayed one after the other.
    let connections = unsafe { &mut (*replayed).connections };
    *connections = connections.wrapping_add(1);
    Some(*connections)
}

/// Says what became of a frame, where a capture is replayed.
#[inline(always)]
pub fn judged(verdict: Verdict) {
    if let Some(replayed) = replayed() {
        // SAFETY: as above.
        let Replayed { frames, verdict: last, .. } = unsafe { &mut *replayed };
        (*frames, *last) = (frames.wrapping_add(1), verdict as u64);
    }
}
