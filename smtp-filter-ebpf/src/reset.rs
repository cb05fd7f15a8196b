//! RSTs, made from the segment that caused them.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM},
    helpers::{bpf_clone_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use smtp_filter_common::reset::Bytes;

use crate::maps::SENDING;

/// A segment being turned into a RST, step by step. Each step returns `false` if the kernel refused it.
pub struct Turned {
    /// The frame.
    pub skb: *mut __sk_buff,
    /// Bytes of the link layer's header.
    pub link: u32,
}

impl Bytes for Turned {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: the helper writes N bytes to memory of N bytes.
        let failed = unsafe {
            bpf_skb_load_bytes(self.skb.cast::<c_void>(), offset, bytes.as_mut_ptr().cast::<c_void>(), N as u32)
        };
        if failed != 0 { None } else { Some(bytes) }
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, offset: u32, bytes: &[u8; N]) -> bool {
        // SAFETY: the helper reads N bytes.
        unsafe {
            bpf_skb_store_bytes(
                self.skb,
                offset,
                bytes.as_ptr().cast::<c_void>(),
                N as u32,
                BPF_F_RECOMPUTE_CSUM as u64,
            ) == 0
        }
    }

    #[inline(always)]
    fn truncate(&mut self, length: u32) -> bool {
        // SAFETY: the context is the kernel's.
        unsafe { bpf_skb_change_tail(self.skb, length, 0) == 0 }
    }
}

impl Turned {
    /// Swaps the MAC addresses.
    #[inline(always)]
    pub fn turn_link(&mut self) -> bool {
        if self.link == 0 {
            return true;
        }
        let Some(macs) = self.load::<12>(0) else { return false };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = macs;
        self.store(0, &[g, h, i, j, k, l, a, b, c, d, e, f])
    }

    /// Sends a copy of the frame back to where the segment came from.
    #[inline(always)]
    pub fn send_back(&self, egress: bool) -> bool {
        let flags = if egress { BPF_F_INGRESS as u64 } else { 0 };
        let Some(sending) = SENDING.get_ptr_mut(0) else { return false };
        // SAFETY: this CPU's own element; the nested run that the helper may cause reads it and returns.
        unsafe { sending.write_volatile(1) };
        // SAFETY: the context is the kernel's.
        let sent = unsafe { bpf_clone_redirect(self.skb, (*self.skb).ifindex, flags) } == 0;
        // SAFETY: as above.
        unsafe { sending.write_volatile(0) };
        sent
    }
}
