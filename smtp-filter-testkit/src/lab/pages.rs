//! How bytes get into a socket: copied, or as pages of somebody else's, which stay as they were.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpStream,
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::sendfile,
    net::{SendFlags, send},
    pipe::{SpliceFlags, pipe, splice},
};

use super::TemporaryFile;

/// As much as surely goes into a pipe.
const PIPE: usize = 32_768;

/// How bytes get into a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Copied.
    Write,
    /// The pages of a file.
    SendFile,
    /// The same, by way of a pipe.
    Splice,
    /// The sender's own memory.
    ZeroCopy,
}

/// Whose pages were sent.
pub enum Pages {
    /// Nobody's: they were copied.
    Nobodys,
    /// A file's.
    Of(TemporaryFile),
    /// The sender's own memory.
    Memory(Vec<u8>),
}

impl Pages {
    /// They are what they were.
    pub fn are_unchanged(self, sent: &[u8]) -> Result<()> {
        let pages = match self {
            Self::Nobodys => return Ok(()),
            Self::Of(file) => fs::read(&file.0)?,
            Self::Memory(bytes) => bytes,
        };
        ensure!(pages == sent, "the filter has written into the sender's pages");
        Ok(())
    }
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Write, Self::SendFile, Self::Splice, Self::ZeroCopy];

    /// Sends all of it. The pages are to be kept until all has arrived.
    pub fn send(self, mut stream: &TcpStream, bytes: &[u8]) -> Result<Pages> {
        match self {
            Self::Write => {
                stream.write_all(bytes)?;
                Ok(Pages::Nobodys)
            }
            Self::SendFile | Self::Splice => {
                let pages = TemporaryFile::new("pages", bytes)?;
                let file = File::open(&pages.0)?;
                if self == Self::SendFile {
                    send_file(stream, &file, bytes.len())
                } else {
                    splice_file(stream, &file)
                }?;
                Ok(Pages::Of(pages))
            }
            Self::ZeroCopy => {
                let pages = bytes.to_vec();
                allow_zero_copy(stream)?;
                let mut sent = 0;
                while sent < pages.len() {
                    sent +=
                        send(stream, &pages[sent..], SendFlags::from_bits_retain(libc::MSG_ZEROCOPY.cast_unsigned()))?;
                }
                Ok(Pages::Memory(pages))
            }
        }
    }
}

fn send_file(stream: &TcpStream, file: &File, mut left: usize) -> Result<()> {
    while left > 0 {
        left -= sendfile(stream, file, None, left)?;
    }
    Ok(())
}

fn splice_file(stream: &TcpStream, file: &File) -> Result<()> {
    let (out, into) = pipe()?;
    loop {
        let mut waiting = splice(file, None, &into, None, PIPE, SpliceFlags::empty())?;
        if waiting == 0 {
            return Ok(());
        }
        while waiting > 0 {
            waiting -= splice(&out, None, stream, None, waiting, SpliceFlags::empty())?;
        }
    }
}

fn allow_zero_copy(stream: &TcpStream) -> Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the option is read from `on`, which is as long as is said.
    let failed = unsafe {
        let on = std::ptr::from_ref(&on).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, on, length)
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("allow MSG_ZEROCOPY") }
}
