//! RSTs, made of the segment that brought them on.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM},
    helpers::{bpf_clone_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use smtp_filter_common::{reset::Reset, wire::Segment};

use crate::maps::SENDING;

/// A segment turned into a RST, step by step: each one `false` where the kernel refused.
pub struct Turned<'a> {
    /// The frame.
    pub skb: *mut __sk_buff,
    /// Bytes of the link layer's header.
    pub link: u32,
    /// The segment's facts, as it came.
    pub segment: &'a Segment,
}

impl Turned<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: the helper writes N bytes to a place of N bytes.
        let failed = unsafe {
            bpf_skb_load_bytes(self.skb.cast::<c_void>(), offset, bytes.as_mut_ptr().cast::<c_void>(), N as u32)
        };
        if failed != 0 { None } else { Some(bytes) }
    }

    #[inline(always)]
    fn store<const N: usize>(&self, offset: u32, bytes: &[u8; N]) -> bool {
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

    /// Cuts the segment down to the TCP header, and says whether its checksum was left to the device: then the field
    /// holds the pseudo header's sum.
    #[inline(always)]
    pub fn shorten(&self) -> Option<bool> {
        let header = self.link + self.segment.header;
        let check = self.load::<2>(header + 16)?;
        // What the stack summed up: the length on the wire, which the IP length may be too short for.
        let length = self.segment.payload - self.segment.header + self.segment.length;
        let partial = u16::from_be_bytes(check) == Reset::pseudo(self.segment, length);
        // SAFETY: the context is the kernel's.
        if unsafe { bpf_skb_change_tail(self.skb, header + 20, 0) } != 0 {
            return None;
        }
        Some(partial)
    }

    /// Writes a RST into the shortened segment.
    #[inline(always)]
    pub fn write(&self, reset: &Reset, partial: bool) -> bool {
        let network = self.link + reset.network;
        let header = self.link + self.segment.header;
        let written = if self.segment.version == 4 {
            let Some(first) = self.load::<12>(network) else { return false };
            let old = u16::from_be_bytes([first[10], first[11]]);
            let length = (self.segment.header - reset.network + 20) as u16;
            let was = u16::from_be_bytes([first[2], first[3]]);
            let check = Reset::adjust(old, was, length).to_be_bytes();
            self.store(network + 2, &length.to_be_bytes())
                && self.store(network + 10, &check)
                && self.store(network + 12, &reset.addresses4())
        } else {
            let length = (self.segment.header - reset.network - 40 + 20) as u16;
            self.store(network + 4, &length.to_be_bytes())
                && self.store(network + 8, &reset.source)
                && self.store(network + 24, &reset.destination)
        };
        written && self.store(header, &reset.header(partial))
    }

    /// Swaps the MAC addresses.
    #[inline(always)]
    pub fn turn_link(&self) -> bool {
        if self.link == 0 {
            return true;
        }
        let Some(macs) = self.load::<12>(0) else { return false };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = macs;
        self.store(0, &[g, h, i, j, k, l, a, b, c, d, e, f])
    }

    /// Sends a copy of the frame back where the segment came from.
    #[inline(always)]
    pub fn send_back(&self, egress: bool) -> bool {
        let flags = if egress { BPF_F_INGRESS as u64 } else { 0 };
        let Some(sending) = SENDING.get_ptr_mut(0) else { return false };
        // SAFETY: this CPU's own place; the nested run that the helper may bring on reads it and leaves.
        unsafe { sending.write_volatile(1) };
        // SAFETY: the context is the kernel's.
        let sent = unsafe { bpf_clone_redirect(self.skb, (*self.skb).ifindex, flags) } == 0;
        // SAFETY: as above.
        unsafe { sending.write_volatile(0) };
        sent
    }
}
