//! Named bounds of the datapath. Exceeding one leads to a verdict with a reason, never to a silent pass.

/// Longest word that is compared by name (a command's verb, an EHLO keyword), in bytes. Longer words are `other`.
pub const WORD: usize = 16;
/// Bytes of a command's argument kept for the event. RFC 5321 section 4.5.3.1.4 allows 512 for the whole line. An event
/// needs the host name or the path, and every byte costs memory in each connection's entry.
pub const ARG: usize = 63;
/// Room for an argument: one byte after [`ARG`] takes what is not kept, so that no branch is needed. A power of two.
pub const ARG_ROOM: usize = 64;
/// Bytes of a segment in an event's excerpt.
pub const EXCERPT: usize = 32;
/// Verbs that one policy may name.
pub const NAMED_VERBS: usize = 64;
/// Names that all policies since `up` together may use: a counter is never reused for another name.
pub const NAMES: usize = 256;
/// EHLO keywords that one policy may name.
pub const NAMED_KEYWORDS: usize = 64;
/// The same as [`NAMES`], for keywords.
pub const KEYWORD_NAMES: usize = 128;
/// Policies that are kept for segments still being judged when a new one is set.
pub const POLICY_SLOTS: u32 = 4;
/// Policies of one generation: the whole's own and those of its scopes. A power of two.
pub const SCOPES: usize = 64;
/// Pairs of a class of clients and a class of servers that the scopes of one policy may result in. A power of two.
pub const SCOPE_PAIRS: usize = 65_536;
/// Prefixes of the scopes of one policy.
pub const PREFIXES: u32 = 1 << 20;
/// Readers of events at the same time.
pub const READERS: u32 = 8;
/// 802.1Q and 802.1ad tags that are walked in the data.
pub const VLAN_TAGS: usize = 4;
/// IPv6 extension headers that are walked (RFC 8200 section 4.1 lists seven).
pub const EXTENSION_HEADERS: usize = 8;
/// Bytes that are fetched from a segment at once. A power of two.
pub const PIECE: usize = 8192;
/// Bytes that are rewritten at once: few enough to be written without a loop, because the kernel allows only eight
/// frames of calls and call-backs. A power of two.
pub const PATCH: usize = 64;
/// Longest line that a masked BDAT and its chunk may become (RFC 5321 section 4.5.3.1.4).
pub const MASKED_LINE: u64 = 512;
/// Forwarded, unacknowledged command bytes kept in the entry. A power of two.
pub const CLIENT_WINDOW: usize = 256;
/// Forwarded, unacknowledged reply bytes kept in the entry. A power of two.
pub const SERVER_WINDOW: usize = 128;
/// Size of a window of the shared pool, for pipelined groups and long replies. A power of two.
pub const WIDE_WINDOW: usize = 8192;
/// Slots in the shared pool, of the size of a wide window. A power of two.
pub const POOL: u32 = 1024;
/// Out-of-order ranges of mail data kept in the entry.
pub const ENTRY_RANGES: usize = 4;
/// Further ranges, in a slot of the shared pool. A power of two.
pub const POOL_RANGES: usize = 512;
/// Boundaries in a slot of the shared pool, after the ranges. A power of two.
pub const POOL_BOUNDARIES: usize = 512;
/// Words for chunks in flight in a slot of the shared pool; equal consecutive chunks share one. A power of two.
pub const RUN: usize = 1024;
/// Boundaries in unacknowledged mail data kept in the entry.
pub const ENTRY_BOUNDARIES: usize = 16;
/// Regions (commands, mail data, chunks) that are remembered while unacknowledged.
pub const REGIONS: usize = 8;
/// Runs of commands of one kind that may be waiting for replies.
pub const PENDING: usize = 16;
/// Lines of commands that are read in one segment. A segment of 1,448 bytes with nothing but RSET has 241.
pub const LINES: u32 = 256;
/// A larger segment may have one line for so many bytes: merged segments hold many small chunks, at the same cost per
/// byte.
pub const BYTES_OF_LINE: u32 = 32;
/// Connections that may be live, unless `--connections` says otherwise.
pub const CONNECTIONS: u32 = 65_536;
/// Half-open connections. They have a table of their own, so that they evict no live one.
pub const HALF_OPEN: u32 = 16_384;
/// Connections that have left the live table and are remembered for late segments.
pub const GONE: u32 = 16_384;
/// Blocks of 512 bits that remember whose handshake was seen during the grace period. A power of two.
pub const HANDSHAKE_BLOCKS: u32 = 16_384;

/// Slots in the roster, from which entries to be evicted are drawn. It has half as many again as there are connections:
/// so a free slot is found in a few attempts, and most slots that are drawn are in use.
pub const fn roster(connections: u32) -> u32 {
    let half = connections / 2;
    if half > 0x2aaa_aaaa { u32::MAX } else { connections + half + 1 }
}
