//! What a capture does not say of frames that were merged of several segments: how long each was. The filter remembers
//! where segments began (`smtp_filter_common::tcp`), so it has to be guessed: as long as the connection's segments may
//! be, by what both sides said in their SYNs.

use std::collections::HashMap;

use smtp_filter_common::{
    userspace::SliceFrame,
    wire::{SYN, Segment},
};

use super::Ends;

/// Bytes of a TCP header without options.
const HEADER: u32 = 20;
/// Kind of the option with the largest segment (RFC 9293 section 3.7.1).
const LARGEST: u8 = 2;

/// The largest segments of connections.
#[derive(Debug, Default)]
pub(super) struct Merged(HashMap<Ends, u16>);

impl Merged {
    /// Bytes of payload in each segment that a frame was merged of; 0: it is one alone, or that is not known.
    pub fn piece(&mut self, frame: &SliceFrame<'_>, segment: &Segment, ends: Ends) -> u16 {
        let options = segment.payload.saturating_sub(segment.header + HEADER);
        if segment.has(SYN) {
            let begin = (segment.header + HEADER) as usize;
            let said = frame.network().get(begin..begin + options as usize).and_then(largest);
            if let Some(said) = said {
                let known = self.0.entry(ends).or_insert(said);
                // A SYN of its own begins anew.
                *known = if segment.acknowledgement.0 == 0 { said } else { said.min(*known) };
            }
            return 0;
        }
        if segment.length <= u32::from(LEAST) {
            return 0;
        }
        let Some(largest) = self.0.get(&ends) else { return 0 };
        let piece = u32::from(*largest).saturating_sub(options);
        if segment.length > piece { piece as u16 } else { 0 }
    }
}

/// No segment is merged of smaller ones on purpose (RFC 9293 section 3.7.1: 536 bytes, less 40 of options).
const LEAST: u16 = 496;

/// The largest segment by the options of a SYN.
fn largest(mut options: &[u8]) -> Option<u16> {
    loop {
        options = match options {
            [LARGEST, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [0, ..] | [] => return None,
            [1, rest @ ..] => rest,
            [_, length, ..] => options.get(usize::from(*length).max(2)..)?,
            [_] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_segment_is_found_among_the_options() {
        assert_eq!(largest(&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4]), Some(1460));
        for without in [&[][..], &[1], &[3], &[0, 2, 4, 5, 0xb4], &[3, 9, 7], &[2, 4, 5], &[5, 0, 2]] {
            assert_eq!(largest(without), None, "{without:?}");
        }
    }

    #[test]
    fn longer_frames_are_taken_for_full_segments() {
        let network = [vec![0; 40], vec![2, 4, 5, 0xb4]].concat();
        let frame = SliceFrame::of(0x0800, &network);
        let mut merged = Merged::default();
        let ends = Ends::default();
        let data = Segment { header: 20, payload: 52, length: 5_000, ..Segment::EMPTY };
        assert_eq!(merged.piece(&frame, &data, ends), 0, "nothing is known");
        let syn = Segment { header: 20, payload: 44, flags: SYN, ..Segment::EMPTY };
        assert_eq!(merged.piece(&frame, &syn, ends), 0);
        assert_eq!(merged.piece(&frame, &data, ends), 1448);
        assert_eq!(merged.piece(&frame, &Segment { length: 1448, ..data }, ends), 0);
    }
}
