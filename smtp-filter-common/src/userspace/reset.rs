//! RSTs as the shell in the kernel makes them, from a frame in a slice.

use std::vec::Vec;

use super::frame::SliceFrame;
use crate::{
    reset::{Bytes, Reset, shorten},
    work::Work,
};

/// The RSTs of a connection that is reset, each from the network header on, tags in the data included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resets {
    /// To the segment's sender.
    pub to_sender: Vec<u8>,
    /// To its receiver.
    pub to_receiver: Vec<u8>,
}

/// The RSTs for a judged segment whose verdict requires them; `None` if they cannot be made.
pub fn resets(frame: SliceFrame<'_>, work: &Work) -> Option<Resets> {
    let segment = &work.segment;
    let mut bytes = frame.network().to_vec();
    let partial = shorten(&mut bytes, 0, segment)?;
    let mut made = |reset: &Reset| {
        let written = reset.write(&mut bytes, 0, segment.header, partial);
        written.then(|| bytes.clone())
    };
    let to_sender = made(&Reset::to_sender(segment))?;
    let to_receiver = made(&Reset::to_receiver(segment, work.next()))?;
    Some(Resets { to_sender, to_receiver })
}

impl Bytes for Vec<u8> {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk().copied()
    }

    fn store<const N: usize>(&mut self, offset: u32, bytes: &[u8; N]) -> bool {
        let Some(place) = self.get_mut(offset as usize..).and_then(<[u8]>::first_chunk_mut) else { return false };
        *place = *bytes;
        true
    }

    fn truncate(&mut self, length: u32) -> bool {
        let fits = length as usize <= self.len();
        self.truncate(length as usize);
        fits
    }
}
