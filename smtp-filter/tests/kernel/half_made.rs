//! A policy that the kernel does not take whole.

use anyhow::Result;
use aya::maps::{ArrayOfMaps, MapData, MapError};
use smtp_filter::{
    loader::{Filter, LoadOptions},
    policy::{Names, compile, parse},
};
use smtp_filter_common::{abi, bounds::POLICY_SLOTS};

/// The slots of prefixes that hold some.
fn slots(filter: &mut Filter) -> Vec<u32> {
    let map = filter.ebpf().map(abi::PREFIXES).unwrap();
    let slots: ArrayOfMaps<&MapData, MapData> = map.try_into().unwrap();
    let holds = |slot: &u32| match slots.get(slot, 0) {
        Ok(_) => true,
        Err(MapError::KeyNotFound) => false,
        Err(error) => panic!("slot {slot}: {error}"),
    };
    (0..POLICY_SLOTS).filter(holds).collect()
}

#[test(root)]
fn prefixes_that_cannot_be_written_leave_nothing_behind() -> Result<()> {
    let mut filter = Filter::load(&LoadOptions { connections: 64, ..LoadOptions::default() })?;
    let document = parse("t", "[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n")?;
    let compiled = |generation| compile(&document, &mut Names::default(), generation, 0);
    filter.set_policy(&compiled(1)?)?;
    let mut refused = compiled(2)?;
    // No address has so many bits.
    refused.scopes.clients.push((([0xff; 16], 129), 1));
    assert!(filter.set_policy(&refused).is_err());
    assert_eq!((filter.tables().generation()?, slots(&mut filter)), (1, vec![1]));
    filter.set_policy(&compiled(2)?)?;
    assert_eq!((filter.tables().generation()?, slots(&mut filter)), (2, vec![1, 2]));
    Ok(())
}
