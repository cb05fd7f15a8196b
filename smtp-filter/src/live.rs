//! The live connections, read from the table while segments write to it.

use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, MapData, MapError};
use smtp_filter_common::{
    entry::{CLOSED, Connection, REPLACED, TLS, UNCERTAIN, first_of, second_of},
    event::{CLIENT, SERVER},
    flow::Key,
    session::{Mode, verb::Command},
};

use crate::pod::Shared;

/// A connection as it lies in the table.
pub(crate) type Bytes = [u8; size_of::<Connection>()];

/// How often an entry is looked at until two looks find the same.
const LOOKS: usize = 16;

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The server has not said its banner yet.
    Banner,
    /// Commands and replies.
    Command,
    /// The client's DATA waits for its reply.
    DataWait,
    /// Mail data.
    MailData,
    /// A BDAT chunk.
    Chunk,
    /// A BDAT that is not skipped on the client's word waits for its reply.
    ChunkWait,
    /// An AUTH exchange.
    Auth,
    /// The client's STARTTLS waits for its reply.
    StarttlsWait,
    /// TLS.
    Tls,
    /// One side has closed.
    Closing,
    /// Bytes passed unread in mode `monitor`, and no reply has resynchronised it since.
    Uncertain,
    /// The server has answered a new handshake of the same addresses and ports.
    Replaced,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Banner,
        Self::Command,
        Self::DataWait,
        Self::MailData,
        Self::Chunk,
        Self::ChunkWait,
        Self::Auth,
        Self::StarttlsWait,
        Self::Tls,
        Self::Closing,
        Self::Uncertain,
        Self::Replaced,
    ];

    /// As `connections` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Banner => "banner",
            Self::Command => "command",
            Self::DataWait => "data-wait",
            Self::MailData => "mail-data",
            Self::Chunk => "chunk",
            Self::ChunkWait => "chunk-wait",
            Self::Auth => "auth",
            Self::StarttlsWait => "starttls-wait",
            Self::Tls => "tls",
            Self::Closing => "closing",
            Self::Uncertain => "uncertain",
            Self::Replaced => "replaced",
        }
    }

    fn of(flags: u64, connection: &Connection) -> Self {
        let state = &connection.state;
        let session = &state.session;
        match (session.mode, session.hold) {
            _ if flags & REPLACED != 0 => Self::Replaced,
            _ if flags & UNCERTAIN != 0 => Self::Uncertain,
            _ if state.side.iter().any(|side| side.fin != 0) => Self::Closing,
            _ if session.greeted == 0 => Self::Banner,
            (Mode::TLS, _) => Self::Tls,
            (Mode::MAIL_DATA, _) => Self::MailData,
            (Mode::CHUNK, _) => Self::Chunk,
            (Mode::AUTH_EXCHANGE, _) | (_, Command::AUTH) => Self::Auth,
            (_, Command::DATA) => Self::DataWait,
            (_, Command::STARTTLS) => Self::StarttlsWait,
            (_, Command::BDAT) => Self::ChunkWait,
            _ => Self::Command,
        }
    }
}

/// A live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Which.
    pub key: Key,
    /// What it is at.
    pub phase: Phase,
    /// Since when: nanoseconds since boot.
    pub since: u64,
    /// Bytes of payload, the client's and the server's, repeats not counted.
    pub bytes: [u64; 2],
}

impl Live {
    /// The client's address and port.
    pub fn client(&self) -> SocketAddr {
        address(self.key.client, self.key.client_port)
    }

    /// The server's address and port.
    pub fn server(&self) -> SocketAddr {
        address(self.key.server, self.key.server_port)
    }
}

/// IPv4 where the address is a mapped one.
pub fn address(address: [u8; 16], port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(address).to_canonical(), u16::from_be_bytes(port))
}

/// Reads the table: the connections that are `wanted` and have not ended, in the order of their addresses and ports.
pub(crate) fn read(map: MapData, wanted: impl Fn(&Key) -> bool) -> Result<Vec<Live>> {
    let most = map.info().context("look at the table of connections")?.max_entries() as usize;
    let table: HashMap<MapData, Shared<Key>, Bytes> = aya::maps::Map::HashMap(map).try_into()?;
    let mut found = Vec::new();
    // An entry that goes meanwhile starts the walk again: it ends all the same, and nothing is said twice.
    for key in table.keys().take(most * 2) {
        let Shared(key) = key.context("walk through the table of connections")?;
        if !wanted(&key) {
            continue;
        }
        match steady(|| table.get(&Shared(key), 0)) {
            Ok(bytes) => found.extend(look(key, &bytes)),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error).context("read the table of connections"),
        }
    }
    found.sort_unstable_by_key(order);
    found.dedup_by_key(|live| live.key);
    Ok(found)
}

fn order(live: &Live) -> ([u8; 16], [u8; 2], [u8; 16], [u8; 2]) {
    let Key { client, server, client_port, server_port } = live.key;
    (client, client_port, server, server_port)
}

/// Looks until two looks one after the other find the same, so that nothing is half of one moment and half of another.
/// An entry that never holds still is reported as it was found last: each number in it is whole.
fn steady<E>(mut get: impl FnMut() -> Result<Bytes, E>) -> Result<Bytes, E> {
    let mut last = get()?;
    for _ in 1..LOOKS {
        let now = get()?;
        if now == last && is_free(&now) {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Whether nobody held the entry's lock.
fn is_free(bytes: &Bytes) -> bool {
    const LOCK: usize =
        core::mem::offset_of!(Connection, shared) + core::mem::offset_of!(smtp_filter_common::entry::Shared, lock);
    bytes[LOCK..LOCK + 8] == [0; 8]
}

/// What an entry says; `None` where the connection has ended, or is being made.
fn look(key: Key, bytes: &Bytes) -> Option<Live> {
    // SAFETY: `Connection` is repr(C) of integers, atomic ones among them, so every pattern of bytes is one; there are
    // as many bytes as it has, and the read asks for no alignment.
    let mut connection = unsafe { bytes.as_ptr().cast::<Connection>().read_unaligned() };
    let shared = &mut connection.shared;
    let (flags, id, tls_from) = (*shared.flags.get_mut(), *shared.id.get_mut(), *shared.tls_from.get_mut());
    let acknowledged = shared.peer.each_mut().map(|peer| first_of(*peer.get_mut()));
    if id == 0 || flags & CLOSED != 0 {
        return None;
    }
    let [client, server] = [CLIENT, SERVER].map(usize::from);
    let side = &connection.state.side;
    Some(Live {
        key,
        phase: Phase::of(flags, &connection),
        since: connection.state.session.since,
        bytes: [
            side[client].all_bytes(flags & TLS, first_of(tls_from), acknowledged[client]),
            side[server].all_bytes(flags & TLS, second_of(tls_from), acknowledged[server]),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_being_written_is_looked_at_again() {
        let mut looks = [1_u8, 2, 2, 3, 3].into_iter();
        let get = || -> Result<Bytes, ()> {
            let look = looks.next().unwrap();
            let mut bytes = [0; size_of::<Connection>()];
            // Held, the first two times.
            bytes[0] = u8::from(look == 2);
            bytes[500] = look;
            Ok(bytes)
        };
        assert_eq!(steady(get).map(|bytes| bytes[500]), Ok(3));
    }

    #[test]
    fn one_that_never_holds_still_is_told_all_the_same() {
        let mut looks = 0_usize;
        let get = || -> Result<Bytes, ()> {
            looks += 1;
            Ok([looks as u8; size_of::<Connection>()])
        };
        assert!(steady(get).is_ok());
        assert_eq!(looks, LOOKS);
    }

    #[test]
    fn what_has_ended_or_is_being_made_is_not_live() {
        let mut bytes = [0; size_of::<Connection>()];
        assert_eq!(look(Key::default(), &bytes), None);
        let id = core::mem::offset_of!(smtp_filter_common::entry::Shared, id);
        bytes[id] = 1;
        assert_eq!(look(Key::default(), &bytes).map(|live| live.phase), Some(Phase::Banner));
        let flags = core::mem::offset_of!(smtp_filter_common::entry::Shared, flags);
        bytes[flags..flags + 8].copy_from_slice(&CLOSED.to_ne_bytes());
        assert_eq!(look(Key::default(), &bytes), None);
    }
}
