//! Where a capture's bytes come from, with what is said of it afterwards: how many there were, and what went wrong.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
    path::Path,
    rc::Rc,
};

use crate::files::{self, Opened};

/// A file, or the standard input.
pub struct Source {
    bytes: Box<dyn Read>,
    /// Its length, where it is known beforehand.
    length: Option<u64>,
    track: Track,
}

/// What became of reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    read: Rc<Cell<u64>>,
    error: Rc<RefCell<Option<io::Error>>>,
}

impl Track {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// The error that ended it.
    pub fn error(&self) -> Option<io::Error> {
        self.error.take()
    }
}

impl Source {
    /// Opens a file; `-` is the standard input.
    pub fn open(path: &Path) -> io::Result<Self> {
        let Opened { bytes, length } = files::open(path)?;
        Ok(Self::new(bytes, length))
    }

    /// From something else that can be read.
    pub fn new(bytes: impl Read + 'static, length: Option<u64>) -> Self {
        Self { bytes: Box::new(bytes), length, track: Track::default() }
    }

    /// How many bytes there are, where that is known beforehand.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    pub(super) fn track(&self) -> Track {
        self.track.clone()
    }
}

impl Read for Source {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.bytes.read(room) {
                Ok(read) => {
                    self.track.read.set(self.track.read() + read as u64);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.track.error.replace(Some(error));
                    return Err(kind.into());
                }
            }
        }
    }
}
