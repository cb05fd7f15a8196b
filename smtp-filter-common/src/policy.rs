//! The policy as the datapath reads it: compiled by the loader, one flat value per generation.

use crate::{
    action::Action,
    bounds::{NAMED_KEYWORDS, NAMED_VERBS},
    reason::{FIRST_KEYWORD, FIRST_NAME},
    word::Word,
};

/// Mode `monitor`: everything passes unchanged; what would have been done is counted and reported.
pub const MONITOR: u8 = 0;
/// Mode `enforce`.
pub const ENFORCE: u8 = 1;
/// `Policy::fill`: a masked command becomes X, and the server answers 500.
pub const FILL_X: u8 = 0;
/// `Policy::fill`: a masked command becomes NOOP if possible, and the server answers 250.
pub const FILL_NOOP: u8 = 1;
/// `Policy::banner`: it is not masked.
pub const SHOW_ALL: u8 = 0;
/// `Policy::banner`: the host name and the word ESMTP are kept.
pub const SHOW_HOST: u8 = 1;
/// `Policy::banner`: the host name is kept.
pub const SHOW_HOST_SMTP: u8 = 2;
/// `Policy::banner`: `2` and `0` are kept, everything else becomes `*`.
pub const SHOW_PIX: u8 = 3;
/// Guards that have an action of their own: reasons below this number.
pub const GUARDS: usize = 16;

/// One named verb or keyword.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerbRule {
    /// The verb, or the keyword.
    pub verb: Word,
    /// What is done with it: an [`Action`].
    pub action: u8,
    /// Characters of the word; 0 if the rule is unused.
    pub length: u8,
    /// Reason number: [`FIRST_NAME`] or [`FIRST_KEYWORD`] plus the index of the name.
    pub reason: u16,
    /// Zero.
    pub reserved: [u8; 4],
}

impl VerbRule {
    /// An unused rule: sorts after every word.
    pub const UNUSED: Self = Self {
        verb: Word { high: u64::MAX, low: u64::MAX },
        action: Action::Drop as u8,
        length: 0,
        reason: 0,
        reserved: [0; 4],
    };
}

/// A compiled policy. It is written completely to a slot that no segment reads, and then activated in one step.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its generation; its slot is the generation modulo [`crate::bounds::POLICY_SLOTS`].
    pub generation: u32,
    /// [`MONITOR`] or [`ENFORCE`].
    pub mode: u8,
    /// 1: events carry envelope addresses.
    pub capture_envelope: u8,
    /// [`Action`] for a verb that is not named.
    pub other: u8,
    /// [`Action`] for a keyword in the reply to EHLO that is not named.
    pub other_keyword: u8,
    /// Bits of `skb->mark` that action `mark` sets.
    pub mark_value: u32,
    /// Bits of `skb->mark` that action `mark` touches.
    pub mark_mask: u32,
    /// End of the grace period for connections older than the filter: nanoseconds since boot (CLOCK_BOOTTIME).
    pub grace_until: u64,
    /// When the filter stops acting, because nobody has confirmed the policy: nanoseconds since boot; 0: never.
    pub off_at: u64,
    /// [`Action`] of each guard, by reason number.
    pub guards: [u8; GUARDS],
    /// [`FILL_X`] or [`FILL_NOOP`].
    pub fill: u8,
    /// [`SHOW_ALL`] and the others.
    pub banner: u8,
    /// Number of the name of the policy's scope; 0: it is the whole's own.
    pub scope: u16,
    /// Number of scopes.
    pub scopes: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Named keywords in the reply to EHLO in ascending order, then unused rules.
    pub keywords: [VerbRule; NAMED_KEYWORDS],
    /// Named verbs in ascending order, then unused rules.
    pub verbs: [VerbRule; NAMED_VERBS],
    /// One bit per port (host byte order): bit `port % 64` of word `port / 64`.
    pub ports: [u64; 1024],
}

/// The policy's decision on a verb or a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerbVerdict {
    /// Reason number: [`FIRST_NAME`] or [`FIRST_KEYWORD`] plus the index of the name. For a verb that follows a
    /// keyword's action, it is the keyword's.
    pub reason: u16,
    /// The action's number.
    pub action: u8,
}

impl Policy {
    /// A policy that passes everything and has no ports.
    pub const fn empty() -> Self {
        Self {
            generation: 0,
            mode: MONITOR,
            capture_envelope: 0,
            other: Action::Pass as u8,
            other_keyword: Action::Pass as u8,
            mark_value: 0,
            mark_mask: 0,
            grace_until: 0,
            off_at: 0,
            guards: [Action::Drop as u8; GUARDS],
            fill: FILL_X,
            banner: SHOW_ALL,
            scope: 0,
            scopes: 0,
            reserved: [0; 3],
            keywords: [VerbRule::UNUSED; NAMED_KEYWORDS],
            verbs: [VerbRule::UNUSED; NAMED_VERBS],
            ports: [0; 1024],
        }
    }

    /// Whether this TCP port (host byte order) is one of the policy's.
    #[inline(always)]
    pub const fn has_port(&self, port: u16) -> bool {
        self.port_bit((port >> 6) as u32, port)
    }

    /// The bit of a port in its word. Separate, so that the datapath can hide the index from the compiler.
    // verifier: before 6.18 it knows nothing of a number after a byte swap, and needs the mask.
    #[inline(always)]
    pub const fn port_bit(&self, word: u32, port: u16) -> bool {
        self.ports[word as usize & 1023] >> (port & 63) & 1 == 1
    }

    /// Adds a port (host byte order).
    pub const fn add_port(&mut self, port: u16) {
        self.ports[(port >> 6) as usize] |= 1 << (port & 63);
    }

    /// Whether actions are carried out.
    #[inline(always)]
    pub const fn enforces(&self) -> bool {
        self.mode == ENFORCE
    }

    /// Whether the filter has switched itself off by this time (nanoseconds since boot). A single comparison, because
    /// every segment pays for it.
    #[inline(always)]
    pub const fn is_off(&self, now: u64) -> bool {
        self.off_at.wrapping_sub(1) < now
    }

    /// The number of a guard's action, by reason number; `Drop` for a reason that is no guard.
    #[inline(always)]
    pub const fn guard(&self, reason: u16) -> u8 {
        if (reason as usize) < GUARDS { self.guards[reason as usize & (GUARDS - 1)] } else { Action::Drop as u8 }
    }

    /// Names a verb. The list is kept in order; `false` if it is full.
    pub fn set_verb(&mut self, verb: Word, action: Action, name: u8) -> bool {
        set(&mut self.verbs, verb, action, FIRST_NAME + name as u16)
    }

    /// Names a verb that follows the keyword with index `keyword`, which is its reason.
    pub fn set_announced(&mut self, verb: Word, action: Action, keyword: u8) -> bool {
        set(&mut self.verbs, verb, action, FIRST_KEYWORD + keyword as u16)
    }

    /// Names a keyword. The list is kept in order; `false` if it is full.
    pub fn set_keyword(&mut self, keyword: Word, action: Action, name: u8) -> bool {
        set(&mut self.keywords, keyword, action, FIRST_KEYWORD + name as u16)
    }

    /// Looks a verb up.
    pub fn verb(&self, verb: Word) -> VerbVerdict {
        self.verb_hiding(verb, |number| number)
    }

    /// Looks a verb up. `hide` returns a number without letting the compiler know it. Otherwise the compiler would drop
    /// the mask that the verifier needs, and turn arithmetic into jumps.
    #[inline(always)]
    pub fn verb_hiding(&self, verb: Word, hide: impl Fn(u64) -> u64) -> VerbVerdict {
        look_up(&self.verbs, verb, (FIRST_NAME, self.other), hide)
    }

    /// Looks a keyword up.
    pub fn keyword(&self, keyword: Word) -> VerbVerdict {
        self.keyword_hiding(keyword, |number| number)
    }

    /// Looks a keyword up, as [`Policy::verb_hiding`] does a verb.
    #[inline(always)]
    pub fn keyword_hiding(&self, keyword: Word, hide: impl Fn(u64) -> u64) -> VerbVerdict {
        look_up(&self.keywords, keyword, (FIRST_KEYWORD, self.other_keyword), hide)
    }
}

fn set<const N: usize>(rules: &mut [VerbRule; N], verb: Word, action: Action, reason: u16) -> bool {
    let length = verb.bytes().iter().filter(|byte| **byte != 0).count() as u8;
    let mut rule = VerbRule { verb, action: action as u8, length, reason, reserved: [0; 4] };
    for slot in rules {
        if slot.verb == verb {
            *slot = rule;
            return true;
        }
        if slot.verb > rule.verb {
            core::mem::swap(slot, &mut rule);
            if rule == VerbRule::UNUSED {
                return true;
            }
        }
    }
    false
}

/// A binary search of fixed depth. `other` is the reason number and the action for a word that is not named.
// verifier: without branches.
#[inline(always)]
fn look_up<const N: usize>(
    rules: &[VerbRule; N],
    word: Word,
    other: (u16, u8),
    hide: impl Fn(u64) -> u64,
) -> VerbVerdict {
    let mut at = 0_u64;
    let mut width = N as u64 / 2;
    while width > 0 {
        let probe = rules[hide(at + width) as usize & (N - 1)].verb;
        at += width * hide(probe.at_most(word, &hide));
        width /= 2;
    }
    let rule = &rules[hide(at) as usize & (N - 1)];
    // A word of sixteen bytes 0xff would match an unused rule.
    let named = hide(rule.verb.is(word, &hide) & (1 ^ word.is(VerbRule::UNUSED.verb, &hide))) as u8;
    VerbVerdict {
        reason: (rule.reason * named as u16) | (other.0 * (1 ^ named as u16)),
        action: (rule.action * named) | (other.1 * (1 ^ named)),
    }
}
