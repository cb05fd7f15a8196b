//! The two directions of a connection, as types: code that both share is compiled once for each.

use crate::{
    bounds::{CLIENT_WINDOW, SERVER_WINDOW},
    entry::{Windows, first_of, second_of},
    event::{CLIENT, SERVER},
    host::bytes::Ring,
    seq::Seq,
};

/// A direction, named after the sender of its segments.
pub trait Direction {
    /// Index in what is kept for each direction.
    const INDEX: usize;
    /// The other direction's index.
    const OTHER: usize = 1 - Self::INDEX;
    /// Whether it is the client's.
    const IS_CLIENT: bool = Self::INDEX == CLIENT as usize;
    /// Its window in the entry.
    type Window: Ring;

    /// Its window in the entry.
    fn window(windows: &mut Windows) -> &mut Self::Window;

    /// Its number of a pair of sequence numbers that has the client's number first.
    #[inline(always)]
    fn of(pair: u64) -> Seq {
        if Self::IS_CLIENT { first_of(pair) } else { second_of(pair) }
    }

    /// The other direction's number of such a pair.
    #[inline(always)]
    fn of_other(pair: u64) -> Seq {
        if Self::IS_CLIENT { second_of(pair) } else { first_of(pair) }
    }
}

/// From the client to the server.
#[derive(Clone, Copy, Debug)]
pub struct Client;

/// From the server to the client.
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Direction for Client {
    const INDEX: usize = CLIENT as usize;
    type Window = [u8; CLIENT_WINDOW];

    #[inline(always)]
    fn window(windows: &mut Windows) -> &mut Self::Window {
        &mut windows.client
    }
}

impl Direction for Server {
    const INDEX: usize = SERVER as usize;
    type Window = [u8; SERVER_WINDOW];

    #[inline(always)]
    fn window(windows: &mut Windows) -> &mut Self::Window {
        &mut windows.server
    }
}
