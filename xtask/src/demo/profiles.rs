//! A scene: the same client against the same server under three profiles.

use anyhow::Result;
use smtp_filter_testkit::NAME;

use super::{
    columns::{block, rule},
    dialogue::{Dialogue, send_by_curl},
    stage::{Stage, heading},
};

/// The columns.
const PROFILES: [&str; 3] = ["monitor", "helo-only", "pix-mailguard"];

/// Every step that a session may have, in order: the banner, commands, the text in brackets.
const STEPS: [&str; 7] = ["", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "(the"];

impl Stage {
    /// Three mails, the dialogues side by side, and what is to be seen in them.
    pub(super) fn profiles(&mut self) -> Result<()> {
        heading("5. The same client against the same server under three profiles, side by side");
        // The columns show what the events would say one by one.
        self.shown = None;
        let mut dialogues = Vec::new();
        for profile in PROFILES {
            self.set(&[&format!("profile={profile}")])?;
            println!("  client  curl sends a mail: EHLO, and HELO where that is refused");
            let subject = format!("under {profile}");
            let (sent, mut dialogue) = send_by_curl(&self.network.client, &subject)?;
            let mail = self.server.mails().into_iter().find(|mail| mail.subject().as_ref() == Some(&subject));
            dialogue.received(&mail.map(|mail| self.server.lines_of(mail.session)).unwrap_or_default());
            dialogues.push((sent, dialogue));
        }
        println!();
        show(&dialogues.iter().map(|(_, dialogue)| dialogue).collect::<Vec<_>>());
        println!();
        for (profile, (sent, dialogue)) in PROFILES.into_iter().zip(&dialogues) {
            self.judge(profile, *sent, dialogue);
        }
        Ok(())
    }

    /// What has to be seen under each profile.
    fn judge(&self, profile: &str, sent: bool, dialogue: &Dialogue) {
        self.expect(sent, format_args!("{profile}: the client says that the server took its mail"));
        self.expect_sent(Ok(()), &format!("under {profile}"));

        let after = ["MAIL", "RCPT", "DATA"];
        let masked = "X".repeat("EHLO ".len() + NAME.len());
        let greetings: &[&str] = match profile {
            "monitor" => &["EHLO"],
            "helo-only" => &["HELO"],
            _ => &[&masked, "HELO"],
        };
        let verbs = dialogue.verbs_received();
        let right = verbs == [greetings, &after].concat();
        self.expect(right, format_args!("{profile}: the server received {}", verbs.join(", ")));

        let banner = dialogue.reply("").join(" ");
        let masks_banner = banner.starts_with("220 *") && banner.bytes().all(|byte| b"20 *".contains(&byte));
        let as_it_is = banner == "220 server.example ESMTP";
        let right = if profile == "pix-mailguard" { masks_banner } else { as_it_is };
        self.expect(right, format_args!("{profile}: the banner that the client saw: {banner}"));

        let offered = dialogue.offers("STARTTLS");
        let says = if offered { "was" } else { "was not" };
        self.expect(
            offered == (profile == "monitor"),
            format_args!("{profile}: STARTTLS {says} offered to the client"),
        );

        let action = match profile {
            "monitor" => "log",
            "helo-only" => "downgrade",
            _ => "mask",
        };
        self.expect_event(action, true);
    }
}

/// Prints the dialogues, the same step in the same row. What the server received is shown where it differs.
fn show(dialogues: &[&Dialogue]) {
    let print = |rows: Vec<String>| rows.iter().for_each(|row| println!("{row}"));
    print(block(&PROFILES.map(|profile| vec![profile.to_uppercase()])));
    for step in STEPS {
        let cells = dialogues.iter().map(|dialogue| {
            let exchanges = dialogue.0.iter().filter(|exchange| exchange.step() == step);
            let lines = exchanges.flat_map(|exchange| {
                let said = exchange.said.iter().map(|said| format!("C: {said}"));
                let other = exchange.received.iter().filter(|received| Some(*received) != exchange.said.as_ref());
                let received = other.map(|received| format!("-> {received}"));
                let replied = exchange.replied.iter().map(|line| format!("S: {line}"));
                said.chain(received).chain(replied).collect::<Vec<_>>()
            });
            lines.collect::<Vec<_>>()
        });
        let cells: Vec<Vec<String>> = cells.collect();
        println!("{}", rule(cells.len()));
        print(block(&cells));
    }
    println!("  C: the client said   -> the server received instead   S: the client saw");
}
