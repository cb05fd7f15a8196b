//! The dialogues in a capture, put together again.

use std::collections::BTreeMap;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// One direction of a connection, put together.
#[derive(Default)]
struct Stream {
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
}

impl Stream {
    /// What is new and in order now.
    fn take(&mut self, sequence: u32, bytes: &[u8]) -> Vec<u8> {
        let mut next = *self.next.get_or_insert(sequence);
        self.early.insert(sequence, bytes.to_vec());
        let mut new = Vec::new();
        // Captures here are short: no wrapping within one.
        while let Some((&at, _)) = self.early.iter().find(|(at, bytes)| {
            let begin = next.wrapping_sub(**at) as usize;
            begin < bytes.len()
        }) {
            let bytes = self.early.remove(&at).unwrap();
            let rest = &bytes[next.wrapping_sub(at) as usize..];
            next = next.wrapping_add(rest.len() as u32);
            new.extend_from_slice(rest);
        }
        self.next = Some(next);
        new
    }
}

/// The dialogues in the Ethernet frames of a capture, by the client's port: flights of bytes, `true` from the client.
pub fn reassembled<'a>(frames: impl Iterator<Item = &'a [u8]>) -> BTreeMap<u16, Vec<(bool, Vec<u8>)>> {
    let mut streams: BTreeMap<(u16, bool), Stream> = BTreeMap::new();
    let mut flights: BTreeMap<u16, Vec<(bool, Vec<u8>)>> = BTreeMap::new();
    for frame in frames {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { continue };
        let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
            continue;
        };
        let from_client = tcp.destination_port() == 25;
        if !from_client && tcp.source_port() != 25 {
            continue;
        }
        let port = if from_client { tcp.source_port() } else { tcp.destination_port() };
        let stream = streams.entry((port, from_client)).or_default();
        if tcp.syn() {
            stream.next = Some(tcp.sequence_number().wrapping_add(1));
            continue;
        }
        let new = stream.take(tcp.sequence_number(), tcp.payload());
        if new.is_empty() {
            continue;
        }
        let flights = flights.entry(port).or_default();
        match flights.last_mut() {
            Some((direction, bytes)) if *direction == from_client => bytes.extend(new),
            _ => flights.push((from_client, new)),
        }
    }
    flights
}
