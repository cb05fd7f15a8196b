//! A program with a fault: what the comparison has to notice.

use std::collections::HashSet;

use anyhow::Result;
use etherparse::PacketHeaders;

use super::middle::{Fate, Middle};
use crate::dialogue::Side;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A repeat passes as it was sent.
    RepeatsPass,
    /// An end of data never gets through.
    EndOfDataIsLost,
    /// A letter of mail data is changed.
    TextIsChanged,
    /// The checksum stays as it was.
    ChecksumStays,
    /// What the policy cuts is held back without a RST.
    NobodyIsTold,
}

/// A program that makes one mistake.
pub struct Spoiled<M> {
    inner: M,
    fault: Fault,
    seen: HashSet<Vec<u8>>,
}

impl<M: Middle> Spoiled<M> {
    /// The program under test with a fault of one's own.
    pub fn new(inner: M, fault: Fault) -> Self {
        Self { inner, fault, seen: HashSet::new() }
    }
}

impl<M: Middle> Middle for Spoiled<M> {
    fn send(&mut self, from: Side, frame: &[u8]) -> Result<Fate> {
        let length = PacketHeaders::from_ethernet_slice(frame)?.payload.slice().len();
        let header = frame.len() - length;
        let fate = self.inner.send(from, frame)?;
        // What lies between is another's word: the ports and the number of the first byte.
        let again = length > 0 && !self.seen.insert(frame[header - 20..header - 12].to_vec());
        let Fate::Passed(mut out) = fate else {
            let silent = matches!(self.fault, Fault::NobodyIsTold);
            return Ok(if silent { Fate::Dropped } else { fate });
        };
        match self.fault {
            Fault::RepeatsPass if again => return Ok(Fate::Passed(frame.to_vec())),
            Fault::EndOfDataIsLost if frame.ends_with(b"\r\n.\r\n") => return Ok(Fate::Dropped),
            Fault::TextIsChanged => {
                if let Some(at) = frame.windows(9).position(|window| window == b"bare LF\nV") {
                    out[at] ^= 1;
                }
            }
            Fault::ChecksumStays => out[header - 4..header - 2].copy_from_slice(&frame[header - 4..header - 2]),
            _ => {}
        }
        Ok(Fate::Passed(out))
    }
}
