//! Events to all readers.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_ringbuf_output;
use smtp_filter_common::{
    bounds::READERS as SLOTS,
    event::Event,
    host::{Host, Step},
};

use crate::{
    host::Kernel,
    maps::{LOST, READERS},
};

struct Emit<'a>(&'a Event);

impl Step for Emit<'_> {
    #[inline(always)]
    fn step(&mut self, slot: u32) -> bool {
        let Some(ring) = READERS.get(slot) else { return slot + 1 >= SLOTS };
        let ring = core::ptr::from_ref(ring).cast_mut().cast::<c_void>();
        let data = core::ptr::from_ref(self.0).cast_mut().cast::<c_void>();
        // SAFETY: the ring is a map, and the event has the given length.
        let failed = unsafe { bpf_ringbuf_output(ring, data, Event::SIZE as u64, 0) } != 0;
        if failed && let Some(lost) = LOST.get_ptr_mut(0) {
            // SAFETY: this CPU's own element.
            let lost = unsafe { &mut (*lost).events[slot as usize & (SLOTS as usize - 1)] };
            *lost = lost.wrapping_add(1);
        }
        false
    }
}

/// Copies an event into the ring of each reader. Counts it as lost if there is no room.
#[inline(always)]
pub fn emit(event: &Event) {
    Kernel::run_steps(SLOTS, &mut Emit(event));
}
