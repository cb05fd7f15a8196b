//! The interfaces of an instance: programs on each of them, and on those that come back.

use anyhow::Result;

use crate::{
    attach::{self, Programs},
    netns,
    pins::PinDir,
    record::{Attached, Instance, Records},
};

/// What became of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    There,
    /// There is none.
    Gone,
    /// It went, and another one has its name.
    Back,
}

/// Looks for an interface, in the calling thread's network namespace.
pub fn find_again(at: &Attached) -> Found {
    if netns::interface_name(at.ifindex).is_some() {
        return Found::There;
    }
    match netns::interface_index(&at.name) {
        Ok(_) => Found::Back,
        Err(_) => Found::Gone,
    }
}

/// Sees to it that these programs sit on every interface of an instance, in the place of others of its own. An
/// interface that is gone stays in the record. Returns the names of those that had gone and are back.
pub(super) fn sit_on_all(
    programs: &mut impl Programs,
    pins: &PinDir,
    records: &mut Records,
    instance: &mut Instance,
) -> Result<Vec<String>> {
    let mut back = Vec::new();
    for place in 0..instance.interfaces.len() {
        let mut at = instance.interfaces[place].clone();
        match find_again(&at) {
            Found::There => {
                if attach::lost_qdisc(&at)? {
                    // Somebody else's, deleted with all filters of it. The one that is made now goes with this filter.
                    at.made_qdisc = true;
                    instance.interfaces[place] = at.clone();
                    records.set_instance(instance)?;
                }
                attach::attach(programs, pins, &at)?;
            }
            Found::Gone => {}
            Found::Back => {
                attach::detach(pins, &at)?;
                let new = attach::plan(&at.name, at.hook)?;
                instance.interfaces[place] = new.clone();
                records.set_instance(instance)?;
                attach::attach(programs, pins, &new)?;
                back.push(at.name);
            }
        }
    }
    Ok(back)
}
