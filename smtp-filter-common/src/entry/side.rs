//! How far the stream of one direction has come.

use crate::seq::Seq;

/// The position in the stream of one direction. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Next sequence number to be read: everything before was read and forwarded.
    pub next: Seq,
    /// Sequence number of the SYN.
    pub isn: Seq,
    /// Sequence number after the last byte that was rewritten, if `rewrote` is set.
    pub rewritten: Seq,
    /// Sequence number of the FIN, once `fin` is set.
    pub fin_at: Seq,
    /// Bytes of payload forwarded, up to `next`, without those in TLS (see [`Side::all_bytes`]).
    pub bytes: u64,
    /// 1: a FIN was forwarded in order.
    pub fin: u8,
    /// Zero.
    pub reserved: u8,
    /// 1: bytes were rewritten.
    pub rewrote: u8,
    /// 1: mode `monitor` had no room to keep bytes that are not acknowledged: nothing is compared with them.
    pub unkept: u8,
    /// Slot of the shared pool that holds the window, its number plus 1; 0: the window is in the entry.
    pub slot: u32,
}

/// Bytes before TLS that may be unacknowledged when it begins: the line that started it and its reply.
const BEFORE_TLS: u32 = 1 << 16;

impl Side {
    /// An empty one.
    pub const EMPTY: Self = Self {
        next: Seq(0),
        isn: Seq(0),
        rewritten: Seq(0),
        fin_at: Seq(0),
        bytes: 0,
        fin: 0,
        reserved: 0,
        rewrote: 0,
        unkept: 0,
        slot: 0,
    };

    /// Bytes of payload forwarded, including those in TLS. The stream is not followed in TLS: it reaches from
    /// `tls_from` to the FIN, or to `acknowledged`, modulo 2^32. `tls` is 0 without TLS.
    #[inline(always)]
    pub const fn all_bytes(&self, tls: u64, tls_from: Seq, acknowledged: Seq) -> u64 {
        let to = if self.fin != 0 { self.fin_at } else { acknowledged };
        if tls == 0 || tls_from.since(to) < BEFORE_TLS {
            return self.bytes;
        }
        self.bytes + to.since(tls_from) as u64
    }
}

const _: () = assert!(size_of::<Side>() == 32);
