//! The layout of a live connection's entry, with sizes. At most 1,024 bytes.
//!
//! [`Shared`] is accessed without the lock, by atomic operations; [`State`] and the windows only by the holder of the
//! lock. A segment works on a copy of [`State`] and writes it back only if it passes, so a dropped segment leaves no
//! trace.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::{ARG_ROOM, CLIENT_WINDOW, ENTRY_BOUNDARIES, ENTRY_RANGES, PENDING, REGIONS, SERVER_WINDOW},
    event::CLIENT,
    seq::Seq,
    session::{Mode, verb::Command},
    word::Word,
};

/// `Shared::flags`: reset by the filter; nothing passes after that.
pub const RESET: u64 = 1;
/// `Shared::flags`: both sides speak TLS.
pub const TLS: u64 = 2;
/// `Shared::flags`: a SYN came during the connection: look among the half-open ones before this entry is believed.
pub const SYN_NOTED: u64 = 4;
/// `Shared::flags`: segments carry the policy's skb mark.
pub const MARKED: u64 = 8;
/// `Shared::flags`: the connection counts as closed, and its end was reported.
pub const CLOSED: u64 = 16;
/// `Shared::flags`: bytes passed unread in mode `monitor`, and no reply has resynchronised the dialogue since.
pub const UNCERTAIN: u64 = 32;
/// `Shared::flags`: the block at the position in [`Shared::reported_block`] was reported.
pub const BLOCK_REPORTED: u64 = 64;
/// `Shared::flags`: the server has answered a new SYN: this connection is over, whatever becomes of the new one.
pub const REPLACED: u64 = 128;
/// `Shared::flags`: the FINs of both sides have passed: payload no longer opens the connection again.
pub const FINISHED: u64 = 256;
/// `Shared::flags`: the server has acknowledged all that the client sent before TLS, so retransmissions of it no longer
/// matter. Shifted left by one: the same for the other direction. After that `Shared::tls_from` is not compared any
/// more, because comparisons invert across 2^31 bytes.
pub const SEALED: u64 = 1 << 32;
/// `Shared::flags`: a FIN of the client has passed, in order or not: the server may acknowledge it as well. Shifted
/// left by one: the same for the other direction.
pub const FIN_PASSED: u64 = 1 << 34;
/// `Shared::flags`: the client has announced a window of less than [`crate::stream::normalise::NARROW_WINDOW`].
pub const NARROW: u64 = 1 << 36;

/// `Shared::flags`: a RST came that its receiver accepts, and no payload since.
pub const DEAD: u64 = 1 << 16;
/// `Shared::flags`: the client has spoken.
pub const SPOKE: u64 = 1 << 17;
/// `Shared::flags`: the server has accepted HELO or EHLO.
pub const HELLO: u64 = 1 << 18;
/// `Shared::flags`: in a transaction.
pub const TRANSACTION: u64 = 1 << 19;
/// `Shared::flags`: in mail data.
pub const MAIL_DATA: u64 = 1 << 20;
/// `Shared::flags`: the phase of the dialogue.
pub const PHASE: u64 = SPOKE | HELLO | TRANSACTION | MAIL_DATA;

/// Accessed without the lock. 120 bytes.
///
/// The eBPF target has atomic operations on 64 bits only. So pairs of 32 bits share a word, the first in its lower half
/// (see [`pair`]).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Shared {
    /// 0: free; 1: held.
    pub lock: AtomicU64,
    /// [`RESET`] and the others.
    pub flags: AtomicU64,
    /// Number of the connection: the same in all its events, and another one when the entry is reused.
    pub id: AtomicU64,
    /// What the other side has said about each direction's bytes: the highest acknowledgement, and the first sequence
    /// number after the window.
    pub peer: [AtomicU64; 2],
    /// The next sequence number to be read, of the client and of the server, as in [`Side::next`]; once [`TLS`] is set,
    /// the first one in TLS.
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

/// Two 32-bit numbers in one word.
#[inline(always)]
pub const fn pair(first: u32, second: u32) -> u64 {
    (second as u64) << 32 | first as u64
}

/// The first number of a pair.
#[inline(always)]
pub const fn first(pair: u64) -> u32 {
    pair as u32
}

/// The second number of a pair.
#[inline(always)]
pub const fn second(pair: u64) -> u32 {
    (pair >> 32) as u32
}

/// Two sequence numbers in one word.
#[inline(always)]
pub const fn pair_of(first: Seq, second: Seq) -> u64 {
    pair(first.0, second.0)
}

/// The first number of a pair, as a sequence number.
#[inline(always)]
pub const fn first_of(pair: u64) -> Seq {
    Seq(first(pair))
}

/// The second number of a pair, as a sequence number.
#[inline(always)]
pub const fn second_of(pair: u64) -> Seq {
    Seq(second(pair))
}

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

/// A line of either direction, as far as it has been read. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The verb, or the keyword of a reply line.
    pub word: Word,
    /// The first four bytes of a reply line: code and separator. Of a command: bytes before its verb.
    pub head: u32,
    /// Bytes of the line so far, including its LF. Saturates.
    pub length: u32,
    /// Sequence number of its first byte.
    pub start: Seq,
    /// State of the line's parser: see [`crate::session::line`].
    pub state: u8,
    /// Characters of the word. Saturates at 255.
    pub word_length: u8,
    /// Characters of the argument that are kept.
    pub arg_length: u8,
    /// Bit 0: the argument is longer than the part that is kept. Bit 1: there is something other than one space before
    /// the word, or between it and the argument (see [`Line::is_plain`]). The others:
    /// [`crate::session::line::DOWNGRADED`] and following.
    pub facts: u8,
}

/// The dialogue. 88 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Since when: nanoseconds since boot.
    pub since: u64,
    /// Octets of the current chunk that have not arrived yet.
    pub chunk: u64,
    /// Runs of commands that are waiting for replies, oldest first: kind in the upper 4 bits, count in the lower 12.
    pub pending: [u16; PENDING],
    /// Commands so far.
    pub commands: u32,
    /// RCPT commands so far.
    pub recipients: u32,
    /// Mails that the server accepted.
    pub messages: u32,
    /// Code of the first line of the reply that is being read; 0 before that.
    pub reply: u16,
    /// Recipients that the server has accepted since it accepted MAIL.
    pub accepted: u16,
    /// Replies still to come for the oldest command, if it gets several: see [`crate::session::replies`].
    pub more: u16,
    /// Runs in `pending`.
    pub runs: u8,
    /// What the client's next byte belongs to: see [`crate::session`].
    pub mode: Mode,
    /// The command after which client bytes are held back until its reply.
    pub hold: Command,
    /// 1: the banner has been read.
    pub greeted: u8,
    /// 1: HELO or EHLO accepted; 2: EHLO.
    pub hello: u8,
    /// 1: the server offers CHUNKING.
    pub chunking: u8,
    /// How the server ends the session: see [`crate::session::server::ENDED_BY_QUIT`].
    pub end: u8,
    /// 1: the reply to EHLO that is being read offers CHUNKING.
    pub offers: u8,
    /// What comes before the next byte of the banner: see [`crate::session::banner`].
    pub banner: u8,
    /// Characters of the banner's current word, as long as it may be ESMTP.
    pub esmtp: u8,
    /// 1: since AUTH there were only words that neither the policy nor the filter knows: they may be credentials.
    pub secret: u8,
    /// 1: the policy changes something of the banner.
    pub masks_banner: u8,
    /// 1: MAIL was sent, and its transaction has not ended.
    pub transaction: u8,
    /// 1: the server has accepted LHLO: a mail gets one reply for each recipient (RFC 2033 section 4.2).
    pub lmtp: u8,
    /// 1: a reply came that answers no command, so it is unknown which command the next one answers.
    pub astray: u8,
    /// How many of the client's first bytes match the signature of a PROXY protocol header.
    pub signature: u8,
    /// Mails whose data came before the reply to DATA, which is still to come; in mode `monitor` only.
    pub hasty: u8,
    /// How reliable the client's next line is after a gap: see [`crate::session::monitor`].
    pub doubt: u8,
    /// EHLO commands among those that are waiting for a reply.
    pub hellos: u16,
}

/// Out-of-order ranges, boundaries and regions of the client's stream. 212 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Starts of the out-of-order ranges.
    pub range_start: [Seq; ENTRY_RANGES],
    /// Ends of the out-of-order ranges.
    pub range_end: [Seq; ENTRY_RANGES],
    /// Scanner state at the end of each, and the state barred before it; bit 7: in use.
    pub range_state: [u8; ENTRY_RANGES],
    /// Boundaries: positions in mail data where it matters what comes before: see [`crate::stream::boundaries`].
    pub boundary_at: [Seq; ENTRY_BOUNDARIES],
    /// Scanner state there; bit 7: in use.
    pub boundary_state: [u8; ENTRY_BOUNDARIES],
    /// Index in the ring of the first of `ranges`.
    pub first_range: u16,
    /// Regions in use.
    pub regions: u8,
    /// Scanner state at `Side::next`, in mail data.
    pub data_state: u8,
    /// Where the regions begin, oldest first.
    pub region_at: [Seq; REGIONS],
    /// What kind of bytes each has.
    pub region_kind: [Mode; REGIONS],
    /// Sequence numbers after the last two ends of data.
    pub end_of_data: [Seq; 2],
    /// Slot of the shared pool with the ranges and boundaries that do not fit here, its number plus 1; 0: none.
    pub slot: u32,
    /// Out-of-order ranges in the slot, sorted in a ring: see [`crate::stream::sorted`].
    pub ranges: u16,
    /// Boundaries in the slot, in another ring.
    pub boundaries: u16,
    /// Index in the ring of the first of `boundaries`.
    pub first_boundary: u16,
    /// Words of chunks in flight, in a ring in a slot of their own.
    pub chunks: u16,
    /// The highest end of one of `ranges`.
    pub top_range: Seq,
    /// The slot with the chunks, its number plus 1; 0: none.
    pub chunk_slot: u32,
    /// Index in the ring of the first of `chunks`.
    pub first_chunk: u16,
    /// 1: bytes of a chunk before `missing_to` may be missing. 2: in addition, the server has replied as if it did not
    /// wait for them.
    pub missing: u16,
    /// See `missing`.
    pub missing_to: Seq,
    /// Octets and flags of the newest of the chunks, as in its word: see [`crate::stream::chunks`].
    pub of_size: u32,
    /// How many equal chunks follow the first one in the newest word.
    pub equal_chunks: u16,
    /// How many of `boundaries`, at the end, are not merged yet.
    pub fresh: u16,
    /// A gap in the commands after which mode `monitor` continued, its start and its end; both are equal if there is
    /// none: see [`crate::stream::gap`].
    pub gap: [Seq; 2],
}

/// A run of identical lines in the server's stream: see [`crate::stream::identical`]. 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdenticalLines {
    /// Where one of the lines begins; everything before it is acknowledged.
    pub start: Seq,
    /// Where the run ends.
    pub end: Seq,
    /// Bytes of a line; 0: there is no run.
    pub length: u32,
    /// Which half of the entry's window holds the line; the window is not in use for other bytes then.
    pub half: u32,
}

/// Everything under the lock except the windows. 512 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// By direction: [`crate::event::CLIENT`] and [`crate::event::SERVER`].
    pub side: [Side; 2],
    /// By direction.
    pub line: [Line; 2],
    /// The dialogue.
    pub session: Session,
    /// The client's stream around `next`: what is remembered of unacknowledged and out-of-order bytes.
    pub memory: Memory,
    /// The argument of the client's line.
    pub arg: [u8; ARG_ROOM],
    /// Identical replies of the server.
    pub identical: IdenticalLines,
}

impl State {
    /// An empty one.
    pub const EMPTY: Self = Self {
        side: [Side {
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
        }; 2],
        line: [Line {
            word: Word { high: 0, low: 0 },
            head: 0,
            length: 0,
            start: Seq(0),
            state: 0,
            word_length: 0,
            arg_length: 0,
            facts: 0,
        }; 2],
        session: Session {
            since: 0,
            chunk: 0,
            pending: [0; PENDING],
            commands: 0,
            recipients: 0,
            messages: 0,
            reply: 0,
            accepted: 0,
            more: 0,
            runs: 0,
            mode: Mode::COMMAND,
            hold: Command::NONE,
            greeted: 0,
            hello: 0,
            chunking: 0,
            end: 0,
            offers: 0,
            banner: 0,
            esmtp: 0,
            secret: 0,
            masks_banner: 0,
            transaction: 0,
            lmtp: 0,
            astray: 0,
            signature: 0,
            hasty: 0,
            doubt: 0,
            hellos: 0,
        },
        memory: Memory {
            range_start: [Seq(0); ENTRY_RANGES],
            range_end: [Seq(0); ENTRY_RANGES],
            range_state: [0; ENTRY_RANGES],
            boundary_at: [Seq(0); ENTRY_BOUNDARIES],
            boundary_state: [0; ENTRY_BOUNDARIES],
            first_range: 0,
            regions: 0,
            data_state: 0,
            region_at: [Seq(0); REGIONS],
            region_kind: [Mode::COMMAND; REGIONS],
            end_of_data: [Seq(0); 2],
            slot: 0,
            ranges: 0,
            boundaries: 0,
            first_boundary: 0,
            chunks: 0,
            top_range: Seq(0),
            chunk_slot: 0,
            first_chunk: 0,
            missing: 0,
            missing_to: Seq(0),
            of_size: 0,
            equal_chunks: 0,
            fresh: 0,
            gap: [Seq(0); 2],
        },
        arg: [0; ARG_ROOM],
        identical: IdenticalLines { start: Seq(0), end: Seq(0), length: 0, half: 0 },
    };
}

/// Bytes that were forwarded and are not acknowledged. 384 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The client's command bytes as they were forwarded: byte `s` at `s % 256`.
    pub client: [u8; CLIENT_WINDOW],
    /// The server's reply bytes as they were forwarded: byte `s` at `s % 128`.
    pub server: [u8; SERVER_WINDOW],
}

/// A live connection. 1,016 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct Connection {
    /// Accessed without the lock.
    pub shared: Shared,
    /// Accessed with the lock held.
    pub state: State,
    /// Accessed with the lock held.
    pub windows: Windows,
}

const _: () = {
    assert!(size_of::<Shared>() == 120);
    assert!(size_of::<Side>() == 32);
    assert!(size_of::<Line>() == 32);
    assert!(size_of::<Session>() == 88);
    assert!(size_of::<Memory>() == 212);
    assert!(size_of::<IdenticalLines>() == 16);
    assert!(size_of::<State>() == 512);
    assert!(size_of::<Windows>() == 384);
    assert!(size_of::<Connection>() == 1016);
    assert!(CLIENT == 0);
};
