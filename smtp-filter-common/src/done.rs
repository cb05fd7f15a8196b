//! What a function returns that has nothing to say.

/// The result of a function that only acts.
// verifier: a function that is not inlined and returns nothing may leave a pointer to its stack in register 0, which it
// refuses. A number there is known.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done(u8);

/// It has acted.
pub const DONE: Done = Done(1);
