//! An event as it is written to the ring buffers.

use crate::{
    bounds::{ARG_ROOM, EXCERPT, WORD},
    entry::pair,
    open::open_enum,
    word::Word,
};

open_enum! {
    /// What an event is about.
    pub struct Kind: u8 {
        /// A connection was established through the filter.
        CONNECT = 0;
        /// A command was judged.
        COMMAND = 1;
        /// A guard, or a verdict that follows from the state of the stream.
        GUARD = 2;
        /// A connection's end.
        CLOSE = 3;
        /// A keyword in the reply to EHLO was judged.
        EXTENSION = 4;
        /// The banner was judged.
        BANNER = 5;
    }
}

/// From the client to the server.
pub const CLIENT: u8 = 0;
/// From the server to the client.
pub const SERVER: u8 = 1;

/// Why a connection ended, as its [`Kind::CLOSE`] event says.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Both sides closed it, without an answered QUIT or a 421; after STARTTLS neither can be seen.
    Fin = 1,
    /// Both sides closed it, and the server had answered a QUIT.
    Quit = 2,
    /// Both sides closed it, and the server had said 421.
    Refused = 3,
    /// The client's RST.
    ClientReset = 4,
    /// The server's RST.
    ServerReset = 5,
    /// The filter reset it.
    Reset = 6,
    /// The same two addresses and ports made a new connection.
    Replaced = 7,
    /// It was evicted from a full table.
    Evicted = 8,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Fin,
        Self::Quit,
        Self::Refused,
        Self::ClientReset,
        Self::ServerReset,
        Self::Reset,
        Self::Replaced,
        Self::Evicted,
    ];

    /// The one with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| *ended as u8 == number)
    }

    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Quit => "quit",
            Self::Refused => "421",
            Self::ClientReset => "client_reset",
            Self::ServerReset => "server_reset",
            Self::Reset => "reset",
            Self::Replaced => "replaced",
            Self::Evicted => "evicted",
        }
    }
}

/// Summary of a connection, in its [`Kind::CLOSE`] event in place of the argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nanoseconds since the end of the handshake.
    pub duration: u64,
    /// Bytes of payload forwarded, by direction, without retransmissions. Those in TLS modulo 2^32.
    pub bytes: [u64; 2],
    /// Commands that passed, as far as they can be read.
    pub commands: u32,
    /// RCPT commands among them.
    pub recipients: u32,
    /// Mails that the server accepted.
    pub messages: u32,
    /// 1: it switched to TLS.
    pub tls: u8,
    /// [`Ended`] by number.
    pub ended: u8,
}

/// One event. Host byte order except for addresses and ports, which are as on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub time: u64,
    /// The connection's number: the same in all its events.
    pub connection: u64,
    /// The verb of a command; empty if it is longer than 16 characters (see `verb_length`).
    pub verb: Word,
    /// Interface index.
    pub ifindex: u32,
    /// Generation of the policy that decided.
    pub generation: u32,
    /// Client's address; IPv4 as ::ffff:a.b.c.d.
    pub client: [u8; 16],
    /// Server's address; IPv4 as ::ffff:a.b.c.d.
    pub server: [u8; 16],
    /// Client's port, big-endian.
    pub client_port: [u8; 2],
    /// Server's port, big-endian.
    pub server_port: [u8; 2],
    /// Reason number.
    pub reason: u16,
    /// What it is about.
    pub kind: Kind,
    /// [`CLIENT`] or [`SERVER`]: where the segment came from.
    pub direction: u8,
    /// [`crate::action::Action`].
    pub action: u8,
    /// 0: mode monitor, not carried out.
    pub enforced: u8,
    /// Length of the verb; above 16 it is not in `verb`.
    pub verb_length: u8,
    /// Length of `arg`.
    pub arg_length: u8,
    /// 1: the argument was longer than `arg`; 2: it is withheld.
    pub arg_flags: u8,
    /// Length of the excerpt in `excerpt`; with [`EXCERPT_MORE`] if there was more.
    pub excerpt_length: u8,
    /// Length of `became`. If it is not 0, the bytes were rewritten: `excerpt` has the old ones, and nothing was
    /// blocked.
    pub became_length: u8,
    /// Zero.
    pub reserved: u8,
    /// Number of the name of the scope whose policy decided; 0: the whole's own.
    pub scope: u16,
    /// Zero.
    pub spare: [u8; 6],
    /// First bytes of a command's argument, as they came; of [`Kind::CLOSE`] the [`Summary`], word by word.
    pub arg: [u8; ARG_ROOM],
    /// Excerpt: the first of the blocked or rewritten bytes, as they came.
    pub excerpt: [u8; EXCERPT],
    /// The first of the new bytes, after a rewrite.
    pub became: [u8; EXCERPT],
}

/// `arg_flags`: there was more.
pub const ARG_MORE: u8 = 1;
/// `excerpt_length`: there was more (a bit above the length).
pub const EXCERPT_MORE: u8 = 0x80;
/// `arg_flags`: withheld (AUTH; envelope addresses unless the policy allows them). If the verb is withheld too, because
/// it may be a credential, its length is 0.
pub const ARG_WITHHELD: u8 = 2;

impl Event {
    /// Size in a ring buffer.
    pub const SIZE: usize = core::mem::size_of::<Self>();
    /// An empty event.
    pub const EMPTY: Self = Self {
        time: 0,
        connection: 0,
        verb: Word { high: 0, low: 0 },
        ifindex: 0,
        generation: 0,
        client: [0; 16],
        server: [0; 16],
        client_port: [0; 2],
        server_port: [0; 2],
        reason: 0,
        kind: Kind::CONNECT,
        direction: 0,
        action: 0,
        enforced: 0,
        verb_length: 0,
        arg_length: 0,
        arg_flags: 0,
        excerpt_length: 0,
        became_length: 0,
        reserved: 0,
        scope: 0,
        spare: [0; 6],
        arg: [0; ARG_ROOM],
        excerpt: [0; EXCERPT],
        became: [0; EXCERPT],
    };

    /// The summary of a connection, from its [`Kind::CLOSE`] event.
    pub const fn summary(&self) -> Summary {
        Summary {
            duration: self.word(0),
            bytes: [self.word(1), self.word(2)],
            commands: self.word(3) as u32,
            recipients: (self.word(3) >> 32) as u32,
            messages: self.word(4) as u32,
            tls: (self.word(4) >> 32) as u8,
            ended: (self.word(4) >> 40) as u8,
        }
    }

    /// Writes the summary in place of the argument.
    #[inline(always)]
    pub const fn set_summary(&mut self, summary: &Summary) {
        let Summary { duration, bytes, commands, recipients, messages, tls, ended } = *summary;
        self.set_word(0, duration);
        self.set_word(1, bytes[0]);
        self.set_word(2, bytes[1]);
        self.set_word(3, pair(commands, recipients));
        self.set_word(4, pair(messages, (ended as u32) << 8 | tls as u32));
    }

    const fn word(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        let mut i = 0;
        while i < bytes.len() {
            bytes[i] = self.arg[index * 8 + i];
            i += 1;
        }
        u64::from_ne_bytes(bytes)
    }

    #[inline(always)]
    const fn set_word(&mut self, index: usize, word: u64) {
        let bytes = word.to_ne_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self.arg[index * 8 + i] = bytes[i];
            i += 1;
        }
    }
}

const _: () = assert!(WORD == 16 && Event::SIZE.is_multiple_of(8) && Event::SIZE <= 256);
// A summary is written in words.
const _: () = assert!(core::mem::offset_of!(Event, arg).is_multiple_of(8));
