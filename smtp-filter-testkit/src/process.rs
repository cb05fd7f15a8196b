//! Processes: run to their end, or beside us with their output at hand.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::cleanup::{self, Leftover};

/// A process beside us. It is ended on drop, by SIGTERM and, where that does not help, by SIGKILL; and by the kernel
/// when the thread ends that started it, so that not even a killed test leaves it behind.
#[derive(Debug)]
pub struct Running {
    child: Child,
    what: String,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Output {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Starts a command; what it says on stdout and stderr is kept.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        Self::start(command, None, None)
    }

    /// Starts a command that reads `input`; what it says is kept.
    pub fn spawn_fed(command: &mut Command, input: &[u8]) -> Result<Self> {
        Self::start(command, None, Some(input.to_vec()))
    }

    /// Starts a command; what it says is kept and printed as well, each line behind `prefix`.
    pub fn spawn_shown(command: &mut Command, prefix: &str) -> Result<Self> {
        Self::start(command, Some(prefix.to_owned()), None)
    }

    fn start(command: &mut Command, prefix: Option<String>, input: Option<Vec<u8>>) -> Result<Self> {
        let what = line(command);
        // SAFETY: what runs between fork and exec is one system call; it takes no lock and no memory.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let mut child = command
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{what}`"))?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // A program that does not read it all says itself what is wrong.
            thread::spawn(move || stdin.write_all(&input));
        }
        cleanup::add(Leftover::Process(child.id()));
        let output = Arc::new(Output::default());
        let stdout = child.stdout.take().map(|pipe| read(pipe, &output, prefix.clone()));
        let stderr = child.stderr.take().map(|pipe| read(pipe, &output, prefix));
        let readers = stdout.into_iter().chain(stderr).collect();
        Ok(Self { child, what, output, readers, ended: false })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines().clone()
    }

    /// Waits for a line that `find` knows, from the beginning of the output on, and returns what `find` made of it.
    pub fn wait_for<R>(&self, limit: Duration, find: impl Fn(&str) -> Option<R>) -> Result<R> {
        self.wait_from(0, limit, find).map(|(found, _)| found)
    }

    /// Like [`Running::wait_for`], from line number `from` on; also returns the number of the next line.
    pub fn wait_from<R>(&self, from: usize, limit: Duration, find: impl Fn(&str) -> Option<R>) -> Result<(R, usize)> {
        let deadline = Instant::now() + limit;
        let mut lines = self.output.lines();
        let mut next = from;
        loop {
            while let Some(line) = lines.get(next) {
                next += 1;
                if let Some(found) = find(line) {
                    return Ok((found, next));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = lines[lines.len().saturating_sub(5)..].join(" | ");
                bail!("`{}` did not say what was waited for within {limit:?}; its last words: {last}", self.what);
            }
            lines = self.output.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to `{}`", self.what))
    }

    /// Waits for its end and returns whether it was a good one.
    pub fn wait(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for `{}`", self.what))? {
                self.end();
                return Ok(status.success());
            }
            if Instant::now() > deadline {
                bail!("`{}` did not end within {limit:?}", self.what);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.ended || !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it by SIGTERM, which a well-behaved program takes as the end of its work.
    pub fn stop(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(true);
        }
        self.signal(Signal::TERM)?;
        self.wait(Duration::from_secs(5))
    }

    /// Ends it by SIGKILL, for a program that does not mind and is slow to obey.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(5)).map(drop)
    }

    /// It is no more: off the list, and its last words are read.
    fn end(&mut self) {
        self.ended = true;
        cleanup::forget(&Leftover::Process(self.child.id()));
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stop().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            // Its own children may hold the pipes open: their words are not waited for.
            self.readers.clear();
            self.end();
        }
    }
}

fn read(pipe: impl Read + Send + 'static, output: &Arc<Output>, prefix: Option<String>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(prefix) = &prefix {
                println!("{prefix}{line}");
            }
            output.lines().push(line);
            output.more.notify_all();
        }
    })
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end and returns what it prints on stdout.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run `{}`", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().replace('\n', " | ");
        bail!("`{}` failed ({}): {said}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a command to its end, with its input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<()> {
    let what = line(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run `{what}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).with_context(|| format!("write to `{what}`"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("wait for `{what}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        bail!("`{what}` failed ({}): {said}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_waited_for_and_the_process_is_ended() -> Result<()> {
        let mut running = Running::spawn(Command::new("sh").args(["-c", "echo one; echo two >&2; exec sleep 60"]))?;
        let second = Duration::from_secs(5);
        running.wait_for(second, |line| (line == "one").then_some(()))?;
        running.wait_for(second, |line| (line == "two").then_some(()))?;
        assert!(running.wait_for(Duration::from_millis(20), |line| (line == "three").then_some(())).is_err());
        assert!(!running.stop()?, "ended by the signal");
        Ok(())
    }
}
