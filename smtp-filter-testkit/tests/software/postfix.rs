//! The real mail software that tests may use, without a filter between.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{Network, Postfix, Running, postfix_tool};

const LIMIT: Duration = Duration::from_secs(20);

fn succeeds(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(said)
}

#[test(root)]
fn postfix_takes_mail_in_clear_and_by_tls() -> Result<()> {
    let network = Network::new()?;
    let postfix = Postfix::start(&network.server, &[])?;
    let swaks = || {
        let mut swaks = network.client.command("swaks");
        swaks.args(["--server", "198.51.100.25", "--helo", "client.example", "--from", "alice@client.example"]);
        swaks.args(["--to", "bob@server.example", "--body"]);
        swaks
    };
    let dialogue = succeeds(swaks().arg("in clear"))?;
    for extension in ["PIPELINING", "STARTTLS", "CHUNKING"] {
        assert!(dialogue.contains(extension), "{dialogue}");
    }
    succeeds(swaks().args(["by TLS", "--tls"]))?;
    let mails = postfix.wait_for_mails(2, LIMIT)?;
    let text = String::from_utf8_lossy(&mails.concat()).into_owned();
    assert!(text.contains("in clear") && text.contains("by TLS"), "{text}");
    Ok(())
}

#[test(root)]
fn smtp_source_reaches_smtp_sink() -> Result<()> {
    let network = Network::new()?;
    let mut sink = postfix_tool(&network.server, "smtp-sink")?;
    let mut sink = Running::spawn(sink.args(["-u", "nobody", "198.51.100.25:25", "100"]))?;
    let mut source = postfix_tool(&network.client, "smtp-source")?;
    source.args(["-m", "20", "-s", "2", "-l", "5000", "-f", "alice@client.example"]);
    source.args(["-t", "bob@server.example", "inet:198.51.100.25:25"]);
    let mut tries = 0;
    while let Err(error) = succeeds(&mut source) {
        tries += 1;
        ensure!(tries < 50, "{error:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    sink.kill()
}
