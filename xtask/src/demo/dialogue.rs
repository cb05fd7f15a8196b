//! What a client said and was answered, by its own account, and what of it the server received.

use anyhow::{Context as _, Result};
use smtp_filter_testkit::{NAME, Namespace, Running, SERVER_V4};

use super::stage::SOON;

/// One command, or the mail's text, and its reply. The banner is a reply to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// What the client said.
    pub said: Option<String>,
    /// What the server received for it. Text is kept by its mail.
    pub received: Option<String>,
    /// The reply's lines as the client saw them.
    pub replied: Vec<String>,
}

impl Exchange {
    /// By what the same step of two dialogues is known: the verb.
    pub fn step(&self) -> &str {
        self.said.as_deref().unwrap_or_default().split(' ').next().unwrap_or_default()
    }
}

/// A whole session.
#[derive(Debug, Default)]
pub struct Dialogue(pub Vec<Exchange>);

impl Dialogue {
    /// Reads what `curl --verbose` printed: `>` before what it sends, `<` before what it sees, the size of data
    /// between.
    pub fn told(lines: &[String]) -> Self {
        let mut exchanges = vec![Exchange::default()];
        for line in lines {
            let (who, text) = line.trim_end().split_once(' ').unwrap_or_default();
            let size = || Some(text.strip_prefix('[')?.strip_suffix(" bytes data]")?.to_owned());
            let said = match who {
                ">" => Some(text.to_owned()),
                "}" => size().map(|size| format!("(the mail, {size} bytes)")),
                _ => None,
            };
            if said.is_some() {
                exchanges.push(Exchange { said, ..Exchange::default() });
            } else if let ("<", Some(exchange)) = (who, exchanges.last_mut()) {
                exchange.replied.push(text.to_owned());
            }
        }
        Self(exchanges)
    }

    /// Puts beside the commands what the server has received, line for line. curl does not print QUIT.
    pub fn received(&mut self, lines: &[String]) {
        let is_command = |exchange: &&mut Exchange| exchange.said.as_ref().is_some_and(|said| !said.starts_with('('));
        for (command, line) in self.0.iter_mut().filter(is_command).zip(lines) {
            command.received = Some(line.clone());
        }
    }

    /// The reply to a verb, or to nothing: the banner.
    pub fn reply(&self, step: &str) -> &[String] {
        self.0.iter().find(|exchange| exchange.step() == step).map_or(&[], |exchange| &exchange.replied)
    }

    /// Whether the client was offered an extension.
    pub fn offers(&self, keyword: &str) -> bool {
        self.0.iter().flat_map(|exchange| &exchange.replied).any(|line| line.contains(keyword))
    }

    /// The verbs that the server received, in order.
    pub fn verbs_received(&self) -> Vec<&str> {
        let lines = self.0.iter().filter_map(|exchange| exchange.received.as_deref());
        lines.map(|line| line.split(' ').next().unwrap_or_default()).collect()
    }
}

/// curl sends a mail with this subject and tells what it says and sees. EHLO first; refused, it says HELO.
pub fn send_by_curl(from: &Namespace, subject: &str) -> Result<(bool, Dialogue)> {
    let mail = format!(
        "From: Alice <alice@client.example>\r\nTo: Bob <bob@server.example>\r\nSubject: {subject}\r\n\r\nHello Bob.\r\n"
    );
    let mut curl = from.command("curl");
    curl.args(["--verbose", "--silent", "--show-error", "--max-time", "20"]);
    curl.args(["--mail-from", "alice@client.example", "--mail-rcpt", "bob@server.example", "--upload-file", "-"]);
    curl.arg(format!("smtp://{SERVER_V4}/{NAME}"));
    let mut running = Running::spawn_fed(&mut curl, mail.as_bytes())
        .context("run curl, the client of this scene (`cargo xtask setup` installs it)")?;
    let good = running.wait(4 * SOON)?;
    Ok((good, Dialogue::told(&running.lines())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_tells_is_read() {
        let told = "* Trying ...\n< 220 mx\r\n> EHLO a\r\n< 500 no\r\n> HELO a\r\n< 250-one\r\n< 250 two\r\n\
                    > DATA\r\n< 354 go\r\n} [9 bytes data]\n< 250 OK\r\n* Closing";
        let lines: Vec<String> = told.split('\n').map(str::to_owned).collect();
        let mut dialogue = Dialogue::told(&lines);
        assert_eq!(dialogue.reply(""), ["220 mx"]);
        assert_eq!(dialogue.reply("HELO"), ["250-one", "250 two"]);
        assert_eq!(dialogue.0[4].said.as_deref(), Some("(the mail, 9 bytes)"));
        dialogue.received(&["XXXX X", "HELO a", "DATA", "QUIT"].map(str::to_owned));
        assert_eq!(dialogue.verbs_received(), ["XXXX", "HELO", "DATA"]);
    }
}
