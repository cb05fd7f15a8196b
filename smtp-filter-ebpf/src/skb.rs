//! A frame's bytes, by skb helpers.

use core::{cell::Cell, ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::{
        __sk_buff,
        bpf_hdr_start_off::{BPF_HDR_START_MAC, BPF_HDR_START_NET},
    },
    helpers::{bpf_skb_load_bytes_relative, bpf_skb_pull_data},
};
use smtp_filter_common::{
    branchless::Opaque as _,
    host::{Host, Step},
    wire::{Frame, Raw, is_tag},
    work::Work,
};

use crate::{host::Kernel, replay};

/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;
/// Bytes that are pulled into the linear part if a driver left the headers outside.
const HEADERS: u32 = 256;

/// A frame at a hook.
pub struct Skb {
    skb: *mut __sk_buff,
    link: Cell<u32>,
    /// Base of the offsets: 1 ([`BPF_HDR_START_NET`]) is the network header, 0 ([`BPF_HDR_START_MAC`]) the end of an
    /// Ethernet header.
    start: u32,
}

/// The link layer's header has not been examined yet.
const NOT_YET: u32 = u32::MAX;

/// `N` bytes relative to a header; `None` if the linear part ends before.
#[inline(always)]
fn relative<const N: usize>(skb: *mut __sk_buff, offset: u32, start: u32) -> Option<Raw<N>> {
    let mut raw = MaybeUninit::<Raw<N>>::uninit();
    // SAFETY: the helper writes N bytes to memory of N bytes, or reports failure (and zeroes them).
    let failed = unsafe {
        bpf_skb_load_bytes_relative(skb.cast::<c_void>(), offset, raw.as_mut_ptr().cast::<c_void>(), N as u32, start)
    };
    if failed != 0 {
        return None;
    }
    // SAFETY: the helper has written it.
    Some(unsafe { raw.assume_init() })
}

impl Skb {
    /// The current frame.
    #[inline(always)]
    pub const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb, link: Cell::new(NOT_YET), start: BPF_HDR_START_NET }
    }

    /// Finds the base for the network header. The kernel gives its position, except for a tagged frame that a packet
    /// socket or a macvtap sends: there it points after the tags, although the EtherType still names them.
    #[inline(always)]
    pub fn found(self, work: &mut Work) -> Self {
        let by_ethernet = is_tag(self.protocol()) && self.link() == ETHERNET;
        work.start = work.unknown::<Kernel>(u8::from(!by_ethernet)) as u32;
        Self { start: work.start & 1, ..Self::new(self.skb) }
    }

    /// The result of an earlier [`Skb::found`].
    #[inline(always)]
    pub const fn found_before(self, work: &Work) -> Self {
        Self { start: work.start & 1, ..self }
    }

    /// The whole frame, link layer included.
    #[inline(always)]
    fn whole(&self) -> u32 {
        // SAFETY: the context is the kernel's and lives as long as the program's run.
        unsafe { (*self.skb).len }
    }

    /// Bytes of the link layer's header: Ethernet's, or none (ppp, WireGuard, tun), where the MAC header is the network
    /// header. An Ethernet frame cannot be mistaken for the latter: its first twelve bytes, two MAC addresses, would
    /// have to equal the IP header's.
    #[inline(always)]
    pub fn link(&self) -> u32 {
        if self.link.get() == NOT_YET {
            let mac = relative::<12>(self.skb, 0, BPF_HDR_START_MAC);
            let net = relative::<12>(self.skb, 0, BPF_HDR_START_NET);
            self.link.set(match (mac, net) {
                (Some(mac), Some(net)) if mac.0 != net.0 => ETHERNET,
                (Some(_), None) => ETHERNET,
                _ => 0,
            });
        }
        self.link.get()
    }
}

impl Frame for Skb {
    #[inline(always)]
    fn protocol(&self) -> u16 {
        // SAFETY: as in `whole`.
        u16::from_be(unsafe { (*self.skb).protocol } as u16)
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.whole().wrapping_sub(self.link())
    }

    #[inline(always)]
    fn merged(&self) -> bool {
        // SAFETY: as in `whole`.
        unsafe { (*self.skb).gso_size != 0 }
    }

    #[inline(always)]
    fn piece(&self) -> u16 {
        if let Some(piece) = replay::piece() {
            return piece;
        }
        // SAFETY: as in `whole`. The kernel keeps it in 16 bits.
        unsafe { (*self.skb).gso_size as u16 }
    }

    #[inline(always)]
    fn run_steps<S: Step>(count: u32, step: &mut S) {
        <Kernel as Host>::run_steps(count, step);
    }

    #[inline(always)]
    fn opaque(value: u32) -> u32 {
        Kernel::opaque(value)
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        if let Some(raw) = self.at(offset) {
            return Some(raw);
        }
        self.read_after_pull(offset)
    }

    #[inline(always)]
    fn read_before<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        self.at(offset)
    }
}

impl Skb {
    /// Some drivers leave headers outside the linear part.
    #[inline(always)]
    fn read_after_pull<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        let whole = self.whole();
        let length = if whole < HEADERS { whole } else { HEADERS };
        // SAFETY: the context is the kernel's; the length is within the frame.
        if unsafe { bpf_skb_pull_data(self.skb, length) } != 0 {
            return None;
        }
        self.at(offset)
    }

    /// `N` bytes after the link layer's header.
    #[inline(always)]
    fn at<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        relative(self.skb, offset + ETHERNET * (1 - self.start), self.start)
    }
}
