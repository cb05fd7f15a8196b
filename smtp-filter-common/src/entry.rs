//! The entry of a live connection: its whole layout, with sizes. At most 1,024 bytes.
//!
//! [`Shared`] is read and written without the lock, by atomic operations; [`State`] and the windows only by the holder
//! of the lock. A segment works on a copy of [`State`] and writes it back only if it passes, so a dropped segment
//! leaves nothing behind.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::{ARG_ROOM, CLIENT_WINDOW, ENTRY_BOUNDARIES, ENTRY_RANGES, PENDING, REGIONS, SERVER_WINDOW},
    event::CLIENT,
    session::{Mode, verb::Command},
    word::Word,
};

/// `Shared::flags`: reset by the filter; nothing passes any more.
pub const CUT: u64 = 1;
/// `Shared::flags`: both sides speak TLS.
pub const TLS: u64 = 2;
/// `Shared::flags`: a SYN came in mid-connection: look among the half-open ones before this entry is believed.
pub const SYN_NOTED: u64 = 4;
/// `Shared::flags`: segments carry the policy's mark.
pub const MARKED: u64 = 8;
/// `Shared::flags`: it counts as closed, and its end was told.
pub const CLOSED: u64 = 16;
/// `Shared::flags`: bytes passed unread in mode `monitor`, and no reply has given a footing since.
pub const UNCERTAIN: u64 = 32;
/// `Shared::flags`: an event of the place in [`Shared::cut`] went out.
pub const BLOCK_REPORTED: u64 = 64;
/// `Shared::flags`: the server has answered a new SYN: this connection is over, whatever becomes of that one.
pub const REPLACED: u64 = 128;
/// `Shared::flags`: the FINs of both sides have passed: no payload opens the connection again.
pub const FINISHED: u64 = 256;
/// `Shared::flags`: the server has acknowledged all that the client sent before TLS: no retransmission of it matters any more.
/// Shifted by one: the same of the other direction. From then on nothing is compared with `Shared::tls_from`, for across 2^31
/// bytes that comparison would turn round.
pub const SEALED: u64 = 1 << 32;
/// `Shared::flags`: a FIN of the client has passed, in its place or not: the server may acknowledge it, too. Shifted by one:
/// the same of the other direction.
pub const FIN_PASSED: u64 = 1 << 34;
/// `Shared::flags`: the client has announced a window of less than [`crate::stream::normalise::NARROW_WINDOW`].
pub const NARROW: u64 = 1 << 36;

/// `Shared::flags`: a RST came that its receiver takes, and no payload since.
pub const DEAD: u64 = 1 << 16;
/// `Shared::flags`: the client has spoken.
pub const SPOKE: u64 = 1 << 17;
/// `Shared::flags`: the server has taken HELO or EHLO.
pub const HELLO: u64 = 1 << 18;
/// `Shared::flags`: in a transaction.
pub const TRANSACTION: u64 = 1 << 19;
/// `Shared::flags`: in mail data.
pub const MAIL_DATA: u64 = 1 << 20;
/// `Shared::flags`: what says how far the dialogue is.
pub const PHASE: u64 = SPOKE | HELLO | TRANSACTION | MAIL_DATA;

/// What is touched without the lock. 120 bytes.
///
/// The eBPF target has atomic operations on 64 bits alone: pairs of 32 bits lie in one word, the first in its lower
/// half (see [`pair`]).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Shared {
    /// 0: free; 1: held.
    pub lock: AtomicU64,
    /// [`CUT`] and the others.
    pub flags: AtomicU64,
    /// Number of the connection: the same in all its events, another when the entry is used again.
    pub id: AtomicU64,
    /// What each side has said of the other's bytes, by the sender's direction: highest acknowledgement, and the first
    /// sequence number that the window does not cover.
    pub peer: [AtomicU64; 2],
    /// The next sequence number to be read, the client's and the server's, as in [`Side::next`]; once [`TLS`] is set, the
    /// first one of TLS.
    pub tls_from: AtomicU64,
    /// Last segment: nanoseconds since boot.
    pub seen: AtomicU64,
    /// Last RST made for a segment behind a reset: nanoseconds since boot.
    pub reset_at: AtomicU64,
    /// The last cut that was reported: its place (sequence number of the line's or segment's start), then the reason in
    /// the lower 16 bits and the policy's generation above, for after a change the same place is reported anew.
    pub cut: AtomicU64,
    /// Where the client's segments come from (interface index times 2, plus 1 at egress): a segment that says it is the
    /// server's and comes from there is forged. 0: both sides come the same way, so that nothing can be said. Then the
    /// shifts of the windows that the client (bits 0 to 7) and the server (bits 8 to 15) announce.
    pub ways: AtomicU64,
    /// Sequence numbers of the SYN and the SYN-ACK.
    pub isns: AtomicU64,
    /// The scope whose policy judges, by number (bits 0 to 5), and whose it is; then the generation of which that was
    /// found out: see [`crate::scope::choose`].
    pub scope: AtomicU64,
    /// The client's sequence number from which on a segment was held back for want of room, and when: see
    /// [`crate::stream::backlog`]. 0: none.
    pub held: AtomicU64,
    /// Its place in the roster.
    pub slot: AtomicU64,
    /// Where both sides use timestamps: the client's that the server has sent back last, which is the one that it holds the
    /// next ones against; then the client's latest that has passed.
    pub stamps: AtomicU64,
}

/// Two 32-bit numbers in one word.
#[inline(always)]
pub const fn pair(first: u32, second: u32) -> u64 {
    (second as u64) << 32 | first as u64
}

/// The first of two.
#[inline(always)]
pub const fn first(pair: u64) -> u32 {
    pair as u32
}

/// The second of two.
#[inline(always)]
pub const fn second(pair: u64) -> u32 {
    (pair >> 32) as u32
}

/// One direction's place in the stream. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Next sequence number to be read: everything before was read and forwarded.
    pub next: u32,
    /// Sequence number of the SYN.
    pub isn: u32,
    /// Sequence number behind the last byte that was rewritten, if `rewrote` is set.
    pub rewritten: u32,
    /// Sequence number of the FIN, once `fin` is set.
    pub fin_at: u32,
    /// Bytes of payload forwarded, up to `next`; those in TLS are not among them (see [`Side::all_bytes`]).
    pub bytes: u64,
    /// 1: a FIN was forwarded in its place.
    pub fin: u8,
    /// Zero.
    pub reserved: u8,
    /// 1: bytes were rewritten.
    pub rewrote: u8,
    /// 1: mode `monitor` had no room for what passed and is not acknowledged: nothing is compared with it.
    pub unkept: u8,
    /// Slot of the shared pool that the windowed bytes are in, its number plus 1; 0: they are in the entry.
    pub slot: u32,
}

/// Bytes in front of TLS that may be unacknowledged when it begins: the line that brought it and its reply.
const BEFORE_TLS: u32 = 1 << 16;

impl Side {
    /// Bytes of payload forwarded, those in TLS among them. Of TLS nobody follows the place: it reaches from `tls_from` to
    /// the FIN, or to what is `acknowledged`, modulo 2^32. `tls` is 0 where there is none.
    #[inline(always)]
    pub const fn all_bytes(&self, tls: u64, tls_from: u32, acknowledged: u32) -> u64 {
        let to = if self.fin != 0 { self.fin_at } else { acknowledged };
        if tls == 0 || tls_from.wrapping_sub(to) < BEFORE_TLS {
            return self.bytes;
        }
        self.bytes + to.wrapping_sub(tls_from) as u64
    }
}

/// A line as far as it was read, of either direction. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The verb, or the keyword of a reply line.
    pub word: Word,
    /// The first four bytes of a reply line: code and separator. Of a command: bytes in front of its verb.
    pub head: u32,
    /// Bytes of the line so far, its LF counted. Saturates.
    pub length: u32,
    /// Sequence number of its first byte.
    pub start: u32,
    /// Place in the line's grammar: see [`crate::session::line`].
    pub state: u8,
    /// Characters of the word. Saturates at 255.
    pub word_length: u8,
    /// Characters of the argument kept.
    pub arg_length: u8,
    /// Bit 0: the argument is longer than what is kept. Bit 1: something else than one space stands before the word, or
    /// between it and the argument (see [`Line::is_plain`]). The others: [`crate::session::line::DOWNGRADED`] and what follows.
    pub facts: u8,
}

/// The dialogue. 88 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Since when: nanoseconds since boot.
    pub since: u64,
    /// Octets of the current chunk that have not come yet.
    pub chunk: u64,
    /// Runs of commands that wait for a reply, oldest first: kind in the upper 4 bits, count in the lower 12.
    pub pending: [u16; PENDING],
    /// Commands so far.
    pub commands: u32,
    /// RCPT commands so far.
    pub recipients: u32,
    /// Mails that the server took.
    pub messages: u32,
    /// Code of the first line of the reply that is being read; 0 before it.
    pub reply: u16,
    /// Recipients that the server has taken since it took MAIL.
    pub accepted: u16,
    /// Replies that the oldest command still waits for, where it has several: see [`crate::session::replies`].
    pub more: u16,
    /// Runs in `pending`.
    pub runs: u8,
    /// What the client's next byte is: see [`crate::session`].
    pub mode: Mode,
    /// The command after which client bytes are held until its reply.
    pub hold: Command,
    /// 1: the banner has been read.
    pub greeted: u8,
    /// 1: HELO or EHLO accepted; 2: EHLO.
    pub hello: u8,
    /// 1: the server offers CHUNKING.
    pub chunking: u8,
    /// What the server has said of the session's end: see [`crate::session::server::ENDED_BY_QUIT`].
    pub end: u8,
    /// 1: the reply to EHLO that is being read offers CHUNKING.
    pub offers: u8,
    /// What stands before the next byte of the banner: see [`crate::session::banner`].
    pub banner: u8,
    /// Characters of the banner's word that is under way, as long as it may be ESMTP.
    pub esmtp: u8,
    /// 1: AUTH was said, and nothing since but words that no policy and nobody here knows: they may be credentials.
    pub secret: u8,
    /// 1: the policy changes something of the banner.
    pub masks_banner: u8,
    /// 1: MAIL was said, and its transaction has not ended.
    pub transaction: u8,
    /// 1: the server has taken LHLO: a mail has one reply for each recipient (RFC 2033 section 4.2).
    pub lmtp: u8,
    /// 1: a reply came that answers nothing: nobody knows any more which command the next one answers.
    pub astray: u8,
    /// Bytes of the client's first ones that are those of a PROXY protocol header.
    pub signature: u8,
    /// Mails whose data came before the reply to DATA, which has not come yet; in mode `monitor` alone.
    pub hasty: u8,
    /// What the client's next line is worth after a gap: see [`crate::session::monitor`].
    pub doubt: u8,
    /// EHLO commands among those that wait for a reply.
    pub hellos: u16,
}

/// Early ranges, remembered places and changes of kind in the client's stream. 212 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Starts of the early ranges.
    pub range_start: [u32; ENTRY_RANGES],
    /// Ends of the early ranges.
    pub range_end: [u32; ENTRY_RANGES],
    /// Scanner state at the end of each; bit 7: in use.
    pub range_state: [u8; ENTRY_RANGES],
    /// Places in mail data where it matters what stands before: see [`crate::stream::boundaries`].
    pub boundary_at: [u32; ENTRY_BOUNDARIES],
    /// Scanner state there; bit 7: in use.
    pub boundary_state: [u8; ENTRY_BOUNDARIES],
    /// The place of the first of `ranges`.
    pub first_range: u16,
    /// Regions in use.
    pub regions: u8,
    /// Scanner state at `Side::next`, in mail data.
    pub text: u8,
    /// Where the bytes of another kind begin, oldest first.
    pub region_at: [u32; REGIONS],
    /// Which kind.
    pub region_kind: [Mode; REGIONS],
    /// Sequence numbers behind the last two ends of data.
    pub end_of_data: [u32; 2],
    /// Slot of the shared pool with what did not fit here, its number plus 1; 0: none.
    pub slot: u32,
    /// Out-of-order ranges in it, sorted in a ring: see [`crate::stream::sorted`].
    pub ranges: u16,
    /// Boundaries in it, in another one, and the place of the first one.
    pub boundaries: u16,
    /// See `boundaries`.
    pub first_boundary: u16,
    /// Chunks in flight in a slot of their own, in a ring.
    pub chunks: u16,
    /// The highest end of one of `ranges`.
    pub top_range: u32,
    /// The slot with the chunks, its number plus 1; 0: none.
    pub chunk_slot: u32,
    /// The place of the first of the chunks.
    pub first_chunk: u16,
    /// 1: bytes of a chunk before `missing_to` may not have come yet. 2: and the server has answered as if it waited for none.
    pub missing: u16,
    /// See `missing`.
    pub missing_to: u32,
    /// What the newest of the chunks is like.
    pub of_size: u32,
    /// How many like it stand before it, uncounted.
    pub alike: u16,
    /// The last ones of `boundaries` that are not sorted in.
    pub fresh: u16,
    /// A gap in the commands that mode `monitor` went on after, its start and its end; the same where there is none: see
    /// [`crate::stream::gap`].
    pub gap: [u32; 2],
}

/// Lines alike, one after another, in the server's stream: see [`crate::stream::alike`]. 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alike {
    /// Where one of them begins; what is before is acknowledged.
    pub start: u32,
    /// Where the stream differs from them.
    pub end: u32,
    /// Bytes of one; 0: there are none.
    pub length: u32,
    /// Where its bytes are kept in the window of the entry, which is not in use then.
    pub place: u32,
}

/// Everything under the lock but the windows. 512 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// By direction: [`crate::event::CLIENT`] and [`crate::event::SERVER`].
    pub side: [Side; 2],
    /// By direction.
    pub line: [Line; 2],
    /// The dialogue.
    pub session: Session,
    /// The client's stream behind `next`.
    pub memory: Memory,
    /// The argument of the client's line.
    pub arg: [u8; ARG_ROOM],
    /// The server's replies.
    pub alike: Alike,
}

impl State {
    /// An empty one.
    pub const EMPTY: Self = Self {
        side: [Side {
            next: 0,
            isn: 0,
            rewritten: 0,
            fin_at: 0,
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
            start: 0,
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
            range_start: [0; ENTRY_RANGES],
            range_end: [0; ENTRY_RANGES],
            range_state: [0; ENTRY_RANGES],
            boundary_at: [0; ENTRY_BOUNDARIES],
            boundary_state: [0; ENTRY_BOUNDARIES],
            first_range: 0,
            regions: 0,
            text: 0,
            region_at: [0; REGIONS],
            region_kind: [Mode::COMMAND; REGIONS],
            end_of_data: [0; 2],
            slot: 0,
            ranges: 0,
            boundaries: 0,
            first_boundary: 0,
            chunks: 0,
            top_range: 0,
            chunk_slot: 0,
            first_chunk: 0,
            missing: 0,
            missing_to: 0,
            of_size: 0,
            alike: 0,
            fresh: 0,
            gap: [0; 2],
        },
        arg: [0; ARG_ROOM],
        alike: Alike { start: 0, end: 0, length: 0, place: 0 },
    };
}

/// Bytes that were forwarded and are not acknowledged. 384 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The client's command bytes, as they were sent on: byte `s` at `s % 256`.
    pub client: [u8; CLIENT_WINDOW],
    /// The server's reply bytes, as they were sent on: byte `s` at `s % 128`.
    pub server: [u8; SERVER_WINDOW],
}

/// A live connection. 1,016 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct Connection {
    /// Without the lock.
    pub shared: Shared,
    /// With the lock.
    pub state: State,
    /// With the lock.
    pub windows: Windows,
}

const _: () = {
    assert!(size_of::<Shared>() == 120);
    assert!(size_of::<Side>() == 32);
    assert!(size_of::<Line>() == 32);
    assert!(size_of::<Session>() == 88);
    assert!(size_of::<Memory>() == 212);
    assert!(size_of::<Alike>() == 16);
    assert!(size_of::<State>() == 512);
    assert!(size_of::<Windows>() == 384);
    assert!(size_of::<Connection>() == 1016);
    assert!(CLIENT == 0);
};
