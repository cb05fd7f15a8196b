//! The shared types as values of maps.

use smtp_filter_common::{
    abi::{Control, Lost, Replayed},
    flow::Key,
    policy::Policy,
    reason::Counter,
};

/// A shared type in a map.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared<T>(pub T);

// SAFETY: repr(C), integers only, no padding: every pattern of bytes is a value, and no byte is uninitialised.
unsafe impl aya::Pod for Shared<Control> {}
// SAFETY: as above.
unsafe impl aya::Pod for Shared<Lost> {}
// SAFETY: as above.
unsafe impl aya::Pod for Shared<Replayed> {}
// SAFETY: as above.
unsafe impl aya::Pod for Shared<Counter> {}
// SAFETY: as above.
unsafe impl aya::Pod for Shared<Key> {}

/// A policy in a map, byte for byte.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct PolicyBytes([u8; size_of::<Policy>()]);

// SAFETY: bytes.
unsafe impl aya::Pod for PolicyBytes {}

// No padding, so that all bytes of a policy are initialised: its fields, one after the other, fill it.
const _: () = {
    use core::mem::offset_of;
    use smtp_filter_common::policy::VerbRule;
    assert!(
        offset_of!(Policy, guards) + size_of::<[u8; smtp_filter_common::policy::GUARDS]>() == offset_of!(Policy, fill)
            && offset_of!(Policy, fill) + 8 == offset_of!(Policy, keywords)
    );
    assert!(
        offset_of!(Policy, keywords) + size_of::<[VerbRule; smtp_filter_common::bounds::NAMED_KEYWORDS]>()
            == offset_of!(Policy, verbs)
    );
    assert!(
        offset_of!(Policy, verbs) + size_of::<[VerbRule; smtp_filter_common::bounds::NAMED_VERBS]>()
            == offset_of!(Policy, ports)
    );
    assert!(offset_of!(Policy, ports) + size_of::<[u64; 1024]>() == size_of::<Policy>());
    assert!(
        offset_of!(Policy, mark_value) == 8
            && offset_of!(Policy, grace_until) == 16
            && offset_of!(Policy, off_at) == 24
            && offset_of!(Policy, guards) == 32
    );
    assert!(size_of::<VerbRule>() == 24);
};

impl From<&Policy> for PolicyBytes {
    fn from(policy: &Policy) -> Self {
        // SAFETY: `Policy` is repr(C) of integers without padding (asserted above), so its bytes are initialised; the
        // array has its size and no alignment of its own, and the value is read, not moved.
        Self(unsafe { std::ptr::from_ref(policy).cast::<[u8; size_of::<Policy>()]>().read() })
    }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::{action::Action, word::Word};

    use super::*;

    #[test]
    fn a_policy_lies_in_the_map_as_in_memory() {
        let mut policy = Policy::empty();
        policy.generation = 0x0102_0304;
        policy.set_verb(Word::of("EHLO"), Action::Drop, 9);
        policy.add_port(25);
        let PolicyBytes(bytes) = PolicyBytes::from(&policy);
        assert_eq!(bytes[..4], 0x0102_0304_u32.to_ne_bytes());
        let ports = core::mem::offset_of!(Policy, ports);
        assert_eq!(bytes[ports..ports + 8], (1_u64 << 25).to_ne_bytes());
    }
}
