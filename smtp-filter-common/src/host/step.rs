//! Loops.

/// A step of a loop. The verifier walks it once, however often it runs, so loops over a segment are made of steps.
pub trait Step {
    /// Does the `index`th step; `true` ends the loop.
    ///
    /// Memory offsets have to be derived from `index`. If a number in the loop's own memory grew from step to step, the
    /// verifier of 6.12 and later would follow it until it gives up.
    fn step(&mut self, index: u32) -> bool;
}
