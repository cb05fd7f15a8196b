//! Capture files: pcap with microseconds or nanoseconds, in either byte order, and pcapng.

use std::io::{self, Cursor, Read as _};

use anyhow::{Context as _, Result, anyhow, bail};
use pcap_parser::{
    Block, LegacyPcapReader, OptionCode, PcapBlockOwned, PcapError, PcapNGReader, traits::PcapNGPacketBlock as _,
    traits::PcapReaderIterator,
};

use super::{
    format::{Format, PIECE, format, look},
    link::{Link, Way},
    source::{Source, Track},
};
use crate::events::escape::escape;

/// Room that small files get.
const PAGE: usize = 4096;
/// Longest block of a file. The longest frames, of BIG TCP, have half a megabyte.
const LONGEST: usize = 1 << 24;
/// Longest name of an interface that is shown.
const NAME: usize = 64;
/// Interfaces of a file.
const INTERFACES: usize = 1 << 16;
/// What is shown for an interface without a name.
const NAMELESS: &str = "capture";
/// `epb_flags`.
const FLAGS: u16 = 2;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A frame of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured: nanoseconds after 1970.
    pub time: u64,
    /// Its link layer; `None` where that is none that is read.
    pub link: Option<Link>,
    /// Where it was captured.
    pub interface: &'a Interface,
    /// Which way it went, where the file says so.
    pub way: Option<Way>,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How many there were on the wire.
    pub length: u32,
}

impl Packet<'_> {
    /// Whether all of it was captured.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 >= u64::from(self.length)
    }
}

/// An interface of a capture.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its place among those of the file.
    pub index: u32,
    /// Its name, escaped.
    pub name: String,
    /// Its link type.
    pub link: u32,
    /// Units of a second that times are counted in.
    resolution: u64,
    /// Seconds that are added to times.
    offset: i64,
    /// Bytes of a frame that are captured at most; 0: all.
    longest: u32,
}

/// Who takes the frames.
pub trait Sink {
    /// The next frame.
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()>;
    /// The file is read on, and that may take its time; so many bytes have been read.
    fn waits(&mut self, read: u64) -> Result<()>;
}

/// Reads a capture from beginning to end. An error says what is wrong with it, and where; the frames before have been
/// handed on.
pub fn read(mut source: Source, sink: &mut impl Sink) -> Result<()> {
    let track = source.track();
    let head = look(&mut source).map_err(|error| track.error().unwrap_or(error))?;
    let format = format(&head)?;
    let capacity = source.length().map_or(PIECE, |length| usize::try_from(length).unwrap_or(PIECE).clamp(PAGE, PIECE));
    let whole = Cursor::new(head).chain(source);
    let mut file = File { track, sink, interfaces: Vec::new(), big_endian: false, frames: 0, time: 0 };
    match format {
        Format::Pcap => {
            let reader =
                LegacyPcapReader::new(capacity, whole).map_err(|_| anyhow!("the file ends within its header"))?;
            file.all(reader, capacity)
        }
        Format::Pcapng => {
            let reader = PcapNGReader::new(capacity, whole)
                .map_err(|_| anyhow!("the file's first block is damaged, or the file ends within it"))?;
            file.all(reader, capacity)
        }
    }
}

/// A file while it is read.
struct File<'a, S> {
    track: Track,
    sink: &'a mut S,
    interfaces: Vec<Interface>,
    big_endian: bool,
    frames: u64,
    time: u64,
}

/// What is to be done before the next block.
enum Next {
    /// So many bytes are done with.
    Consume(usize),
    Refill,
    Grow,
    End,
}

impl<S: Sink> File<'_, S> {
    fn all(&mut self, mut reader: impl PcapReaderIterator, mut capacity: usize) -> Result<()> {
        loop {
            let mut next = match reader.next() {
                Ok((length, block)) => {
                    self.block(&block)?;
                    Next::Consume(length)
                }
                Err(PcapError::Eof) => Next::End,
                Err(PcapError::Incomplete(_)) => Next::Refill,
                Err(PcapError::BufferTooSmall) => Next::Grow,
                Err(PcapError::UnexpectedEof) => {
                    bail!(
                        "the file ends in the middle of a record after frame {}: it was cut off, or is damaged",
                        self.frames
                    )
                }
                Err(_) => bail!("the file is damaged after frame {}", self.frames),
            };
            // A length may lie: room is made only for what is there.
            if matches!(next, Next::Grow) && reader.data().len() < capacity {
                next = Next::Refill;
            }
            if matches!(next, Next::Refill) {
                self.sink.waits(self.track.read())?;
                let before = reader.data().len();
                let read = reader.refill().is_ok();
                if !read {
                    let error = self.track.error().unwrap_or_else(|| io::ErrorKind::Other.into());
                    return Err(error).with_context(|| format!("read on after frame {}", self.frames));
                }
                if reader.data().len() == before && !reader.reader_exhausted() {
                    next = Next::Grow;
                }
            }
            match next {
                Next::Consume(length) => reader.consume(length),
                Next::Refill => {}
                Next::Grow => {
                    capacity *= 2;
                    if capacity > LONGEST || !reader.grow(capacity) {
                        bail!(
                            "the file is damaged after frame {}: what follows is said to be longer than {} MiB",
                            self.frames,
                            LONGEST >> 20
                        );
                    }
                }
                Next::End => return Ok(()),
            }
        }
    }

    fn block(&mut self, block: &PcapBlockOwned<'_>) -> Result<()> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                // What is above the link type says whether frames have a checksum at their end.
                let link = header.network.0 as u32 & 0xffff;
                if Link::of(link).is_none() {
                    return Err(foreign(link));
                }
                let resolution = if header.is_nanosecond_precision() { SECOND } else { 1_000_000 };
                self.interfaces.push(Interface { resolution, ..Interface::unnamed(link) });
                Ok(())
            }
            PcapBlockOwned::Legacy(frame) => {
                let fraction = match self.interfaces.first() {
                    Some(interface) if interface.resolution == SECOND => u64::from(frame.ts_usec),
                    _ => u64::from(frame.ts_usec) * 1000,
                };
                self.time = u64::from(frame.ts_sec) * SECOND + fraction;
                self.frame(0, None, frame.data, frame.origlen)
            }
            PcapBlockOwned::NG(block) => self.block_ng(block),
        }
    }

    fn block_ng(&mut self, block: &Block<'_>) -> Result<()> {
        match block {
            Block::SectionHeader(section) => {
                self.interfaces.clear();
                self.big_endian = section.big_endian();
                Ok(())
            }
            Block::InterfaceDescription(about) => {
                if self.interfaces.len() >= INTERFACES {
                    bail!("the file is damaged after frame {}: it has more than {INTERFACES} interfaces", self.frames);
                }
                // The parser takes the offset for little-endian, whatever the section says.
                let offset = if self.big_endian { about.if_tsoffset.swap_bytes() } else { about.if_tsoffset };
                self.interfaces.push(Interface {
                    index: self.interfaces.len() as u32,
                    name: about.if_name().and_then(Result::ok).map_or_else(|| NAMELESS.to_owned(), name),
                    link: about.linktype.0 as u32,
                    resolution: resolution(about.if_tsresol),
                    offset,
                    longest: about.snaplen,
                });
                Ok(())
            }
            Block::EnhancedPacket(frame) => {
                let units = u64::from(frame.ts_high) << 32 | u64::from(frame.ts_low);
                let interface = frame.if_id as usize;
                if let Some(interface) = self.interfaces.get(interface) {
                    self.time = interface.time(units);
                }
                let flags = frame.options.iter().find(|option| option.code == OptionCode(FLAGS));
                let flags = flags.and_then(|option| option.value().first_chunk().copied()).map_or(0, |bytes| {
                    if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
                });
                let way = match flags & 3 {
                    1 => Some(Way::In),
                    2 => Some(Way::Out),
                    _ => None,
                };
                self.frame(interface, way, frame.packet_data(), frame.origlen)
            }
            // It has no time of its own.
            Block::SimplePacket(frame) => {
                let longest = self.interfaces.first().map_or(0, |interface| interface.longest);
                let bytes = frame.packet_data();
                let bytes = match longest {
                    0 => bytes,
                    longest => bytes.get(..longest as usize).unwrap_or(bytes),
                };
                self.frame(0, None, bytes, frame.origlen)
            }
            _ => Ok(()),
        }
    }

    fn frame(&mut self, interface: usize, way: Option<Way>, bytes: &[u8], length: u32) -> Result<()> {
        let Some(interface) = self.interfaces.get(interface) else {
            bail!("the file is damaged after frame {}: what follows is of an interface that it has not", self.frames);
        };
        self.frames += 1;
        let link = Link::of(interface.link);
        self.sink.frame(&Packet { time: self.time, link, interface, way, bytes, length })
    }
}

impl Interface {
    /// One without a name, of a link type.
    pub fn unnamed(link: u32) -> Self {
        Self { index: 0, name: NAMELESS.to_owned(), link, resolution: 1_000_000, offset: 0, longest: 0 }
    }

    fn time(&self, units: u64) -> u64 {
        let nanoseconds = u128::from(units) * u128::from(SECOND) / u128::from(self.resolution);
        let offset = i128::from(self.offset) * i128::from(SECOND);
        let time = i128::try_from(nanoseconds).unwrap_or(i128::MAX).saturating_add(offset).max(0);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// Units of a second: a power of ten, or with the highest bit set of two. What is finer than can be counted is taken
/// for nonsense, and for the microseconds that are meant where nothing is said. (The parser's own function knows no
/// powers of two.)
fn resolution(exponent: u8) -> u64 {
    let units = if exponent & 0x80 == 0 {
        10_u64.checked_pow(u32::from(exponent))
    } else {
        1_u64.checked_shl(u32::from(exponent & 0x7f))
    };
    units.unwrap_or(1_000_000)
}

/// A name for one word of a line.
fn name(name: &str) -> String {
    let cut: Vec<u8> = name.bytes().take(NAME).collect();
    escape(&cut).replace(' ', "\\x20")
}

/// The error about a link type.
pub(crate) fn foreign(link: u32) -> anyhow::Error {
    anyhow!("its link type {link} is not read; expected Ethernet, raw IP, null or loopback, or Linux cooked")
}
