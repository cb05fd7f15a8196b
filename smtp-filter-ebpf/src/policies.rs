//! The policies in force, in maps.

use aya_ebpf::btf_maps::lpm_trie::Key;
use smtp_filter_common::{
    bounds::{POLICY_SLOTS, SCOPE_PAIRS},
    policy::Policy,
    scope::{Policies, Prefix, Scopes, policy_index},
    work::Work,
};

use crate::maps::{CONTROL, PAIRS, POLICIES, PREFIXES};

/// The policies of one generation.
#[derive(Clone, Copy)]
pub struct InForce {
    /// Its number.
    pub generation: u32,
}

impl InForce {
    /// The current policies. A segment is judged by them from beginning to end.
    #[inline(always)]
    pub fn now() -> Option<Self> {
        let control = CONTROL.get_ptr(0)?;
        // SAFETY: the loader changes the generation in one write.
        let generation = unsafe { core::ptr::addr_of!((*control).generation).read_volatile() };
        Some(Self { generation })
    }

    /// The policies that apply to the current segment.
    #[inline(always)]
    pub const fn of(work: &Work) -> Self {
        Self { generation: work.generation }
    }
}

impl Policies for InForce {
    #[inline(always)]
    fn of_scope(&self, scope: u32) -> Option<&Policy> {
        let policy = POLICIES.get_ptr(policy_index(self.generation, scope))?;
        // SAFETY: the loader writes a slot only while no segment can be reading it.
        Some(unsafe { &*policy })
    }
}

impl Scopes for InForce {
    #[inline(always)]
    fn class(&self, side: u8, address: &[u8; 16]) -> Option<u32> {
        let prefixes = PREFIXES.get(self.generation % POLICY_SLOTS)?;
        let Prefix { length, data } = Prefix::new(side, address, 128);
        Some(prefixes.get(&Key::new(length, data)).copied().unwrap_or(0))
    }

    #[inline(always)]
    fn pair(&self, index: u32) -> Option<u8> {
        let pairs = PAIRS.get(self.generation % POLICY_SLOTS)?;
        Some(pairs[index as usize & (SCOPE_PAIRS - 1)])
    }
}
