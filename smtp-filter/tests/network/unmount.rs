//! The BPF file system as an attacker or an administrator may leave it: unmounted under a filter, covered by another
//! one, open to everybody.
//!
//! Invariants: I10.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use smtp_filter_testkit::{
    Client, Filter, MailServer, Network, Running, SERVER_V4, folders,
    lab::{self, SOON, counted, hello, say, wait_until},
};

/// How long a reply to EHLO is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(150);

/// A BPF file system of a test's own, which is unmounted with it.
struct BpfFs(PathBuf);

impl BpfFs {
    fn new(name: &str) -> Result<Self> {
        let point = std::env::temp_dir().join(format!("smtpf-{}-bpffs-{name}", std::process::id()));
        fs::create_dir(&point)?;
        let bpffs = Self(point);
        bpffs.mount("mode=0700")?;
        Ok(bpffs)
    }

    fn mount(&self, options: &str) -> Result<()> {
        lab::succeed(Command::new("mount").args(["-t", "bpf", "-o", options, "bpffs"]).arg(&self.0)).map(drop)
    }

    fn unmount(&self, words: &[&str]) -> Result<()> {
        lab::succeed(Command::new("umount").args(words).arg(&self.0)).map(drop)
    }

    fn filter(&self, network: &Network) -> Result<Filter> {
        Filter::at(folders::program(), &network.gateway, self.0.join("mine"))
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        while self.unmount(&["-l"]).is_ok() {}
        let _ = fs::remove_dir(&self.0);
    }
}

fn foreground(filter: &Filter, network: &Network, words: &[&str]) -> Result<Running> {
    let words = [&["up", "--netns", network.gateway.name(), "--iface", "inside"], words].concat();
    let up = Running::spawn(&mut filter.command(&words))?;
    up.wait_for(SOON, |line| line.contains("Ctrl-C takes it off").then_some(()))?;
    Ok(up)
}

fn ehlo_is_dropped(network: &Network) -> Result<()> {
    let mut client = Client::connect(&network.client, SERVER_V4)?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    client.patience(SILENCE)?;
    ensure!(client.command("EHLO client.example").is_err(), "EHLO has passed");
    rustix::net::sockopt::set_socket_linger(client.stream(), Some(Duration::ZERO))?;
    Ok(())
}

fn mode(path: &std::path::Path) -> Result<u32> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.mode() & 0o777)
}

/// A command that fails: its one line.
fn refusal(filter: &Filter, words: &[&str]) -> Result<String> {
    let output = filter.run(words)?;
    let line = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && line.lines().count() == 1, "{words:?}: {line}");
    Ok(line)
}

#[test(root)]
fn a_filter_whose_file_system_is_unmounted_is_pinned_again() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let bpffs = BpfFs::new(hook)?;
        let filter = bpffs.filter(&network)?;
        let mut up = foreground(&filter, &network, &["--json", "--profile", "drop-esmtp", "--hook", hook])?;
        filter.set(&["commands.vrfy=reset", "commands.noop=log"])?;
        let policy = filter.json(&["policy", "show"])?;
        let programs = filter.json(&["status"])?["interfaces"].clone();
        let mut session = hello(&network.client, SERVER_V4, "HELO")?;
        for round in 1..=3 {
            // At last another one is mounted over it: with the old pins left there, it would outlast `down`.
            if round == 3 {
                bpffs.mount("mode=0700")?
            } else {
                bpffs.unmount(&["-l"])?
            }
            ehlo_is_dropped(&network).context("while nothing is mounted")?;
            wait_until("it is said", || {
                Ok(up.lines().iter().filter(|line| line.contains("was unmounted under the filter")).count() == round)
            })?;
            wait_until("it is pinned again", || {
                Ok(up.lines().iter().filter(|line| line.contains("is pinned again at")).count() == round)
            })?;
            let status = filter.json(&["status"])?;
            ensure!(status["interfaces"] == programs && status["attached"] == true, "{status}");
            ensure!(filter.json(&["policy", "show"])? == policy);
            ensure!(mode(&bpffs.0)? == 0o700 && mode(filter.pin_dir())? == 0o700);
            ehlo_is_dropped(&network)?;
            say(&mut session, "NOOP", 250).context("connections stay")?;
            ensure!(counted(&filter, "commands.noop")?.0 == round as u64);
        }
        // Events go on.
        say(&mut session, "NOOP", 250)?;
        up.wait_for(SOON, |line| line.contains("NOOP").then_some(()))?;
        filter.set(&["commands.ehlo=pass"])?;
        hello(&network.client, SERVER_V4, "EHLO")?;
        up.signal(Signal::TERM)?;
        ensure!(up.wait(SOON)?, "{:?}", up.lines());
        ensure!(!filter.pin_dir().exists());
        hello(&network.client, SERVER_V4, "EHLO")?.command("VRFY x").context("off")?;
        ensure!(!server.lines().is_empty());
    }
    Ok(())
}

#[test(root)]
fn a_filter_that_cannot_be_pinned_again_stays_on_and_goes_with_its_loader() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let bpffs = BpfFs::new("stuck")?;
    let filter = bpffs.filter(&network)?;
    let mut up = foreground(&filter, &network, &["--profile", "drop-esmtp", "--hook", "clsact"])?;
    bpffs.unmount(&["-l"])?;
    // A file in its place can be mounted on by nobody.
    fs::remove_dir(&bpffs.0)?;
    fs::write(&bpffs.0, b"")?;
    up.wait_for(SOON, |line| line.contains("cannot be pinned again").then_some(()))?;
    ehlo_is_dropped(&network)?;
    up.signal(Signal::INT)?;
    ensure!(up.wait(SOON)?, "{:?}", up.lines());
    fs::remove_file(&bpffs.0)?;
    hello(&network.client, SERVER_V4, "EHLO")?;
    Ok(())
}

#[test(root)]
fn a_filter_put_on_meanwhile_takes_the_place() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let bpffs = BpfFs::new("meanwhile")?;
    let filter = bpffs.filter(&network)?;
    let mut up = foreground(&filter, &network, &["--profile", "drop-esmtp"])?;
    up.signal(Signal::STOP)?;
    bpffs.unmount(&["-l"])?;
    bpffs.mount("mode=0700")?;
    filter.up(&["--iface", "inside"])?;
    up.signal(Signal::CONT)?;
    up.wait_for(SOON, |line| line.contains("another filter was put on in its place").then_some(()))?;
    ensure!(up.wait(SOON)?, "{:?}", up.lines());
    hello(&network.client, SERVER_V4, "EHLO")?;
    ensure!(filter.json(&["status"])?["policy"]["profile"] == "monitor");
    filter.down()?;
    Ok(())
}

#[test(root)]
fn detached_it_goes_off_and_status_says_why() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let bpffs = BpfFs::new("detached")?;
    let filter = bpffs.filter(&network)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    ehlo_is_dropped(&network)?;
    bpffs.unmount(&[])?;
    wait_until("it is off", || Ok(hello(&network.client, SERVER_V4, "EHLO").is_ok()))?;
    let line = refusal(&filter, &["status"])?;
    ensure!(
        line.contains("no BPF file system is mounted there. Was it unmounted under a filter, that is off"),
        "{line}"
    );
    Ok(())
}

#[test(root)]
fn pins_are_roots_alone() -> Result<()> {
    let network = Network::new()?;
    let bpffs = BpfFs::new("modes")?;
    let filter = bpffs.filter(&network)?;
    let up = ["up", "--detach", "--netns", network.gateway.name(), "--iface", "inside"];
    let pins = filter.pin_dir().to_owned();
    let open = |mode| fs::set_permissions(&pins, fs::Permissions::from_mode(mode));

    // One that an older version left open for reading is closed when it is taken over, and nothing else happens to it.
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    ensure!(mode(&pins)? == 0o700 && mode(&pins.join("maps"))? == 0o700 && mode(&pins.join("links"))? == 0o700);
    open(0o755)?;
    filter.json(&["status"])?;
    ensure!(filter.up(&["--iface", "inside"])?.starts_with("took over, without a gap"));
    ensure!(mode(&pins)? == 0o700);

    // What others may write, or what is somebody else's, no command opens.
    let commands: [&[&str]; 9] = [
        &["status"],
        &["stats"],
        &["events"],
        &["connections"],
        &["policy", "show"],
        &["policy", "set", "mode=monitor"],
        &["confirm"],
        &["down"],
        &up,
    ];
    for words in commands {
        open(0o770)?;
        let line = refusal(&filter, words)?;
        ensure!(line.contains("may be written by others (mode 0770)") && line.contains("`chmod 700 "), "{line}");
        open(0o700)?;
        chown(&pins, Some(65534), None)?;
        let line = refusal(&filter, words)?;
        ensure!(line.contains("belongs to user 65534"), "{line}");
        chown(&pins, Some(0), None)?;
        fs::set_permissions(&bpffs.0, fs::Permissions::from_mode(0o777))?;
        let line = refusal(&filter, words)?;
        ensure!(line.contains("who can put another folder in the place of"), "{line}");
        fs::set_permissions(&bpffs.0, fs::Permissions::from_mode(0o700))?;
    }
    let filter_check = |filter: &Filter| -> Result<Value> {
        let said: Value = serde_json::from_slice(&filter.run(&["doctor", "--json"])?.stdout)?;
        let checks = said["checks"].as_array().context("checks")?;
        checks.iter().find(|check| check["name"] == "bpf_file_system").cloned().context("the check")
    };
    open(0o770)?;
    ensure!(filter_check(&filter)?["ok"] == false);
    open(0o700)?;
    fs::set_permissions(&bpffs.0, fs::Permissions::from_mode(0o1777))?;
    let check = filter_check(&filter)?;
    let closes = format!("`chmod 700 {}` closes it", bpffs.0.display());
    ensure!(check["ok"] == true && check["found"].to_string().contains(&closes), "{check}");
    fs::set_permissions(&bpffs.0, fs::Permissions::from_mode(0o700))?;
    filter.down()?;

    // Nor a link that leads to it.
    std::os::unix::fs::symlink(bpffs.0.join("elsewhere"), &pins)?;
    ensure!(refusal(&filter, &up)?.contains("is a symbolic link"));
    fs::remove_file(&pins)?;
    Ok(())
}

/// Where nothing is mounted, `up` mounts it, for root alone: tried with mounts of its own.
#[test(root)]
fn up_mounts_the_file_system_for_root_alone() -> Result<()> {
    let network = Network::new()?;
    let bpffs = BpfFs::new("unused")?;
    let filter = bpffs.filter(&network)?;
    let program = filter.command(&[]).get_program().to_owned();
    let script = "while umount -l /sys/fs/bpf 2>/dev/null; do :; done; \"$0\" up --detach --netns \"$1\" --iface inside >&2 && \
                  stat -c %A /sys/fs/bpf /sys/fs/bpf/smtp-filter && \"$0\" down >&2";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).arg(program).arg(network.gateway.name());
    command.env_remove("SMTP_FILTER_PIN_DIR").env("PATH", std::env::var("PATH")?);
    let output = command.output()?;
    // The kernel makes the root of it sticky.
    ensure!(output.stdout == b"drwx-----T\ndrwx------\n", "{output:?}");
    Ok(())
}
