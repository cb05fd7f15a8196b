//! What `up` in the foreground looks after beside the events: interfaces that go and come back, a confirmation that
//! does not come, another `up` that takes over.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    attach::{Programs, watch::LinkWatch},
    events::tail::End,
    instance::{Found, Running, find_again, take_off_unconfirmed},
    pins::PinDir,
    record::{Instance, Records},
};

/// How often is looked where nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

/// Looks after a filter.
pub struct Guardian {
    pins: PinDir,
    owner: u64,
    links: LinkWatch,
    /// Which interfaces were gone when it was last looked.
    gone: BTreeMap<String, bool>,
    told_of_takeover: bool,
}

impl Guardian {
    /// Begins to listen.
    pub fn new(pins: &PinDir, owner: u64) -> Result<Self> {
        let links = LinkWatch::new()?;
        Ok(Self { pins: pins.clone(), owner, links, gone: BTreeMap::new(), told_of_takeover: false })
    }

    /// Looks after the filter until it is off, unconfirmed. That it was taken off the reader of events notices.
    pub async fn guard(&mut self, programs: &mut impl Programs) -> Result<End> {
        loop {
            if let Some(instance) = self.instance()
                && let Some(end) = self.look(&instance, programs)?
            {
                return Ok(end);
            }
            tokio::select! {
                changed = self.links.changed() => changed?,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// The record; none while another one changes the filter, or where it is off.
    fn instance(&self) -> Option<Instance> {
        Records::open(&self.pins.maps()).ok()?.instance().ok()?
    }

    fn look(&mut self, instance: &Instance, programs: &mut impl Programs) -> Result<Option<End>> {
        if instance.owner != self.owner {
            if !std::mem::replace(&mut self.told_of_takeover, true) {
                anstream::eprintln!(
                    "smtp-filter: another `smtp-filter up` has taken the filter over: this one goes on showing events, \
                     and leaves the filter on when it ends"
                );
            }
            return Ok(None);
        }
        if instance.is_expired() {
            take_off_unconfirmed(&self.pins)?;
            return Ok(Some(End::Unconfirmed));
        }
        self.look_at_interfaces(instance, programs);
        Ok(None)
    }

    fn look_at_interfaces(&mut self, instance: &Instance, programs: &mut impl Programs) {
        let mut is_back = false;
        for at in &instance.interfaces {
            let found = find_again(at);
            let was_gone = self.gone.insert(at.name.clone(), found != Found::There).unwrap_or(false);
            if found == Found::Gone && !was_gone {
                anstream::eprintln!("smtp-filter: the interface {} is gone; the filter waits for it", at.name);
            }
            is_back |= found == Found::Back;
        }
        if !is_back {
            return;
        }
        let back = Running::open(&self.pins).and_then(|mut running| running.sit_on_those_back(programs, self.owner));
        match back {
            Ok(names) => {
                for name in names {
                    self.gone.insert(name.clone(), false);
                    anstream::eprintln!("smtp-filter: the interface {name} is back, and the filter is on it again");
                }
            }
            // It may have gone again: the next look tries again.
            Err(error) => log::info!("an interface is back, and the filter is not on it yet: {error:#}"),
        }
    }
}
