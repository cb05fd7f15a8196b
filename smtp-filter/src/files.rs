//! Opening what the user names: a file, a device, a FIFO that somebody writes to, or the standard input.

use std::{
    fs::{File, OpenOptions},
    io::{self, Cursor, Read},
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
};

/// How long a FIFO's writer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something open for reading.
pub struct Opened {
    /// Its bytes.
    pub bytes: Box<dyn Read>,
    /// Its length, where it is a file.
    pub length: Option<u64>,
}

/// Opens it; `-` is the standard input. A FIFO that nobody writes to is an error after a moment, not a wait for ever.
pub fn open(path: &Path) -> io::Result<Opened> {
    if path == Path::new("-") {
        return Ok(Opened { bytes: Box::new(io::stdin()), length: None });
    }
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let early = if about.file_type().is_fifo() { wait_for_writer(&file)? } else { Vec::new() };
    // From here on a read waits for whoever writes.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    let length = about.is_file().then_some(about.len());
    Ok(Opened { bytes: Box::new(Cursor::new(early).chain(file)), length })
}

/// Waits until there are bytes, or at least somebody who may write some; returns what had to be read to find out.
fn wait_for_writer(mut fifo: &File) -> io::Result<Vec<u8>> {
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fifo.as_fd(), PollFlags::IN)], Some(&patience))?;
    let mut byte = [0];
    match fifo.read(&mut byte) {
        Ok(0) => Err(io::Error::other("is a FIFO that nobody writes to")),
        Ok(_) => Ok(byte.to_vec()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, thread};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_fifo_is_read_from_its_first_byte_and_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("smtp-filter-fifo-{}", std::process::id()));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let nobody = open(&path).map(|_| ()).unwrap_err().to_string();
        let writer = thread::spawn({
            let path = path.clone();
            move || OpenOptions::new().write(true).open(path)?.write_all(b"mode = \"enforce\"\n")
        });
        let mut text = String::new();
        let read = open(&path).and_then(|mut opened| opened.bytes.read_to_string(&mut text));
        fs::remove_file(&path).unwrap();
        writer.join().unwrap().unwrap();
        read.unwrap();
        assert_eq!((nobody.as_str(), text.as_str()), ("is a FIFO that nobody writes to", "mode = \"enforce\"\n"));
    }

    #[test]
    fn a_folder_is_no_file() {
        assert_eq!(open(Path::new("/")).map(|_| ()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(open(Path::new(file!().rsplit('/').next().unwrap())).is_err());
    }
}
