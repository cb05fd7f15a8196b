//! Frames, made quickly.

use super::script::Segment;

/// The client's address.
pub const CLIENT: [u8; 4] = [192, 0, 2, 10];
/// The server's address.
pub const SERVER: [u8; 4] = [198, 51, 100, 25];
/// The server's port.
pub const PORT: u16 = 25;

/// The sender has nothing more to say.
pub const FIN: u8 = 1;
/// The connection begins.
pub const SYN: u8 = 2;
/// The connection is aborted.
pub const RST: u8 = 4;
/// The payload is handed up at once.
pub const PSH: u8 = 8;
/// The acknowledgement counts.
pub const ACK: u8 = 16;
/// The urgent pointer counts.
pub const URG: u8 = 32;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// What stands in a frame.
#[derive(Clone, Copy)]
pub struct Facts {
    /// Whether the client sent it.
    pub from_client: bool,
    /// The client's port; the server's is [`PORT`].
    pub client_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// Flags, by the constants above.
    pub flags: u8,
    /// The window, not scaled.
    pub window: u16,
    /// How many VLAN tags precede the datagram.
    pub tags: u8,
    /// Bytes after the datagram.
    pub padding: u8,
    /// Words of options in the TCP header.
    pub options: u8,
}

impl Facts {
    /// What the client's segment has around its payload.
    pub fn shaped(self, segment: &Segment) -> Self {
        let Segment { tags, padding, options, .. } = *segment;
        Self { tags, padding, options, ..self }
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    sum
}

fn folded(mut sum: u32) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Writes a frame with right checksums; returns the offset of its payload.
pub fn write(frame: &mut Vec<u8>, facts: &Facts, payload: impl FnOnce(&mut Vec<u8>)) -> usize {
    frame.clear();
    frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    for _ in 0..facts.tags {
        frame.extend([0x81, 0, 0, 0]);
    }
    frame.extend([8, 0]);
    let ip = frame.len();
    let (source, destination) = if facts.from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    frame.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    let tcp = frame.len();
    let (from, to) = if facts.from_client { (facts.client_port, PORT) } else { (PORT, facts.client_port) };
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend(facts.sequence.to_be_bytes());
    frame.extend(facts.acknowledgement.to_be_bytes());
    frame.extend([(5 + facts.options) << 4, facts.flags]);
    frame.extend(facts.window.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(facts.options) * 4, 1);
    let start = frame.len();
    payload(frame);
    let total = (frame.len() - ip) as u16;
    frame[ip + 2..ip + 4].copy_from_slice(&total.to_be_bytes());
    let check = folded(sum(&frame[ip..tcp]));
    frame[ip + 10..ip + 12].copy_from_slice(&check.to_be_bytes());
    let pseudo = sum(&source) + sum(&destination) + 6 + (frame.len() - tcp) as u32;
    let check = folded(pseudo + sum(&frame[tcp..]));
    frame[tcp + 16..tcp + 18].copy_from_slice(&check.to_be_bytes());
    frame.resize(frame.len() + usize::from(facts.padding), 0xee);
    start
}
