//! Waits in the background for what `up --detach --confirm` put on, and takes it off where nobody confirms it.
//!
//! The program in the kernel goes off at the same time by itself. This is for the rest: programs, maps and pins.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::timeout;

use super::{begin, runtime};
use crate::{
    cli::Global,
    instance::take_off_unconfirmed,
    pins::PinDir,
    record::Records,
    signals::{Signal, Signals},
};

/// How often is looked whether it was confirmed, taken over or taken off.
const LOOK: Duration = Duration::from_millis(250);

/// Starts the waiting in a process of its own, which the terminal's end does not reach. It is in the calling process's
/// network namespace.
pub fn spawn(pins: &PinDir, owner: u64) -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("expire").arg(owner.to_string()).arg("--pin-dir").arg(pins.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for its end: this process ends first.
    command.process_group(0).current_dir("/").spawn().map(drop)
}

/// Waits.
pub fn run(global: &Global, owner: u64) -> Result<()> {
    begin(global, "expire")?;
    let pins = global.pins();
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        while let Waiting::Still = look(&pins, owner).context("wait for the confirmation")? {
            if let Ok(Signal::Terminate) = timeout(LOOK, signals.next()).await {
                break;
            }
        }
        Ok(())
    })
}

enum Waiting {
    Still,
    Over,
}

fn look(pins: &PinDir, owner: u64) -> Result<Waiting> {
    let instance = Records::open(&pins.maps()).and_then(|records| records.instance());
    // Gone, or another layout has taken over.
    let Ok(Some(instance)) = instance else { return Ok(Waiting::Over) };
    if instance.owner != owner || instance.confirm_until.is_none() {
        return Ok(Waiting::Over);
    }
    if !instance.is_expired() {
        return Ok(Waiting::Still);
    }
    take_off_unconfirmed(pins)?;
    Ok(Waiting::Over)
}
