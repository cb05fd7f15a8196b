//! Which connection a segment belongs to.

use crate::wire::Segment;

/// A connection. Addresses as on the wire, IPv4 as ::ffff:a.b.c.d; ports big-endian. No padding: it is hashed whole.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// The side that sent the SYN.
    pub client: [u8; 16],
    /// The side that owns the SMTP port.
    pub server: [u8; 16],
    /// The client's port.
    pub client_port: [u8; 2],
    /// The server's port.
    pub server_port: [u8; 2],
}

impl Key {
    /// No connection's.
    pub const EMPTY: Self = Self { client: [0; 16], server: [0; 16], client_port: [0; 2], server_port: [0; 2] };

    /// The key of a segment's connection, if it is the client or the server that sends it.
    #[inline(always)]
    pub const fn of(segment: &Segment, from_client: bool) -> Self {
        let Segment { source, destination, source_port, destination_port, .. } = *segment;
        let (source_port, destination_port) = (source_port.to_be_bytes(), destination_port.to_be_bytes());
        if from_client {
            Self { client: source, server: destination, client_port: source_port, server_port: destination_port }
        } else {
            Self { client: destination, server: source, client_port: destination_port, server_port: source_port }
        }
    }
}

const _: () = assert!(size_of::<Key>() == 36);
