//! An event with everything that is said of it. Console and JSON line are both made from this and from nothing else.

use std::net::IpAddr;

use serde::Serialize;
use smtp_filter_common::{
    action::Action,
    bounds::WORD,
    event::{self, ARG_MORE, ARG_WITHHELD, EXCERPT_MORE, Ended, Event, Kind, Summary},
};

use super::escape::{escape, hex};
use crate::{clock::WallClock, live::address};

/// Follows an argument that was longer than what is kept. No argument ends so, for a `\` before a dot is `\x5c`.
pub const MORE: &str = "\\...";
/// What the console shows where an argument is withheld; no argument reads so.
pub const WITHHELD: &str = "\\(withheld)";

/// Where the words come from that an event has only numbers for.
pub trait Lookup {
    /// The policy key of a reason.
    fn reason(&mut self, number: u16) -> String;
    /// The name of a scope; `None` of 0, the whole's own policy.
    fn scope(&mut self, number: u16) -> Option<String>;
    /// The name of an interface.
    fn interface(&mut self, index: u32) -> String;
    /// The clock on the wall.
    fn clock(&self) -> WallClock;
}

/// What a connection came to, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SummaryView {
    /// Milliseconds from the handshake's end on.
    pub duration_ms: u64,
    /// Bytes of payload from the client, repeats not counted.
    pub bytes_client: u64,
    /// Bytes of payload from the server, repeats not counted.
    pub bytes_server: u64,
    /// Commands that passed, as far as they can be read.
    pub commands: u32,
    /// RCPT commands among them.
    pub recipients: u32,
    /// Mails that the server took.
    pub messages: u32,
    /// Whether it went over to TLS.
    pub tls: bool,
    /// Why it ended: `quit`, `fin`, `421`, `client_reset`, `server_reset`, `reset`, `replaced` or `evicted`.
    #[cfg_attr(test, schemars(extend("enum" = Ended::ALL.map(Ended::name))))]
    pub ended: &'static str,
}

impl SummaryView {
    fn new(event: &Event) -> Self {
        let Summary { duration, bytes: [bytes_client, bytes_server], commands, recipients, messages, tls, ended } =
            event.summary();
        Self {
            duration_ms: duration / 1_000_000,
            bytes_client,
            bytes_server,
            commands,
            recipients,
            messages,
            tls: tls != 0,
            ended: Ended::from_u8(ended).map_or("unknown", Ended::name),
        }
    }
}

/// One event, in words. The fields are in the order of the JSON line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(
    extend("if" = { "properties": { "kind": { "const": "close" } } }),
    extend("then" = { "required": ["summary"] }),
    extend("else" = { "properties": { "summary": false } }),
))]
pub struct EventView {
    /// Version of this structure.
    pub v: u32,
    /// When, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub ts: String,
    /// Interface.
    pub iface: String,
    /// `connect`, `banner`, `command`, `extension`, `guard` or `close`.
    #[cfg_attr(test, schemars(extend("enum" = KINDS)))]
    pub kind: &'static str,
    /// Client's address and port.
    pub client: String,
    /// Server's address and port.
    pub server: String,
    /// Who sent the segment: `client` or `server`.
    #[cfg_attr(test, schemars(extend("enum" = ["client", "server"])))]
    pub direction: &'static str,
    /// A command's verb or an extension's keyword, printable as `arg` is; what is longer than 16 characters is given by
    /// its length. Empty where it is withheld.
    pub verb: Option<String>,
    /// A command's argument, at most its first 64 bytes; none also where it is withheld. It is printable: a byte that
    /// is no printable ASCII is `\xNN`, and so is a backslash that would be mistaken for an escape (`\x5c`); every
    /// other character is itself. `\...` at its end: it was longer.
    pub arg: Option<String>,
    /// What was done.
    #[cfg_attr(test, schemars(extend("enum" = Action::ALL.map(Action::name))))]
    pub action: &'static str,
    /// The policy key that decided.
    pub reason: String,
    /// The scope whose policy decided; none: the whole's own.
    pub scope: Option<String>,
    /// Whether the action was done: `false` is mode monitor, which did not do it. `pass` and `log` are done in every
    /// mode, so they are always `true`; the mode is what `status` says, not this.
    pub enforced: bool,
    /// First bytes of what was rewritten, as they came, printable as `arg` is.
    pub was: Option<String>,
    /// First bytes of what was forwarded in their place, printable as `arg` is.
    pub became: Option<String>,
    /// The connection's number.
    pub connection: String,
    /// Client's address alone.
    #[cfg_attr(test, schemars(with = "String"))]
    pub client_ip: IpAddr,
    /// Client's port alone.
    pub client_port: u16,
    /// Server's address alone.
    #[cfg_attr(test, schemars(with = "String"))]
    pub server_ip: IpAddr,
    /// Server's port alone.
    pub server_port: u16,
    /// First bytes of what was blocked, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub excerpt: Option<String>,
    /// What the connection came to, of `close` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SummaryView"))]
    pub summary: Option<SummaryView>,
}

impl EventView {
    /// Puts an event into words.
    pub fn new(event: &Event, lookup: &mut impl Lookup) -> Self {
        let client = address(event.client, event.client_port);
        let server = address(event.server, event.server_port);
        let action = Action::from_u8(event.action);
        let is_command = event.kind == Kind::COMMAND;
        let excerpt = event.excerpt.get(..event.excerpt_bytes()).unwrap_or_default();
        let rewritten = event.became_length != 0;
        Self {
            v: 1,
            ts: lookup.clock().rfc3339(event.time),
            iface: lookup.interface(event.ifindex),
            kind: kind(event.kind),
            client: client.to_string(),
            server: server.to_string(),
            direction: if event.direction == event::CLIENT { "client" } else { "server" },
            verb: (is_command || event.kind == Kind::EXTENSION).then(|| verb(event)),
            arg: if is_command { arg(event) } else { None },
            action: action.name(),
            reason: lookup.reason(event.reason),
            scope: lookup.scope(event.scope),
            enforced: event.enforced != 0 || action <= Action::Log,
            was: rewritten.then(|| bytes(&event.excerpt, event.excerpt_length)),
            became: rewritten.then(|| bytes(&event.became, event.became_length)),
            connection: format!("{:016x}", event.connection),
            client_ip: client.ip(),
            client_port: client.port(),
            server_ip: server.ip(),
            server_port: server.port(),
            excerpt: (!excerpt.is_empty() && !rewritten).then(|| hex(excerpt)),
            summary: (event.kind == Kind::CLOSE).then(|| SummaryView::new(event)),
        }
    }
}

/// Events that found no room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LostView {
    /// Version of this structure.
    pub v: u32,
    /// When it was noticed, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub ts: String,
    /// `lost`.
    #[cfg_attr(test, schemars(extend("enum" = ["lost"])))]
    pub kind: &'static str,
    /// How many since the last time it was said.
    pub lost: u64,
}

impl LostView {
    /// So many events were lost by now.
    pub fn new(lost: u64, clock: WallClock) -> Self {
        Self { v: 1, ts: clock.rfc3339(crate::clock::since_boot()), kind: "lost", lost }
    }
}

/// Kinds of events.
pub const KINDS: [&str; 6] = [
    kind(Kind::CONNECT),
    kind(Kind::BANNER),
    kind(Kind::COMMAND),
    kind(Kind::EXTENSION),
    kind(Kind::GUARD),
    kind(Kind::CLOSE),
];

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::CONNECT => "connect",
        Kind::COMMAND => "command",
        Kind::GUARD => "guard",
        Kind::CLOSE => "close",
        Kind::EXTENSION => "extension",
        Kind::BANNER => "banner",
        _ => "unknown",
    }
}

fn verb(event: &Event) -> String {
    let length = usize::from(event.verb_length);
    match length {
        0..=WORD => escape(&event.verb.bytes()[WORD - length..]),
        // The length is counted up to 255. No verb reads like this, for a verb has no space in it.
        255 => "(255 or more characters)".to_owned(),
        _ => format!("({length} characters)"),
    }
}

/// Bytes that an event carries the first of.
fn bytes(kept: &[u8], length: u8) -> String {
    let mut text = escape(kept.get(..usize::from(length & !EXCERPT_MORE)).unwrap_or(kept));
    if length & EXCERPT_MORE != 0 {
        text.push_str(MORE);
    }
    text
}

fn arg(event: &Event) -> Option<String> {
    if event.arg_flags & ARG_WITHHELD != 0 {
        return None;
    }
    let kept = event.arg.get(..usize::from(event.arg_length)).unwrap_or(&event.arg);
    let mut arg = escape(kept);
    if event.arg_flags & ARG_MORE != 0 {
        arg.push_str(MORE);
    }
    Some(arg)
}

/// What a lookup without a kernel needs: for tests.
#[cfg(test)]
pub(super) struct Fixed(pub crate::policy::Names);

#[cfg(test)]
impl Lookup for Fixed {
    fn reason(&mut self, number: u16) -> String {
        self.0.reason(number)
    }

    fn scope(&mut self, number: u16) -> Option<String> {
        self.0.scope(number).map(str::to_owned)
    }

    fn interface(&mut self, index: u32) -> String {
        format!("eth{index}")
    }

    fn clock(&self) -> WallClock {
        WallClock::booted(0)
    }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::{reason::FIRST_NAME, word::Word};

    use super::*;
    use crate::policy::{Names, WordName};

    fn command(verb: &str, arg: &[u8]) -> Event {
        let mut event = Event {
            time: 1_123_456_789,
            connection: 0x5f3a,
            verb: Word::new(verb.as_bytes()).unwrap_or_default(),
            verb_length: verb.len() as u8,
            ifindex: 0,
            client: std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets(),
            server: std::net::Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped().octets(),
            client_port: 41234_u16.to_be_bytes(),
            server_port: 25_u16.to_be_bytes(),
            reason: FIRST_NAME + 1,
            kind: Kind::COMMAND,
            action: Action::Drop as u8,
            enforced: 1,
            ..Event::EMPTY
        };
        event.arg[..arg.len()].copy_from_slice(arg);
        event.arg_length = arg.len() as u8;
        event
    }

    fn view(event: &Event) -> EventView {
        let mut names = Names::default();
        names.place(&WordName::new("EHLO").unwrap()).unwrap();
        EventView::new(event, &mut Fixed(names))
    }

    #[test]
    fn the_json_line_is_the_documented_one() {
        let json = serde_json::to_string(&view(&command("EHLO", b"client.example"))).unwrap();
        assert_eq!(
            json,
            "{\"v\":1,\"ts\":\"1970-01-01T00:00:01.123456789Z\",\"iface\":\"eth0\",\"kind\":\"command\",\
             \"client\":\"192.0.2.1:41234\",\"server\":\"192.0.2.2:25\",\"direction\":\"client\",\
             \"verb\":\"EHLO\",\"arg\":\"client.example\",\"action\":\"drop\",\"reason\":\"commands.ehlo\",\
             \"scope\":null,\"enforced\":true,\"was\":null,\"became\":null,\"connection\":\"0000000000005f3a\",\
             \"client_ip\":\"192.0.2.1\",\"client_port\":41234,\"server_ip\":\"192.0.2.2\",\"server_port\":25}"
        );
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let mut event = command("EHLO", b"");
        event.client = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let shown = view(&event);
        assert_eq!(shown.client, "[2001:db8::1]:41234");
        let apart = serde_json::to_value(&shown).unwrap();
        assert_eq!((&apart["client_ip"], &apart["client_port"]), (&"2001:db8::1".into(), &41234.into()));
    }

    #[test]
    fn a_long_verb_is_told_by_its_length() {
        let mut event = command("", b"");
        for (length, shown) in [(0, ""), (17, "(17 characters)"), (255, "(255 or more characters)")] {
            event.verb_length = length;
            assert_eq!(view(&event).verb.as_deref(), Some(shown));
        }
    }

    #[test]
    fn arguments_are_escaped_shortened_and_withheld() {
        let mut event = command("MAIL", b"FROM:<\x1b[2J>\\...");
        assert_eq!(view(&event).arg.as_deref(), Some("FROM:<\\x1b[2J>\\x5c..."));
        event.arg_flags = ARG_MORE;
        assert_eq!(view(&event).arg.as_deref(), Some("FROM:<\\x1b[2J>\\x5c...\\..."));
        event.arg_flags = ARG_WITHHELD;
        assert_eq!(view(&event).arg, None);
        assert_eq!(view(&command("NOOP", b"")).arg.as_deref(), Some(""));
    }

    #[test]
    fn only_a_command_has_a_verb_and_only_a_block_has_bytes() {
        let mut event = command("EHLO", b"x");
        event.kind = Kind::GUARD;
        event.excerpt[..3].copy_from_slice(b"RS\xff");
        event.excerpt_length = 3;
        let shown = view(&event);
        assert_eq!(
            (shown.kind, shown.verb, shown.arg, shown.excerpt.as_deref()),
            ("guard", None, None, Some("5253ff"))
        );
    }

    #[test]
    fn only_a_close_has_a_summary() {
        let mut event = Event::EMPTY;
        event.set_summary(&Summary {
            duration: 1_999_999,
            bytes: [10, 20],
            commands: 3,
            recipients: 2,
            messages: 1,
            tls: 1,
            ended: Ended::Refused as u8,
        });
        for kind in [Kind::CONNECT, Kind::COMMAND, Kind::GUARD, Kind::EXTENSION, Kind::BANNER] {
            event.kind = kind;
            assert_eq!(serde_json::to_value(view(&event)).unwrap().get("summary"), None);
        }
        event.kind = Kind::CLOSE;
        let json = serde_json::to_string(&view(&event)).unwrap();
        let (_, summary) = json.split_once(",\"summary\":").unwrap();
        assert_eq!(
            summary,
            "{\"duration_ms\":1,\"bytes_client\":10,\"bytes_server\":20,\"commands\":3,\"recipients\":2,\
             \"messages\":1,\"tls\":true,\"ended\":\"421\"}}"
        );
    }

    #[test]
    fn pass_and_log_are_always_carried_out() {
        let mut event = command("EHLO", b"");
        event.enforced = 0;
        for action in Action::ALL {
            event.action = action as u8;
            assert_eq!(view(&event).enforced, action <= Action::Log, "{action:?}");
        }
    }

    #[test]
    fn lengths_that_lie_do_not_matter() {
        let mut event = command("EHLO", b"");
        (event.arg_length, event.excerpt_length) = (255, 255);
        let shown = view(&event);
        assert!(shown.arg.is_some() && shown.excerpt.is_some());
    }
}
