//! The line for people: the facts of the JSON line, in words.

use std::fmt;

use anstyle::{AnsiColor, Style};

use super::view::{EventView, LostView, SummaryView, WITHHELD};

const DIM: Style = Style::new().dimmed();
const WARN: Style = AnsiColor::Yellow.on_default();
const BLOCKED: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();

fn action_style(action: &str) -> Style {
    match action {
        "drop" | "reset" => BLOCKED,
        "mark" => WARN,
        _ => Style::new(),
    }
}

/// What the peer wrote, in the middle of a line: a peer cannot fake its end, because no `\` of its own comes before a
/// `"` or at the end.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// The console's line of an event, without its end. Colours are for a stream that takes them away where none are
/// wanted.
pub struct Line<'a>(pub &'a EventView);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventView {
            v: _,
            ts,
            iface,
            kind,
            client,
            server,
            direction,
            verb,
            arg,
            action,
            reason,
            scope,
            enforced,
            was,
            became,
            connection,
            excerpt,
            summary,
            client_ip: _,
            client_port: _,
            server_ip: _,
            server_port: _,
        } = self.0;
        let arrow = if *direction == "client" { "->" } else { "<-" };
        let style = action_style(action);
        let would = if *enforced { "" } else { "would " };
        write!(f, "{DIM}{ts}{DIM:#} {iface} {client} {arrow} {server} {DIM}#{connection}{DIM:#} {kind}")?;
        write!(f, " {style}{would}{action}{style:#} by {reason}")?;
        let extras = [
            ("scope", scope.clone()),
            ("was", was.as_deref().map(quoted)),
            ("became", became.as_deref().map(quoted)),
            ("excerpt", excerpt.clone()),
        ];
        for (name, value) in extras {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        if let Some(summary) = summary {
            let SummaryView { duration_ms, bytes_client, bytes_server, commands, recipients, messages, tls, ended } =
                summary;
            let (seconds, milliseconds) = (duration_ms / 1000, duration_ms % 1000);
            write!(
                f,
                ", ended by {ended} after {seconds}.{milliseconds:03} s, {bytes_client} bytes from the client, "
            )?;
            write!(f, "{bytes_server} from the server, {commands} commands, {recipients} recipients, ")?;
            write!(f, "{messages} messages, {} TLS", if *tls { "with" } else { "without" })?;
        }
        // What the peer wrote comes last: it can fake nothing after it.
        if let Some(verb) = verb {
            write!(f, ": {BOLD}{verb}{BOLD:#}")?;
            match arg.as_deref() {
                None if *kind == "command" => write!(f, " {WITHHELD}")?,
                None | Some("") => {}
                Some(arg) => write!(f, " {arg}")?,
            }
        }
        Ok(())
    }
}

/// The console's line about lost events, without its end.
pub struct LostLine<'a>(pub &'a LostView);

impl fmt::Display for LostLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostView { v: _, ts, kind: _, lost } = self.0;
        let events = if *lost == 1 { "event" } else { "events" };
        write!(f, "{DIM}{ts}{DIM:#} {WARN}{lost} {events} lost{WARN:#}: they came faster than they could be shown")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smtp_filter_common::{
        event::{ARG_MORE, ARG_WITHHELD, Ended, Event, Kind, Summary},
        reason::Reason,
        word::Word,
    };

    use super::*;
    use crate::{events::view::Fixed, policy::Names};

    fn plain(line: impl fmt::Display) -> String {
        anstream::adapter::strip_str(&line.to_string()).to_string()
    }

    prop_compose! {
        fn events()(
            verb in proptest::collection::vec(any::<u8>(), 1..=16),
            arg in proptest::collection::vec(any::<u8>(), 0..=32),
            excerpt in proptest::collection::vec(any::<u8>(), 0..=16),
            numbers in any::<(u64, u32, [u8; 16], u16, u8, u8)>(),
            arg_flags in 0..=ARG_MORE | ARG_WITHHELD,
            kind in 0..=Kind::BANNER.number(),
            became in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..=16)),
            sums in any::<(u64, [u64; 2], u32, u32, u32, bool)>(),
            ended in 1..=7_u8,
        ) -> Event {
            let (connection, ifindex, client, reason, direction, action) = numbers;
            let kind = Kind(kind);
            let mut event = Event {
                connection, ifindex, client, reason, action, arg_flags, kind,
                direction: direction & 1,
                enforced: direction >> 7,
                verb: Word::new(&verb).unwrap(),
                verb_length: verb.len() as u8,
                arg_length: arg.len() as u8,
                excerpt_length: excerpt.len() as u8,
                ..Event::EMPTY
            };
            event.arg[..arg.len()].copy_from_slice(&arg);
            event.excerpt[..excerpt.len()].copy_from_slice(&excerpt);
            if let Some(became) = became
                && kind != Kind::CLOSE
            {
                event.became[..became.len()].copy_from_slice(&became);
                event.became_length = became.len() as u8;
            }
            if kind == Kind::CLOSE {
                let (duration, bytes, commands, recipients, messages, tls) = sums;
                let tls = u8::from(tls);
                event.set_summary(&Summary { duration, bytes, commands, recipients, messages, tls, ended });
            }
            event
        }
    }

    /// Takes the console's line apart again.
    fn facts(line: &str) -> Option<serde_json::Value> {
        let (line, rewritten) = rewritten(line);
        let line = line.as_str();
        let (head, peer) = match line.split_once(": ") {
            Some((head, peer)) => (head, Some(peer)),
            None => (line, None),
        };
        let words = &mut head.split(' ');
        let mut word = || words.next();
        let (ts, iface, client, arrow, server) = (word()?, word()?, word()?, word()?, word()?);
        let (connection, kind) = (word()?.strip_prefix('#')?, word()?);
        let first = word()?;
        let (enforced, action) = if first == "would" { (false, word()?) } else { (true, first) };
        let (_by, reason) = (word()?, word()?);
        let (reason, ends) = match reason.strip_suffix(',') {
            Some(reason) => (reason, true),
            None => (reason, false),
        };
        let mut next = if ends { None } else { word() };
        let mut excerpt = None;
        if next == Some("excerpt") {
            let hex = word()?;
            excerpt = Some(hex.strip_suffix(',').unwrap_or(hex));
            next = hex.strip_suffix(',').map(|_| "");
        }
        let summary = if ends || next.is_some() { Some(summary(&words.collect::<Vec<_>>())?) } else { None };
        let (verb, arg) = match peer.map(|peer| peer.split_once(' ').unwrap_or((peer, ""))) {
            None => (None, None),
            Some((verb, WITHHELD)) => (Some(verb), None),
            Some((verb, arg)) => (Some(verb), Some(arg)),
        };
        let [client_end, server_end] = [client, server].map(|end| end.parse::<std::net::SocketAddr>().unwrap());
        let mut json = serde_json::json!({
            "v": 1, "ts": ts, "iface": iface, "kind": kind, "client": client, "server": server,
            "direction": if arrow == "->" { "client" } else { "server" }, "verb": verb, "arg": arg,
            "action": action, "reason": reason, "scope": null, "enforced": enforced, "was": rewritten[0],
            "became": rewritten[1], "connection": connection,
            "client_ip": client_end.ip(), "client_port": client_end.port(),
            "server_ip": server_end.ip(), "server_port": server_end.port(),
        });
        if kind == "extension" {
            json["arg"] = serde_json::Value::Null;
        }
        if let Some(excerpt) = excerpt {
            json["excerpt"] = excerpt.into();
        }
        if let Some(summary) = summary {
            json["summary"] = summary;
        }
        Some(json)
    }

    /// Takes what was rewritten out of a line.
    fn rewritten(line: &str) -> (String, [Option<String>; 2]) {
        let mut rest = line.to_owned();
        let found = ["was", "became"].map(|name| {
            let from = rest.find(&format!(" {name} \""))?;
            let text = &rest[from + name.len() + 3..];
            let mut before = ' ';
            let to = text.find(|c| std::mem::replace(&mut before, c) != '\\' && c == '"')?;
            let value = text[..to].replace("\\\"", "\"");
            let end = from + name.len() + 3 + to + 1;
            rest.replace_range(from..end, "");
            Some(value)
        });
        (rest, found)
    }

    /// The part of the line that sums a connection up.
    fn summary(words: &[&str]) -> Option<serde_json::Value> {
        let [
            "ended",
            "by",
            ended,
            "after",
            seconds,
            "s,",
            bytes_client,
            "bytes",
            "from",
            "the",
            "client,",
            bytes_server,
            "from",
            "the",
            "server,",
            commands,
            "commands,",
            recipients,
            "recipients,",
            messages,
            "messages,",
            tls,
            "TLS",
        ] = words
        else {
            return None;
        };
        let number = |text: &str| text.parse::<u64>().ok();
        Some(serde_json::json!({
            "duration_ms": number(&seconds.replace('.', ""))?,
            "bytes_client": number(bytes_client)?,
            "bytes_server": number(bytes_server)?,
            "commands": number(commands)?,
            "recipients": number(recipients)?,
            "messages": number(messages)?,
            "tls": *tls == "with",
            "ended": ended,
        }))
    }

    proptest! {
        #[test]
        fn console_and_json_say_the_same(event in events()) {
            let mut event = event;
            // A verb has no space in it; the datapath ends it there.
            if event.verb.bytes().contains(&b' ') {
                event.verb = Word::of("EHLO");
                event.verb_length = 4;
            }
            let view = EventView::new(&event, &mut Fixed(Names::default()));
            let line = plain(Line(&view));
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
            prop_assert_eq!(facts(&line), Some(serde_json::to_value(&view).unwrap()), "{}", line);
        }
    }

    #[test]
    fn a_line_reads_well() {
        let mut event = Event {
            time: 1,
            connection: 0x5f3a,
            verb: Word::of("EHLO"),
            verb_length: 4,
            client: std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets(),
            server: std::net::Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped().octets(),
            client_port: 41234_u16.to_be_bytes(),
            server_port: 25_u16.to_be_bytes(),
            reason: 64,
            kind: Kind::COMMAND,
            action: 5,
            arg_length: 1,
            ..Event::EMPTY
        };
        event.arg[0] = b'x';
        let view = EventView::new(&event, &mut Fixed(Names::default()));
        assert_eq!(
            plain(Line(&view)),
            "1970-01-01T00:00:00.000000001Z eth0 192.0.2.1:41234 -> 192.0.2.2:25 #0000000000005f3a command \
             would drop by commands.other: EHLO x"
        );
    }

    #[test]
    fn a_close_reads_well() {
        let mut event = Event { kind: Kind::CLOSE, reason: Reason::Closing.number(), ..Event::EMPTY };
        event.set_summary(&Summary {
            duration: 61_001_900_000,
            bytes: [1200, 300],
            commands: 5,
            recipients: 1,
            messages: 1,
            tls: 0,
            ended: Ended::Quit as u8,
        });
        let line = plain(Line(&EventView::new(&event, &mut Fixed(Names::default()))));
        let (_, said) = line.split_once("close ").unwrap();
        assert_eq!(
            said,
            "pass by pass.closing, ended by quit after 61.001 s, 1200 bytes from the client, 300 from the server, \
             5 commands, 1 recipients, 1 messages, without TLS"
        );
    }

    #[test]
    fn lost_events_are_said_in_words_and_in_json() {
        let lost = LostView { v: 1, ts: "T".into(), kind: "lost", lost: 3 };
        assert_eq!(plain(LostLine(&lost)), "T 3 events lost: they came faster than they could be shown");
        assert_eq!(super::super::json::line(&lost), "{\"v\":1,\"ts\":\"T\",\"kind\":\"lost\",\"lost\":3}");
    }
}
