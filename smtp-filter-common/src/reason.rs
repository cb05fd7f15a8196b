//! Why a segment was judged as it was. Each reason has a number, and a counter per action and mode.
//!
//! Numbers below [`FIRST_NAME`] are listed here. Those from [`FIRST_NAME`] on mean `commands.NAME`, those from
//! [`FIRST_KEYWORD`] on `extensions.NAME`; the loader keeps the index of each name (the first is `other`).

use crate::bounds::{KEYWORD_NAMES, NAMES};

/// First reason number that means a command's name.
pub const FIRST_NAME: u16 = 64;
/// First reason number that means a keyword's name.
pub const FIRST_KEYWORD: u16 = FIRST_NAME + NAMES as u16;
/// Reasons there are.
pub const REASONS: u32 = FIRST_KEYWORD as u32 + KEYWORD_NAMES as u32;
/// Counters of a reason: two per action (enforced or not).
pub const COUNTERS_PER_REASON: u32 = 16;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// A reason that is not a command's name.
        #[repr(u16)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant = $number,)* }

        impl Reason {
            /// Every reason that is not a command's name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The policy key that decided, or what the stream forced, as events and counters name it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// A guard: a segment of a connection that the filter has no state for (I8).
    UnknownConnection = 0, "guards.unknown_connection";
    /// A guard: the first fragment of a datagram to or from the ports (I11).
    Fragment = 1, "guards.fragment";
    /// A guard: headers that cannot be read: false lengths, endless chains, contradictory flags.
    Unreadable = 2, "guards.unreadable";
    /// A guard: payload in a SYN or SYN-ACK (RFC 7413).
    SynData = 3, "guards.syn_data";
    /// A guard: the urgent flag, by which a receiver takes a byte out of the stream (RFC 6093 section 3.1).
    Urgent = 4, "guards.urgent";
    /// A guard: client bytes after DATA or AUTH before the reply (I3).
    Sync = 5, "guards.sync";
    /// A guard: client bytes after STARTTLS before its reply, or server bytes after the 220 (CVE-2011-0411).
    StarttlsInjection = 6, "guards.starttls_injection";
    /// A guard: client bytes after a BDAT that the server refused before the chunk was complete, that it had not
    /// offered, or that is not well-formed: only the server knows whether they are chunk or commands.
    BdatRefused = 7, "guards.bdat_refused";
    /// A guard: a retransmission with other bytes than the first time (I4).
    ChangedRetransmission = 8, "guards.changed_retransmission";
    /// An end of data before mail data that has already passed: only a reset helps (I4).
    LateEndOfData = 9, "guards.late_end_of_data";
    /// A guard: a segment that claims to be the server's, but comes from the client's side (I3).
    SpoofedServer = 10, "guards.spoofed_server";
    /// A guard: a SYN that asks for Multipath TCP (RFC 8684): its data would come in an order, and over connections,
    /// that no filter on the way can follow. Without an answer a client tries plain TCP.
    Multipath = 11, "guards.multipath";
    /// A guard: a reply that answers no command: from then on it is unknown which command the next one answers.
    UnmatchedReply = 12, "guards.unmatched_reply";
    /// A guard: the header of the PROXY protocol before the dialogue.
    ProxyProtocol = 13, "guards.proxy_protocol";
    /// A guard: a wrong checksum, of the IPv4 header or of the segment: the receiver discards it.
    Checksum = 14, "guards.checksum";
    /// Held back: a segment after a gap, where every byte has to be read in order.
    OutOfOrder = 20, "stream.out_of_order";
    /// Dropped: bytes beyond the window that the receiver advertised; it would not accept them.
    BeyondWindow = 21, "stream.beyond_window";
    /// Held back: the connection's state was in use on another CPU for longer than the bounded wait (I9).
    Busy = 22, "stream.busy";
    /// Held back: more unacknowledged bytes, or commands without a reply, than can be remembered.
    Backlog = 23, "stream.backlog";
    /// Dropped: the segment's bytes could not be fetched.
    Unfetched = 24, "stream.unfetched";
    /// Dropped: a segment of a connection after its reset.
    AfterReset = 25, "stream.after_reset";
    /// Passed: bytes that had passed before.
    Retransmission = 26, "stream.retransmission";
    /// Passed in mode `monitor` although it was not read in order; the state is uncertain until the next reply.
    Gap = 27, "stream.gap";
    /// Passed: mail data after a gap, in which no end of data is possible.
    OutOfOrderData = 28, "stream.out_of_order_data";
    /// Held back: a segment with more lines of commands than are read at once.
    ManyLines = 29, "stream.many_lines";
    /// Dropped: an acknowledgement of bytes that the receiver has not sent, or one that is too old for it (RFC 5961
    /// section 5).
    OutsideAcknowledgement = 31, "stream.acknowledgement";
    /// Dropped: a timestamp older than one that the receiver has accepted, or none although both sides use them (RFC
    /// 7323 section 5).
    OldTimestamp = 32, "stream.old_timestamp";
    /// Dropped: a signature (TCP MD5, TCP-AO) that the handshake did not have, or none although it had one.
    AuthenticationOption = 33, "stream.authentication_option";
    /// Dropped: so few hops left that it might not reach the server, which the SYN did reach.
    HopLimit = 34, "stream.hop_limit";
    /// Held back: the connection's handshake was seen and is not complete.
    Unfinished = 35, "stream.handshake";
    /// Held back: the handshake is complete, but no entry of the full table can be evicted.
    TableFull = 36, "stream.table_full";
    /// Passed: a late segment of a connection that has closed; it brings nothing new.
    Late = 37, "pass.late";
    /// Held back: a retransmission of bytes that are no longer known: the connection was idle for minutes, and the
    /// shared pool was full.
    Forgotten = 38, "stream.forgotten";
    /// Held back: it needs room in the shared pool, and none is free.
    Pool = 39, "stream.pool";
    /// Dropped: IPv4 options or IPv6 extension headers that receivers and routers treat differently; no honest mail has
    /// any.
    IpOption = 50, "stream.ip_option";
    /// The server's banner.
    Banner = 30, "banner.show";
    /// Passed: a segment of the handshake.
    Handshake = 40, "pass.handshake";
    /// Passed: an acknowledgement without payload.
    Acknowledgement = 41, "pass.acknowledgement";
    /// Passed: command bytes; the commands in them have counters of their own.
    Commands = 42, "pass.commands";
    /// Passed: replies.
    Replies = 43, "pass.replies";
    /// Passed: mail data or chunk bytes.
    MailData = 44, "pass.mail_data";
    /// Passed: TLS records.
    Tls = 45, "pass.tls";
    /// Passed: RST or FIN.
    Closing = 46, "pass.closing";
    /// Passed: a later fragment of a datagram (I11).
    LaterFragment = 47, "pass.later_fragment";
    /// The filter's own RST.
    OwnReset = 48, "pass.own_reset";
    /// Dropped: a segment with a command that the policy drops or resets, and every retransmission of it. The command
    /// has a counter of its own, which counts it once.
    DroppedCommand = 49, "stream.dropped_command";
}

impl Reason {
    /// Its number.
    #[inline(always)]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether what has this number follows from the state of the stream, not from the policy or a guard.
    #[inline(always)]
    pub const fn is_forced(number: u16) -> bool {
        number >= Self::OutOfOrder.number() && number < FIRST_NAME
    }

    /// The reason with this number, if it is not a command's name.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.number() == number)
    }
}

/// Index of a counter in the counter table: reason, number of the action, and whether it was enforced.
#[inline(always)]
pub const fn counter(reason: u16, action: u8, enforced: bool) -> u32 {
    reason as u32 * COUNTERS_PER_REASON + ((action & 7) as u32) * 2 + enforced as u32
}

/// One counter, as it is laid out in the table. Host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Segments; for a command's name, commands.
    pub segments: u64,
    /// Bytes of payload; for a command's name, bytes of the line as far as it was read.
    pub bytes: u64,
}
