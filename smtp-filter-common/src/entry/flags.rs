//! The bits of [`Shared::flags`](super::Shared::flags), which are read and written without the lock.

/// Reset by the filter; nothing passes after that.
pub const RESET: u64 = 1;
/// Both sides speak TLS.
pub const TLS: u64 = 2;
/// A SYN came during the connection: look among the half-open ones before this entry is believed.
pub const SYN_NOTED: u64 = 4;
/// Segments carry the policy's skb mark.
pub const MARKED: u64 = 8;
/// The connection counts as closed, and its end was reported.
pub const CLOSED: u64 = 16;
/// Bytes passed unread in mode `monitor`, and no reply has resynchronised the dialogue since.
pub const UNCERTAIN: u64 = 32;
/// The block at the position in [`super::Shared::reported_block`] was reported.
pub const BLOCK_REPORTED: u64 = 64;
/// The server has answered a new SYN: this connection is over, whatever becomes of the new one.
pub const REPLACED: u64 = 128;
/// The FINs of both sides have passed: payload no longer opens the connection again.
pub const FINISHED: u64 = 256;
/// The server has acknowledged all that the client sent before TLS, so retransmissions of it no longer matter. Shifted
/// left by one: the same for the other direction. After that `Shared::tls_from` is not compared any more, because
/// comparisons invert across 2^31 bytes.
pub const SEALED: u64 = 1 << 32;
/// A FIN of the client has passed, in order or not: the server may acknowledge it as well. Shifted left by one: the
/// same for the other direction.
pub const FIN_PASSED: u64 = 1 << 34;
/// The client has announced a window of less than [`crate::stream::normalise::NARROW_WINDOW`].
pub const NARROW: u64 = 1 << 36;

/// A RST came that its receiver accepts, and no payload since.
pub const DEAD: u64 = 1 << 16;
/// The client has spoken.
pub const SPOKE: u64 = 1 << 17;
/// The server has accepted HELO or EHLO.
pub const HELLO: u64 = 1 << 18;
/// In a transaction.
pub const TRANSACTION: u64 = 1 << 19;
/// In mail data.
pub const MAIL_DATA: u64 = 1 << 20;
/// The phase of the dialogue.
pub const PHASE: u64 = SPOKE | HELLO | TRANSACTION | MAIL_DATA;
