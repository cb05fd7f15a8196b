//! Parts of the datapath that many paths lead to, as functions with global linkage.

// verifier: it walks such functions once each, whoever calls them. Of a pointer it knows only the type, and that it may
// be null.

use core::{arch::asm, ptr::null_mut};

use aya_ebpf::bindings::__sk_buff;
use smtp_filter_common::{
    entry::Connection,
    flow::promote,
    seq::Seq,
    session::scan,
    stream::{
        boundaries::{self, lookup},
        sorted,
    },
    work::Work,
};

use crate::{host::Kernel, maps::WORK};

/// Makes a half-open connection live.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn promote(skb: *mut __sk_buff, work: *mut Work) -> u32 {
    // verifier: on 6.1 a map key may not lie in memory that is known by its type alone. So the working area is looked
    // up again, and the compiler must not see that it is the same.
    // SAFETY: does nothing. The compiler has to assume that it may do anything to the working area.
    unsafe { asm!("{0} = {0}", inout(reg) work => _, options(nostack)) };
    let Some(work) = WORK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the current working area, which the caller does not use meanwhile.
    let work = unsafe { &mut *work };
    promote::promote(&mut Kernel::new(skb, work, null_mut()), work) as u32
}

/// Scans mail data.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn scan(skb: *mut __sk_buff, work: *mut Work) -> u32 {
    // SAFETY: null, or the current working area.
    let Some(work) = (unsafe { work.as_mut() }) else { return 0 };
    scan::run(&mut Kernel::new(skb, work, null_mut()), work);
    0
}

/// Remembers a boundary, with the scanner's state there and, in the second byte, how many boundaries are to be left
/// free.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn note_boundary(
    skb: *mut __sk_buff,
    work: *mut Work,
    entry: *mut Connection,
    at: u32,
    what: u32,
) -> u32 {
    // SAFETY: as in `scan`.
    let Some(work) = (unsafe { work.as_mut() }) else { return 0 };
    boundaries::note(&mut Kernel::new(skb, work, entry), work, Seq(at), what as u8, (what >> 8) as usize & 0xff) as u32
}

/// Looks up what is known of a position in mail data.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn look_at_boundary(
    skb: *mut __sk_buff,
    work: *mut Work,
    entry: *mut Connection,
    at: u32,
    before: u32,
) -> u32 {
    // SAFETY: as in `scan`.
    let Some(work) = (unsafe { work.as_mut() }) else { return 0 };
    lookup::look(&mut Kernel::new(skb, work, entry), work, Seq(at), before)
}

/// Finds boundaries and ranges in mail data.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn list_boundaries(work: *mut Work, from: u32, to: u32) -> u32 {
    // SAFETY: as in `scan`.
    let Some(work) = (unsafe { work.as_mut() }) else { return 0 };
    lookup::find(&mut Kernel::new(null_mut(), work, null_mut()), work, Seq(from), Seq(to))
}

/// Sorts into a list of the pool.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sort(work: *mut Work) -> u32 {
    // SAFETY: as in `scan`.
    let Some(work) = (unsafe { work.as_mut() }) else { return 0 };
    sorted::sort(&mut Kernel::new(null_mut(), work, null_mut()), work);
    0
}
