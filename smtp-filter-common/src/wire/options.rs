//! The options of a TCP header (RFC 9293 section 3.2).

use super::{
    frame::{Frame, Raw},
    segment::{NO_SCALE, Segment},
};
use crate::{host::step::Step, seq::Seq};

/// `Segment::options`: a timestamp (RFC 7323 section 3.2).
pub const TIMESTAMP: u8 = 1;
/// `Segment::options`: a signature, by MD5 (RFC 2385) or by the authentication option (RFC 5925).
pub const AUTHENTICATION: u8 = 2;
/// Only while reading: the list is malformed.
const BROKEN: u32 = 1 << 8;

/// Options there may be: each takes a byte at least.
const MOST: u32 = 40;
/// NOP, NOP, timestamp of ten bytes: the form that every stack uses (RFC 7323 appendix A).
const USUAL: u32 = 0x0101_080a;
/// Bytes of that form.
const USUAL_LENGTH: u32 = 12;

const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const STAMP: u8 = 8;
const MD5: u8 = 19;
const AUTHENTICATED: u8 = 29;
const MULTIPATH: u8 = 30;

/// What the options say.
struct Options {
    /// Offset that the walk has reached.
    at: u32,
    /// The window scale (RFC 7323 section 2.2), or [`NO_SCALE`].
    scale: u32,
    /// 1: Multipath TCP (RFC 8684 section 3).
    multipath: u32,
    /// [`TIMESTAMP`], [`AUTHENTICATION`] and [`BROKEN`].
    facts: u32,
    /// The sender's time.
    stamp: u32,
    /// The time that it echoes.
    echo: u32,
}

struct Walk<'a, F> {
    frame: &'a F,
    options: &'a mut Options,
    end: u32,
}

impl<F: Frame> Step for Walk<'_, F> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let options = &mut *self.options;
        let at = options.at;
        if at >= self.end {
            return true;
        }
        let Some(kind) = self.frame.read_before::<1>(at) else { return true };
        let kind = kind.0[0];
        if kind == NO_OPERATION {
            options.at = at + 1;
            return false;
        }
        if kind == END_OF_LIST {
            return true;
        }
        if at + 1 >= self.end {
            options.facts |= BROKEN;
            return true;
        }
        let Some(length) = self.frame.read_before::<1>(at + 1) else { return true };
        let length = length.0[0] as u32;
        let wanted = match kind {
            SEGMENT_SIZE => 4,
            WINDOW_SCALE => 3,
            STAMP => 10,
            _ => length,
        };
        if length < 2 || length != wanted || length > self.end - at {
            options.facts |= BROKEN;
            return true;
        }
        options.at = at + length;
        match kind {
            WINDOW_SCALE => {
                let Some(shift) = self.frame.read_before::<1>(at + 2) else { return true };
                options.scale = shift.0[0] as u32;
            }
            STAMP => {
                let Some(stamps) = self.frame.read_before::<8>(at + 2) else { return true };
                // Receivers need not agree on which of two counts.
                let again = options.facts & TIMESTAMP as u32;
                options.facts |= (again * BROKEN) | TIMESTAMP as u32;
                options.stamp = stamps.u32::<0>();
                options.echo = stamps.u32::<4>();
            }
            MD5 | AUTHENTICATED => options.facts |= AUTHENTICATION as u32,
            MULTIPATH => options.multipath = 1,
            _ => {}
        }
        false
    }
}

/// Reads the options between `start` and `end`; `head` has their first bytes. `false` if the list is malformed: lengths
/// that leave the header or are not the option's, or two timestamps. No stack sends that, and receivers treat it
/// differently: some stop reading there, some discard the segment.
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, head: &Raw<32>, start: u32, end: u32, segment: &mut Segment) -> bool {
    let mut options = Options { at: start, scale: NO_SCALE as u32, multipath: 0, facts: 0, stamp: 0, echo: 0 };
    if end - start >= USUAL_LENGTH && head.u32::<20>() == USUAL {
        options.at = start + USUAL_LENGTH;
        options.facts = TIMESTAMP as u32;
        options.stamp = head.u32::<24>();
        options.echo = head.u32::<28>();
    }
    if options.at < end {
        // If the last byte exists, they all do.
        frame.read::<1>(end - 1);
        F::run_steps(MOST, &mut Walk { frame, options: &mut options, end });
    }
    segment.options |= options.facts as u8;
    segment.stamp = Seq(options.stamp);
    segment.echo = Seq(options.echo);
    // RFC 7323 section 2.3: more than 14 counts as 14.
    let above = options.scale > 14 && options.scale != NO_SCALE as u32;
    segment.scale = if above { 14 } else { options.scale as u8 };
    segment.multipath = options.multipath as u8;
    options.facts & BROKEN == 0
}
