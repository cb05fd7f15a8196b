//! Parts of the datapath that the kernel has as functions with global linkage.

/// These parts as methods of a [`Host`](crate::host::Host) that calls them directly. Belongs into its `impl`.
#[macro_export]
macro_rules! direct_parts {
    () => {
        fn promote(&mut self, work: &mut $crate::work::Work) -> u8 {
            $crate::flow::promote::promote(self, work)
        }

        fn scan(&mut self, work: &mut $crate::work::Work) {
            $crate::session::scan::run(self, work);
        }

        fn note_boundary(
            &mut self,
            work: &mut $crate::work::Work,
            at: $crate::seq::Seq,
            state: u8,
            spare: usize,
        ) -> bool {
            $crate::stream::boundaries::note(self, work, at, state, spare)
        }

        fn look_at_boundary(&mut self, work: &mut $crate::work::Work, at: $crate::seq::Seq, before: u32) -> u32 {
            $crate::stream::boundaries::lookup::look(self, work, at, before)
        }

        fn list_boundaries(
            &mut self,
            work: &mut $crate::work::Work,
            from: $crate::seq::Seq,
            to: $crate::seq::Seq,
        ) -> u32 {
            $crate::stream::boundaries::lookup::find(self, work, from, to)
        }

        fn sort(&mut self, work: &mut $crate::work::Work) {
            $crate::stream::sorted::sort(self, work);
        }
    };
}
