//! What is known of the dialogue.

use crate::{
    bounds::PENDING,
    session::{
        state::{Doubt, End, Hello, Mode},
        verb::Command,
    },
};

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
    /// Replies still to come for the oldest command, if it gets several: see [`crate::session::several`].
    pub more: u16,
    /// Runs in `pending`.
    pub runs: u8,
    /// What the client's next byte belongs to: see [`crate::session::state`].
    pub mode: Mode,
    /// The command after which client bytes are held back until its reply.
    pub hold: Command,
    /// 1: the banner has been read.
    pub greeted: u8,
    /// The last HELO or EHLO that the server accepted.
    pub hello: Hello,
    /// 1: the server offers CHUNKING.
    pub chunking: u8,
    /// How the server ends the session.
    pub end: End,
    /// 1: the reply to EHLO that is being read offers CHUNKING.
    pub offers: u8,
    /// What comes before the next byte of the banner: see [`crate::rewrite::banner`].
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
    /// How unreliable the client's next line is after a gap: see [`crate::session::monitor`].
    pub doubt: Doubt,
    /// EHLO commands among those that are waiting for a reply.
    pub hellos: u16,
}

impl Session {
    /// An empty one.
    pub const EMPTY: Self = Self {
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
        hello: Hello::NONE,
        chunking: 0,
        end: End::NONE,
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
        doubt: Doubt::NONE,
        hellos: 0,
    };
}

const _: () = assert!(size_of::<Session>() == 88);
