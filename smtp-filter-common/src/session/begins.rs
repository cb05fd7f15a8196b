//! Whether an unfinished word may still become an allowed one.

use crate::{
    action::Action,
    bounds::WORD,
    host::{Host, Step},
    policy::VerbRule,
    word::Word,
};

struct Begins<'a, const N: usize> {
    rules: &'a [VerbRule; N],
    word: Word,
    length: u32,
    found: &'a mut u32,
}

impl<const N: usize> Step for Begins<'_, N> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let rule = &self.rules[index as usize & (N - 1)];
        let allowed = rule.action < Action::Downgrade as u8;
        let longer = (rule.length as u32).wrapping_sub(self.length);
        // A shorter one wraps to a large value.
        if !allowed || longer.wrapping_sub(1) >= WORD as u32 {
            return false;
        }
        *self.found |= rule.verb.without_last(longer).is(self.word, |number| number) as u32;
        *self.found != 0
    }
}

/// Whether a longer word that passes begins with this one, which has `length` characters.
#[inline(always)]
pub fn allowed<H: Host, const N: usize>(rules: &[VerbRule; N], word: Word, length: u32) -> bool {
    let mut found = 0;
    H::run_steps(N as u32, &mut Begins { rules, word, length, found: &mut found });
    found != 0
}
