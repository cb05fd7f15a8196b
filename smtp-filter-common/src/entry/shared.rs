//! The part of an entry that is accessed without the lock.

use core::sync::atomic::AtomicU64;

/// Accessed without the lock. 120 bytes.
///
/// The eBPF target has atomic operations on 64 bits only. So pairs of 32 bits share a word, the first in its lower half
/// (see [`super::pair()`]).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Shared {
    /// 0: free; 1: held.
    pub lock: AtomicU64,
    /// [`super::RESET`] and the others.
    pub flags: AtomicU64,
    /// Number of the connection: the same in all its events, and another one when the entry is reused.
    pub id: AtomicU64,
    /// What the other side has said about each direction's bytes: the highest acknowledgement, and the first sequence
    /// number after the window.
    pub peer: [AtomicU64; 2],
    /// The next sequence number to be read, of the client and of the server, as in [`super::Side::next`]; once
    /// [`super::TLS`] is set, the first one in TLS.
    pub tls_from: AtomicU64,
    /// Last segment: nanoseconds since boot.
    pub seen: AtomicU64,
    /// When the last RST was sent for a segment after the reset: nanoseconds since boot.
    pub reset_at: AtomicU64,
    /// The last block that was reported: its position (sequence number where the line or segment begins); then the
    /// reason in the lower 16 bits, and above it the policy's generation, so that the block is reported again after a
    /// change of policy.
    pub reported_block: AtomicU64,
    /// Where the client's segments come from (interface index times 2, plus 1 at egress): a segment from there that
    /// claims to be the server's is forged. 0: both sides come from the same interface, so forgeries cannot be
    /// detected. Second number: the window shifts of the client (bits 0 to 7) and the server (bits 8 to 15), and what
    /// [`crate::stream::normalise::agreed`] adds above them.
    pub ways: AtomicU64,
    /// Sequence numbers of the SYN and the SYN-ACK.
    pub isns: AtomicU64,
    /// The scope whose policy applies: its number (bits 0 to 5), and whose it is; then the generation for which that
    /// was determined: see [`crate::scope::choose`].
    pub scope: AtomicU64,
    /// The client's sequence number from which on a segment was held back for lack of room, and when: see
    /// [`crate::stream::backlog`]. 0: none.
    pub held: AtomicU64,
    /// The connection's slot in the roster.
    pub slot: AtomicU64,
    /// If both sides use timestamps: the client's timestamp that the server echoed last, with which the server compares
    /// the next ones; then the client's latest that has passed.
    pub stamps: AtomicU64,
}

const _: () = assert!(size_of::<Shared>() == 120);
