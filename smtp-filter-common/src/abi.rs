//! What the program in the kernel and the loader agree on: names of programs, maps and globals, and the version of
//! the pinned layout. A loader that finds another version does not touch what is pinned.

/// Version of everything that is pinned. Any change of a map's key, value or meaning changes it, and of what is pinned
/// beside the maps.
pub const VERSION: u32 = 12;

/// Program at the ingress hook.
pub const INGRESS: &str = "smtp_ingress";
/// Program at the egress hook.
pub const EGRESS: &str = "smtp_egress";
/// Programs that follow those at the hooks, by their places in [`CHAIN`].
pub const STEPS: [&str; 4] = ["smtp_handshake", "smtp_client", "smtp_server", "smtp_finish"];
/// Place in [`CHAIN`]: what begins a connection, or belongs to none.
pub const STEP_HANDSHAKE: u32 = 0;
/// Place in [`CHAIN`]: what the client of a connection sends.
pub const STEP_CLIENT: u32 = 1;
/// Place in [`CHAIN`]: what its server sends.
pub const STEP_SERVER: u32 = 2;
/// Place in [`CHAIN`]: what is left to be done.
pub const STEP_FINISH: u32 = 3;
/// Program array of [`STEPS`]. It loses them with its last user-space reference, and so is pinned.
pub const CHAIN: &str = "CHAIN";
/// Program that does nothing: what others are measured beside. Loaded for that alone.
pub const NOTHING: &str = "smtp_nothing";
/// Array of one [`Control`].
pub const CONTROL: &str = "CONTROL";
/// Array of [`crate::policy::Policy`], by [`crate::scope::place`].
pub const POLICIES: &str = "POLICIES";
/// Array of tries, by generation modulo [`crate::bounds::POLICY_SLOTS`]: the prefixes of the scopes, from
/// [`crate::scope::Prefix`] to a class.
pub const PREFIXES: &str = "PREFIXES";
/// Array of [`crate::scope::Pairs`], by generation modulo [`crate::bounds::POLICY_SLOTS`].
pub const PAIRS: &str = "PAIRS";
/// Hash from [`crate::flow::Key`] to [`crate::entry::Connection`].
pub const LIVE: &str = "LIVE";
/// Array of [`crate::flow::Key`]: the live connections, to be drawn of at random.
pub const ROSTER: &str = "ROSTER";
/// LRU hash from [`crate::flow::Key`] to [`crate::flow::gone::Gone`].
pub const GONE: &str = "GONE";
/// Array of [`crate::flow::begun::Block`].
pub const BEGUN: &str = "BEGUN";
/// LRU hash from [`crate::flow::Key`] to [`crate::flow::HalfOpen`].
pub const HALF: &str = "HALF";
/// Per-CPU array of [`crate::reason::Counter`], by [`crate::reason::counter`].
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of one [`Lost`].
pub const LOST: &str = "LOST";
/// Array of ring buffers, one a reader of events.
pub const READERS: &str = "READERS";
/// Array of [`crate::host::Slot`]: the shared pool.
pub const POOL: &str = "POOL";

/// Array of one [`Replayed`].
pub const REPLAYED: &str = "REPLAYED";
/// Global of one byte; not 0: the instance replays a capture.
pub const REPLAY: &str = "REPLAY";

/// Global of four bytes: places in the roster.
pub const SLOTS: &str = "SLOTS";

/// What an instance that replays a capture is told of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The time of the frame, in nanoseconds after 1970: the instance's clock.
    pub now: u64,
    /// Bytes of payload in each segment that the frame was merged of; 0: it is one alone, or that is not known.
    pub piece: u64,
    /// Connections numbered so far.
    pub connections: u64,
    /// Frames judged so far.
    pub frames: u64,
    /// What the last one came to: a [`crate::verdict::Verdict`].
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

/// Events that found no room, by reader.
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
