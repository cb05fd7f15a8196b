//! What the program in the kernel and the loader agree on: names of programs, maps and globals, and the version of
//! the pinned layout. A loader that finds another version does not touch what is pinned.

/// Version of everything that is pinned. It changes with any change of a map's key, value or meaning, and of whatever
/// else is pinned.
pub const VERSION: u32 = 13;

/// Program at the ingress hook.
pub const INGRESS: &str = "smtp_ingress";
/// Program at the egress hook.
pub const EGRESS: &str = "smtp_egress";
/// Programs that follow those at the hooks, by their index in [`CHAIN`].
pub const STEPS: [&str; 4] = ["smtp_handshake", "smtp_client", "smtp_server", "smtp_finish"];
/// Index in [`CHAIN`]: segments that begin a connection, or belong to none.
pub const STEP_HANDSHAKE: u32 = 0;
/// Index in [`CHAIN`]: segments of a connection's client.
pub const STEP_CLIENT: u32 = 1;
/// Index in [`CHAIN`]: segments of its server.
pub const STEP_SERVER: u32 = 2;
/// Index in [`CHAIN`]: the rest.
pub const STEP_FINISH: u32 = 3;
/// Program array of [`STEPS`]. It is pinned, because it is emptied when the last user-space reference goes.
pub const CHAIN: &str = "CHAIN";
/// Program that does nothing: the baseline for measurements, and loaded only for them.
pub const NOTHING: &str = "smtp_nothing";
/// Array of one [`Control`].
pub const CONTROL: &str = "CONTROL";
/// Array of [`crate::policy::Policy`], by [`crate::scope::policy_index`].
pub const POLICIES: &str = "POLICIES";
/// Array of tries, by generation modulo [`crate::bounds::POLICY_SLOTS`]: the prefixes of the scopes, from
/// [`crate::scope::Prefix`] to a class.
pub const PREFIXES: &str = "PREFIXES";
/// Array of [`crate::scope::Pairs`], by generation modulo [`crate::bounds::POLICY_SLOTS`].
pub const PAIRS: &str = "PAIRS";
/// Hash from [`crate::flow::Key`] to [`crate::entry::Connection`].
pub const LIVE: &str = "LIVE";
/// Array of [`crate::flow::Key`]: the live connections, for random draws.
pub const ROSTER: &str = "ROSTER";
/// LRU hash from [`crate::flow::Key`] to [`crate::flow::gone::Gone`].
pub const GONE: &str = "GONE";
/// Array of [`crate::flow::bloom::Block`].
pub const HANDSHAKES: &str = "HANDSHAKES";
/// LRU hash from [`crate::flow::Key`] to [`crate::flow::HalfOpen`].
pub const HALF: &str = "HALF";
/// Per-CPU array of [`crate::reason::Counter`], by [`crate::reason::counter`].
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of one [`Lost`].
pub const LOST: &str = "LOST";
/// Array of ring buffers, one per reader of events.
pub const READERS: &str = "READERS";
/// Array of [`crate::host::Slot`]: the shared pool.
pub const POOL: &str = "POOL";

/// Array of one [`Replayed`].
pub const REPLAYED: &str = "REPLAYED";
/// Global of one byte; not 0: the instance replays a capture.
pub const REPLAY: &str = "REPLAY";

/// Global of four bytes: slots in the roster.
pub const SLOTS: &str = "SLOTS";

/// What the loader tells an instance that replays a capture.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The time of the frame, in nanoseconds after 1970: the instance's clock.
    pub now: u64,
    /// Bytes of payload in each segment that the frame was merged from; 0: it was not merged, or that is not known.
    pub piece: u64,
    /// Connections numbered so far.
    pub connections: u64,
    /// Frames judged so far.
    pub frames: u64,
    /// Result for the last frame: a [`crate::verdict::Verdict`].
    pub verdict: u64,
}

/// What every segment reads first. Host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// [`VERSION`].
    pub version: u32,
    /// Generation of the active policy.
    pub generation: u32,
}

/// Events for which there was no room, by reader.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// By slot in [`READERS`].
    pub events: [u64; crate::bounds::READERS as usize],
    /// Connections promoted to the live table.
    pub opened: u64,
    /// Connections seen to end.
    pub closed: u64,
}
