//! The capture of what would have come out: a pcap file with nanoseconds.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, bail};
use pcap_parser::{LegacyPcapBlock, Linktype, PcapHeader, ToVec as _};
use rustix::fs::{fstat, stat};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// The first number of a file whose times have nanoseconds; the file is little-endian.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// What other programs take at most for a frame.
const LONGEST: u32 = 262_144;
/// The link type of a capture without frames.
const ETHERNET: u32 = 1;

/// A capture that is written.
pub struct Output {
    place: Place,
    /// Until the first frame says what the link type is.
    bytes: Option<Bytes>,
    /// From then on.
    writer: Option<(u32, Bytes)>,
    frames: u64,
}

type Bytes = BufWriter<Box<dyn Write>>;

impl Output {
    /// Begins a capture that takes the place of `path` when it is whole; `-` is the standard output. `input` is the
    /// capture that is read.
    pub fn new(path: &Path, input: &Path) -> Result<Self> {
        let (place, bytes): (Place, Box<dyn Write>) = if path == Path::new("-") {
            (Place { path: path.to_owned(), begun: None }, Box::new(io::stdout()))
        } else {
            let (place, file) = Place::new(path, input).with_context(|| format!("write {}", path.display()))?;
            (place, Box::new(file))
        };
        Ok(Self { place, bytes: Some(BufWriter::new(bytes)), writer: None, frames: 0 })
    }

    /// Adds a frame of a link type, captured so many nanoseconds after 1970, of which `length` bytes were on the wire.
    pub fn frame(&mut self, link: u32, time: u64, bytes: &[u8], length: u32) -> Result<()> {
        self.add(link, time, bytes, length).with_context(|| self.place.what())
    }

    fn add(&mut self, link: u32, time: u64, bytes: &[u8], length: u32) -> Result<()> {
        self.begin(link)?;
        self.frames += 1;
        let Some((first, writer)) = &mut self.writer else { bail!("it has not begun") };
        if *first != link {
            bail!(
                "frame {} has the link type {link} and the first one {first}, and a pcap file has one for all: replay \
                 each interface of the capture by itself",
                self.frames
            );
        }
        let Ok(ts_sec) = u32::try_from(time / SECOND) else {
            bail!("frame {} is from after the year 2105, which a pcap file cannot hold", self.frames);
        };
        let caplen = u32::try_from(bytes.len())?;
        let (ts_usec, origlen) = ((time % SECOND) as u32, length.max(caplen));
        let block = LegacyPcapBlock { ts_sec, ts_usec, caplen, origlen, data: bytes };
        Ok(writer.write_all(&block.to_vec_raw()?)?)
    }

    /// Ends it: now it takes its place.
    pub fn finish(mut self) -> Result<()> {
        self.end().with_context(|| self.place.what())
    }

    fn end(&mut self) -> Result<()> {
        self.begin(ETHERNET)?;
        if let Some((_, mut writer)) = self.writer.take() {
            writer.flush()?;
        }
        Ok(self.place.take()?)
    }

    /// Writes the file's header, where that is not done yet.
    fn begin(&mut self, link: u32) -> Result<()> {
        if let Some(mut bytes) = self.bytes.take() {
            let header = PcapHeader {
                magic_number: NANOSECONDS,
                snaplen: LONGEST,
                network: Linktype(i32::try_from(link)?),
                ..PcapHeader::new()
            };
            bytes.write_all(&header.to_vec_raw()?)?;
            self.writer = Some((link, bytes));
        }
        Ok(())
    }
}

/// Where the capture goes. Until it is whole it has a name of its own there, which goes away on drop.
struct Place {
    path: PathBuf,
    begun: Option<PathBuf>,
}

impl Place {
    fn new(path: &Path, input: &Path) -> Result<(Self, File)> {
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Ok(there) = stat(&path) {
            let read = if input == Path::new("-") { fstat(io::stdin()) } else { stat(input) };
            if read.is_ok_and(|read| (read.st_dev, read.st_ino) == (there.st_dev, there.st_ino)) {
                bail!("that is the capture that is read: give another name");
            }
            if !fs::metadata(&path)?.is_file() {
                bail!("it is there, and no file: give another name, or `-` for the standard output");
            }
        }
        let Some(name) = path.file_name() else { bail!("it has no name: give that of a file") };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", process::id()));
        let begun = path.with_file_name(hidden);
        let file = File::create_new(&begun)?;
        Ok((Self { path, begun: Some(begun) }, file))
    }

    fn take(&mut self) -> io::Result<()> {
        if let Some(begun) = &self.begun {
            fs::rename(begun, &self.path)?;
            self.begun = None;
        }
        Ok(())
    }

    fn what(&self) -> String {
        format!("write {}", self.path.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(begun) = &self.begun {
            let _ = fs::remove_file(begun);
        }
    }
}
