//! A frame in a slice.

use crate::{
    host::{FULL, MADE, Step, UNKNOWN},
    wire::{Frame, Raw},
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The longest datagram whose length fits its field.
const LONGEST: usize = 0xffff;

/// A frame of an interface, as a capture holds it.
#[derive(Clone, Copy, Debug)]
pub struct SliceFrame<'a> {
    network: &'a [u8],
    protocol: u16,
    piece: u16,
    sums: bool,
}

impl<'a> SliceFrame<'a> {
    /// An Ethernet frame, including tags in its data. One that is shorter than its header is empty.
    pub fn ethernet(bytes: &'a [u8]) -> Self {
        let Some((header, network)) = bytes.split_at_checked(ETHERNET) else {
            return Self { network: &[], protocol: 0, piece: 0, sums: false };
        };
        let protocol = match header {
            [.., high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        Self { network, protocol, piece: 0, sums: false }
    }

    /// A frame of an interface without a link layer: it begins with the IP header.
    pub fn raw(bytes: &'a [u8]) -> Self {
        let protocol = match bytes.first().map(|first| first >> 4) {
            Some(4) => IPV4,
            Some(6) => IPV6,
            _ => 0,
        };
        Self { network: bytes, protocol, piece: 0, sums: false }
    }

    /// What follows the header of another link layer: EtherType and bytes from the network header on.
    pub const fn of(protocol: u16, network: &'a [u8]) -> Self {
        Self { network, protocol, piece: 0, sums: false }
    }

    /// The same, merged from segments with so many bytes of payload each.
    #[must_use]
    pub const fn merged_of(self, piece: u16) -> Self {
        Self { piece, ..self }
    }

    /// The same, with checksums that have to be right, because it came from a wire. In a capture they may have been
    /// left to a device.
    #[must_use]
    pub const fn with_checksums(self) -> Self {
        Self { sums: true, ..self }
    }

    /// What is known of its checksums: see [`crate::host::Host::carried`].
    pub(super) const fn carried(&self) -> u8 {
        match (self.sums, self.piece) {
            (false, _) => UNKNOWN,
            (true, 0) => FULL,
            (true, _) => MADE,
        }
    }

    /// Its bytes from the network header on.
    pub const fn network(&self) -> &'a [u8] {
        self.network
    }

    /// `length` bytes at an offset from the network header.
    pub(super) fn bytes(&self, offset: u32, length: u32) -> Option<&'a [u8]> {
        let offset = offset as usize;
        self.network.get(offset..offset.checked_add(length as usize)?)
    }
}

/// Runs steps: see [`crate::host::Host::run_steps`].
pub(super) fn run_steps<S: Step>(count: u32, step: &mut S) {
    for index in 0..count {
        if step.step(index) {
            return;
        }
    }
}

impl Frame for SliceFrame<'_> {
    fn protocol(&self) -> u16 {
        self.protocol
    }

    fn length(&self) -> u32 {
        u32::try_from(self.network.len()).unwrap_or(u32::MAX)
    }

    /// A capture does not say; a frame longer than the length field allows was merged.
    fn merged(&self) -> bool {
        self.network.len() > LONGEST
    }

    fn piece(&self) -> u16 {
        self.piece
    }

    fn run_steps<S: Step>(count: u32, step: &mut S) {
        run_steps(count, step);
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        self.bytes(offset, N as u32)?.try_into().ok().map(Raw)
    }
}
