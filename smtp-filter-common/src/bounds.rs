//! Named bounds of the datapath, each with its reason. Beyond a bound stands a reason, never a silent pass.

/// Longest word that is compared by name (a command's verb, an EHLO keyword), in bytes. Longer words are `other`.
pub const WORD: usize = 16;
/// Bytes of a command's argument kept for the event. RFC 5321 section 4.5.3.1.4 allows 512 for the whole line; an
/// event wants the host name or the path, and every byte is paid for in each connection's entry.
pub const ARG: usize = 63;
/// Room for an argument: one place behind [`ARG`] takes what is not kept, so that no branch is needed. A power of two.
pub const ARG_ROOM: usize = 64;
/// Bytes of an offending segment that an event of a cut carries.
pub const CUT: usize = 32;
/// Verbs that one policy may name.
pub const NAMED_VERBS: usize = 64;
/// Names that all policies since `up` together may use: a counter's place is never given to another name.
pub const NAMES: usize = 256;
/// EHLO keywords that one policy may name.
pub const NAMED_KEYWORDS: usize = 64;
/// The same as [`NAMES`], for keywords.
pub const KEYWORD_NAMES: usize = 128;
/// Policies that are kept for segments still under way when a new one is set.
pub const POLICY_SLOTS: u32 = 4;
/// Policies of one generation: the whole's own, and those of its scopes. A power of two.
pub const SCOPES: usize = 64;
/// Pairs of a class of clients and a class of servers that the scopes of one policy may come to. A power of two.
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
/// Bytes that are rewritten at once: few enough to be written without a loop of their own, for the kernel allows eight frames
/// of calls and call-backs. A power of two.
pub const PATCH: usize = 64;
/// A masked BDAT and its chunk become one line, which may be so long (RFC 5321 section 4.5.3.1.4).
pub const MASKED_LINE: u64 = 512;
/// Forwarded, unacknowledged command bytes kept in the entry. A power of two.
pub const CLIENT_WINDOW: usize = 256;
/// Forwarded, unacknowledged reply bytes kept in the entry. A power of two.
pub const SERVER_WINDOW: usize = 128;
/// Size of a window of the shared pool, for pipelined groups and long replies. A power of two.
pub const WIDE_WINDOW: usize = 8192;
/// Slots in the shared pool, of the size of a wide window. A power of two.
pub const POOL: u32 = 1024;
/// Early ranges of mail data that are remembered.
pub const ENTRY_RANGES: usize = 4;
/// More of them, in a slot of the shared pool. A power of two.
pub const POOL_RANGES: usize = 512;
/// Boundaries in a slot of the shared pool, after the ranges. A power of two.
pub const POOL_BOUNDARIES: usize = 512;
/// Chunks in flight that a slot of the shared pool remembers, those alike counted once. A power of two.
pub const RUN: usize = 1024;
/// Places in unacknowledged mail data whose scanner state is remembered.
pub const ENTRY_BOUNDARIES: usize = 16;
/// Changes between commands, mail data and chunks that are remembered while unacknowledged.
pub const REGIONS: usize = 8;
/// Runs of commands of one kind that may wait for their replies.
pub const PENDING: usize = 16;
/// Lines of commands that are read of one segment. One of 1,448 bytes with nothing but RSET has 241.
pub const LINES: u32 = 256;
/// Of a larger segment one more for so many bytes: merged ones hold many small chunks, and each byte costs no more in them.
pub const BYTES_OF_LINE: u32 = 32;
/// Connections that may be live, unless `--connections` says otherwise.
pub const CONNECTIONS: u32 = 65_536;
/// Half-open connections: a table of their own, so that they push out no live one.
pub const HALF_OPEN: u32 = 16_384;
/// Connections that have left the live table and are remembered for segments that come late.
pub const GONE: u32 = 16_384;
/// Blocks of 512 bits that remember whose handshake was seen in the grace. A power of two.
pub const BEGUN_BLOCKS: u32 = 16_384;

/// Places in the roster, of which entries to give way are drawn: with half as many again as connections, one that is free
/// is found in a few tries, and of those that are drawn most are in use.
pub const fn roster(connections: u32) -> u32 {
    let half = connections / 2;
    if half > 0x2aaa_aaaa { u32::MAX } else { connections + half + 1 }
}
