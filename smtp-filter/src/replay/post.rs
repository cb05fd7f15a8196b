//! The post for one direction of one of the capture's interfaces: a wire, and the program of that direction.
//!
//! BPF_PROG_TEST_RUN takes frames of less than a page, with a whole IP header where they promise one. Others, above all
//! those that network cards and the kernel merge, come by the wire, at whose end the program is attached then.

use std::{
    collections::{HashMap, hash_map::Entry},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    TestRunOptions,
    maps::{Array, MapData},
    programs::{TcAttachType, TestRun as _, tc::qdisc_add_clsact},
};
use smtp_filter_common::{abi::Replayed, verdict::Verdict};

use super::{
    tap::{EVERYTHING, NOTHING, SOON, Tap},
    veth::Wire,
};
use crate::{attach::best_hook, loader::Filter, pod::Shared, record::Hook};

/// Passes, and lets later programs look (`TCX_NEXT`).
const NEXT: u32 = u32::MAX;
/// `TCX_DROP`.
const DROP: u32 = 2;
/// Size of `struct __sk_buff`.
const CONTEXT: usize = 192;
/// Offset of the interface's index in it.
const IFINDEX: usize = 40;
/// Longest frame that is given to BPF_PROG_TEST_RUN: a page of 4 KiB, less what comes before and after it.
const LONGEST: usize = 3_500;
/// Longest frame that a wire carries: the longest IP datagram and an Ethernet header.
const LONGEST_SENT: usize = 65_535 + ETHERNET;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// EtherTypes below are lengths.
const FIRST_TYPE: u16 = 0x0600;
/// Bytes of the addresses in an Ethernet header.
const ADDRESSES: usize = 12;
/// Bytes of one of them.
const ADDRESS: usize = 6;
/// Bytes of a tag.
const TAG: usize = 4;

/// A post.
pub(super) struct Post {
    wire: Wire,
    egress: bool,
    /// What is sent and received here.
    tap: Tap,
    /// From the first frame on that came by the wire.
    sender: Option<Tap>,
    /// What passes at ingress, by EtherType.
    behind: HashMap<u16, Tap>,
}

/// What became of a frame.
pub(super) struct Came {
    /// What the program said.
    pub verdict: Verdict,
    /// What went on, if anything did.
    pub on: Vec<u8>,
    /// The RST that went back.
    pub back: Option<Vec<u8>>,
}

impl Post {
    /// The `number`th one.
    pub fn new(number: usize, egress: bool) -> Result<Self> {
        let wire = Wire::new(number)?;
        let (tap, far) = (Tap::new(wire.here, EVERYTHING)?, Tap::new(wire.there, EVERYTHING)?);
        // A fresh interface loses what is sent before the kernel has taken note that its other end is up.
        for (from, to) in [(&tap, &far), (&far, &tap)] {
            to.reached_from(from).context("wait for the interfaces to carry frames")?;
        }
        Ok(Self { wire, egress, tap, sender: None, behind: HashMap::new() })
    }

    /// Has the program judge an Ethernet frame whose header has so many bytes, tags included.
    pub fn judge(&mut self, filter: &mut Filter, state: &mut State, frame: &[u8], header: usize) -> Result<Came> {
        // What came in by the wire was seen here too.
        while self.sender.is_some() && self.tap.next()?.is_some() {}
        let by_wire = frame.len() > LONGEST || is_too_short(frame);
        let on = if by_wire { self.send(filter, state, frame, header)? } else { self.run(filter, state, frame)? };
        let verdict = state.verdict();
        let back = match verdict {
            Verdict::Pass | Verdict::Drop => None,
            Verdict::Reset | Verdict::ResetSender => {
                let back = self.tap.wait_for(|sent| sent.starts_with(&frame[ADDRESS..ADDRESSES]))?;
                Some(whole(back, &frame[ADDRESSES..header]))
            }
        };
        Ok(Came { verdict, on, back })
    }

    /// By BPF_PROG_TEST_RUN.
    fn run(&mut self, filter: &mut Filter, state: &mut State, frame: &[u8]) -> Result<Vec<u8>> {
        let mut context = [0; CONTEXT];
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&self.wire.here.to_ne_bytes());
        let mut out = vec![0; frame.len()];
        let program = if self.egress { filter.egress()? } else { filter.ingress()? };
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .context("run the program on the frame (BPF_PROG_TEST_RUN)")?;
        out.truncate(result.data_size_out as usize);
        ensure!(state.judged()?, "the program has not judged the frame");
        match (state.verdict(), result.return_value) {
            (Verdict::Pass | Verdict::Reset, NEXT) | (Verdict::Drop | Verdict::ResetSender, DROP) => Ok(out),
            (verdict, returned) => bail!("the program has returned {returned} for {verdict:?}"),
        }
    }

    /// By the wire.
    fn send(&mut self, filter: &mut Filter, state: &mut State, frame: &[u8], header: usize) -> Result<Vec<u8>> {
        if frame.len() - header + ETHERNET > LONGEST_SENT {
            bail!(
                "a frame of {} bytes is longer than what can be sent to a program in the kernel: replay it without \
                 --kernel",
                frame.len()
            );
        }
        self.attach(filter)?;
        let tags = &frame[ADDRESSES..header];
        // Of a tagged frame the outer tag is taken out before the program sees it.
        let kind = tags.get(if tags.len() > TAG { TAG.. } else { 0.. }).and_then(|rest| rest.first_chunk());
        let kind = u16::from_be_bytes(*kind.context("an EtherType")?);
        if kind < FIRST_TYPE {
            bail!("a frame of {} bytes is neither Ethernet II nor short: replay it without --kernel", frame.len());
        }
        let seen = match self.behind.entry(kind) {
            _ if self.egress => &self.tap,
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(place) => place.insert(Tap::new(self.wire.here, kind)?),
        };
        self.sender.as_ref().context("the wire's other end")?.send(frame)?;
        let deadline = Instant::now() + SOON;
        while !state.judged()? {
            ensure!(Instant::now() < deadline, "the program has not seen the frame");
            thread::yield_now();
        }
        if matches!(state.verdict(), Verdict::Drop | Verdict::ResetSender) {
            return Ok(Vec::new());
        }
        let on = seen.wait_for(|seen| seen.starts_with(&frame[..ADDRESS]))?;
        Ok(whole(on, tags))
    }

    /// Attaches the program where that is not done yet.
    fn attach(&mut self, filter: &mut Filter) -> Result<()> {
        if self.sender.is_some() {
            return Ok(());
        }
        if best_hook() == Hook::Clsact {
            qdisc_add_clsact(&self.wire.name).context("make a clsact qdisc")?;
        }
        let (program, side, from) = if self.egress {
            (filter.egress()?, TcAttachType::Egress, self.wire.here)
        } else {
            (filter.ingress()?, TcAttachType::Ingress, self.wire.there)
        };
        program.attach(&self.wire.name, side).context("attach the program to the wire")?;
        self.sender = Some(Tap::new(from, NOTHING)?);
        Ok(())
    }
}

/// Whether BPF_PROG_TEST_RUN refuses a frame because the IP header that it promises is not all there.
fn is_too_short(frame: &[u8]) -> bool {
    match frame.get(ADDRESSES..ETHERNET) {
        Some([0x08, 0x00]) => frame.len() < ETHERNET + 20,
        Some([0x86, 0xdd]) => frame.len() < ETHERNET + 40,
        _ => false,
    }
}

/// A frame with these bytes after its addresses: where it is tagged, the outer tag was taken out of what came in.
fn whole(frame: Vec<u8>, tags: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ADDRESSES.min(frame.len()));
    match tags.split_at_checked(TAG) {
        Some((tag, inner)) if !rest.starts_with(tags) && rest.starts_with(inner) => [addresses, tag, rest].concat(),
        _ => frame,
    }
}

/// What the programs are given, and what they return.
pub(super) struct State {
    map: Array<MapData, Shared<Replayed>>,
    told: Replayed,
    /// Frames that were judged before.
    before: u64,
}

impl State {
    /// Of an instance that replays.
    pub fn new(map: Array<MapData, Shared<Replayed>>) -> Self {
        Self { map, told: Replayed::default(), before: 0 }
    }

    /// Says when the next frame was captured, and of what long segments it was merged.
    pub fn next(&mut self, now: u64, piece: u16) -> Result<()> {
        (self.told.now, self.told.piece) = (now, u64::from(piece));
        self.before = self.told.frames;
        self.map.set(0, Shared(self.told), 0).context("tell the time of the frame")
    }

    /// Whether the frame has been judged.
    fn judged(&mut self) -> Result<bool> {
        self.told = self.map.get(&0, 0).context("read what became of the frame")?.0;
        let judged = self.told.frames - self.before;
        ensure!(judged <= 1, "the program has judged {judged} frames instead of one");
        Ok(judged == 1)
    }

    fn verdict(&self) -> Verdict {
        Verdict::from_u8(self.told.verdict as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_tag_is_put_back_where_it_was_taken_out() {
        let addresses = [1; ADDRESSES];
        let frame = |rest: &[u8]| [&addresses, rest].concat();
        let one: &[u8] = &[0x81, 0, 0, 7, 8, 0];
        let two: &[u8] = &[0x81, 0, 0, 7, 0x81, 0, 0, 7, 8, 0];
        for tags in [&[8, 0], one, two] {
            let all = frame(&[tags, &[0x45]].concat());
            assert_eq!(whole(all.clone(), tags), all);
            if let Some(inner) = tags.get(TAG..) {
                assert_eq!(whole(frame(&[inner, &[0x45]].concat()), tags), all);
            }
        }
    }
}
