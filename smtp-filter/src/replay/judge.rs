//! Who judges the frames of a capture: the datapath in user space.

use anyhow::Result;
use smtp_filter_common::{
    action::Action,
    event::Event,
    met::Met,
    reason::{Counter, REASONS},
    userspace::{Resets, SliceFrame, World, resets},
    verdict::Verdict,
};

use crate::{policy::Compiled, tables::CounterRow};

/// What comes out where a frame went in, each from the network header on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Out {
    /// What goes back to the sender.
    pub back: Option<Vec<u8>>,
    /// What goes on to the receiver.
    pub on: Option<Vec<u8>>,
}

/// The datapath, somewhere.
pub trait Judge {
    /// Judges a frame, under the policy that is in force from here on.
    fn judge(&mut self, policy: &Compiled, frame: SliceFrame<'_>, met: Met) -> Result<Verdict>;

    /// What came out for the frame that was judged last.
    fn out(&self, frame: SliceFrame<'_>, verdict: Verdict) -> Out;

    /// Takes the events that nobody has taken yet, oldest first.
    fn events(&mut self) -> Result<Vec<Event>>;

    /// Every counter that is not zero, in the order of reasons.
    fn counters(&self) -> Result<Vec<CounterRow>>;

    /// Connections that were opened.
    fn opened(&self) -> Result<u64>;
}

impl Judge for World {
    fn judge(&mut self, policy: &Compiled, frame: SliceFrame<'_>, met: Met) -> Result<Verdict> {
        Ok(self.frame(policy, frame, met))
    }

    fn out(&self, frame: SliceFrame<'_>, verdict: Verdict) -> Out {
        let made = || resets(frame, self.last());
        match verdict {
            Verdict::Pass => Out { back: None, on: Some(self.rewritten().unwrap_or(frame.network()).to_vec()) },
            Verdict::Drop => Out::default(),
            Verdict::Reset => made().map_or_else(Out::default, |Resets { to_sender, to_receiver }| Out {
                back: Some(to_sender),
                on: Some(to_receiver),
            }),
            Verdict::ResetSender => Out { back: made().map(|made| made.to_sender), on: None },
        }
    }

    fn events(&mut self) -> Result<Vec<Event>> {
        Ok(std::mem::take(&mut self.events))
    }

    fn counters(&self) -> Result<Vec<CounterRow>> {
        let mut rows = Vec::new();
        for reason in 0..REASONS as u16 {
            for action in Action::ALL {
                for enforced in [true, false] {
                    let counter = self.counter(reason, action, enforced);
                    if counter != Counter::default() {
                        rows.push(CounterRow { reason, action, enforced, counter });
                    }
                }
            }
        }
        Ok(rows)
    }

    fn opened(&self) -> Result<u64> {
        Ok(self.opened)
    }
}
