//! Facts about a segment that has been read, as bits of one number.

/// The state of the connection changed.
pub const STATE_CHANGED: u8 = 1;

/// There is a verdict against it.
pub const BLOCKED: u8 = 2;

/// Part of it passed unread in mode `monitor`, or may be missing.
pub const UNREAD: u8 = 4;

/// Both sides have closed.
pub const CLOSES: u8 = 8;

/// This verdict has not been reported yet.
pub const FRESH: u8 = 16;
