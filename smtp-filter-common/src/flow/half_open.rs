//! What is kept about a connection before it is live.

use crate::{seq::Seq, wire::NO_SCALE};

/// A connection between its SYN and the client's acknowledgement of the SYN-ACK. Sequence numbers in host byte order.
///
/// Two SYNs are kept, because a second one with another sequence number may be a new start or a forgery: the server's
/// SYN-ACK shows which of them it accepted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfOpen {
    /// When the last SYN came: nanoseconds since boot.
    pub since: u64,
    /// Sequence number of the accepted SYN, or of the first of two candidates.
    pub client_isn: Seq,
    /// The other candidate.
    pub candidate_isn: Seq,
    /// Sequence number of the server's SYN-ACK, once `confirmed`.
    pub server_isn: Seq,
    /// Window in the SYN-ACK, not scaled (RFC 7323 section 2.2).
    pub server_window: u16,
    /// 1: the server's SYN-ACK accepted `client_isn`.
    pub confirmed: u8,
    /// 1: there is a candidate.
    pub has_candidate: u8,
    /// The window scale of the client's SYN with `client_isn`, or [`NO_SCALE`].
    pub client_scale: u8,
    /// The window scale of the other candidate's SYN.
    pub candidate_scale: u8,
    /// The server's window scale, or [`NO_SCALE`].
    pub server_scale: u8,
    /// [`crate::wire::Segment::options`] of the SYN-ACK.
    pub options: u8,
    /// Where the client's SYN came from: interface index times 2, plus 1 at egress.
    pub client_side: u32,
    /// Where the server's SYN-ACK came from first.
    pub server_side: u32,
    /// Where the other candidate came from.
    pub candidate_side: u32,
    /// The timestamp that the SYN-ACK echoes.
    pub echo: Seq,
    /// Hops that the SYN had left where it was first met: the highest value among its copies.
    pub client_hops: u8,
    /// The same for the other candidate.
    pub candidate_hops: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

impl HalfOpen {
    /// None yet.
    pub const EMPTY: Self = Self {
        since: 0,
        client_isn: Seq(0),
        candidate_isn: Seq(0),
        server_isn: Seq(0),
        server_window: 0,
        confirmed: 0,
        has_candidate: 0,
        client_scale: NO_SCALE,
        candidate_scale: NO_SCALE,
        server_scale: NO_SCALE,
        options: 0,
        client_side: 0,
        server_side: 0,
        candidate_side: 0,
        echo: Seq(0),
        client_hops: 0,
        candidate_hops: 0,
        reserved: [0; 2],
    };

    /// Records a client's SYN.
    #[inline(always)]
    pub fn syn(&mut self, isn: Seq, scale: u8, side: u32, now: u64) {
        if self.since == 0 {
            self.client_isn = isn;
            self.client_scale = scale;
            self.client_side = side;
        } else if isn != self.client_isn {
            if self.has_candidate == 0 || isn != self.candidate_isn {
                self.candidate_hops = 0;
                self.candidate_side = side;
            }
            self.candidate_isn = isn;
            self.candidate_scale = scale;
            self.has_candidate = 1;
        }
        self.since = now;
    }

    /// Records the hops that a client's SYN had left, after [`HalfOpen::syn`]. A client can send copies with different
    /// values; the server answers one that reached it, so the highest counts.
    #[inline(always)]
    pub fn syn_hops(&mut self, isn: Seq, side: u32, hops: u8) {
        if isn == self.client_isn {
            if side == self.client_side && hops > self.client_hops {
                self.client_hops = hops;
            }
        } else if side == self.candidate_side && hops > self.candidate_hops {
            self.candidate_hops = hops;
        }
    }

    /// Records the server's SYN-ACK; `false` if it answers no known SYN, or is forged.
    #[inline(always)]
    pub fn syn_ack(&mut self, isn: Seq, acknowledged: Seq, window: u16, scale: u8, side: u32) -> bool {
        // The server is on another interface: this SYN-ACK comes from the client's side.
        if self.confirmed == 1 && self.server_side != self.client_side && side == self.client_side {
            return false;
        }
        if acknowledged == self.client_isn.plus(1) {
        } else if self.has_candidate == 1 && acknowledged == self.candidate_isn.plus(1) {
            self.client_isn = self.candidate_isn;
            self.client_scale = self.candidate_scale;
            self.client_side = self.candidate_side;
            self.client_hops = self.candidate_hops;
        } else {
            return false;
        }
        // Only the server knows its sequence number in advance, so the first SYN-ACK with that number shows where the
        // server is. A later copy that the client sends changes nothing.
        if self.confirmed == 0 || isn != self.server_isn {
            self.server_side = side;
        }
        self.server_isn = isn;
        self.server_window = window;
        self.server_scale = scale;
        self.confirmed = 1;
        true
    }

    /// Whether a segment of the client completes the handshake in the server's view: it acknowledges the SYN-ACK, and
    /// lies in the window. It need not be the first such segment.
    #[inline(always)]
    pub const fn client_completes(&self, sequence: Seq, acknowledged: Seq) -> bool {
        self.confirmed == 1
            && within(sequence, self.client_isn.plus(1), self.server_window as u32)
            && within(acknowledged, self.server_isn.plus(1), WINDOW)
    }

    /// Whether a segment of the server shows that the handshake is complete for it. `side` is where the segment came
    /// from, by which a client that forges it is detected.
    #[inline(always)]
    pub const fn server_completes(&self, sequence: Seq, acknowledged: Seq, side: u32) -> bool {
        self.confirmed == 1
            && (side != self.client_side || self.server_side == self.client_side)
            && within(sequence, self.server_isn.plus(1), WINDOW)
            && within(acknowledged, self.client_isn.plus(1), self.server_window as u32)
    }
}

/// What a side may send before window scaling is in effect: windows in SYNs are unscaled (RFC 7323 section 2.2).
pub const WINDOW: u32 = 0xffff;

#[inline(always)]
const fn within(number: Seq, from: Seq, length: u32) -> bool {
    let after = number.ahead_of(from);
    after >= 0 && after as u32 <= length
}

const _: () = assert!(size_of::<HalfOpen>() == 48);
