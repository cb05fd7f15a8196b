//! Which events are shown.

use std::net::IpAddr;

use ipnet::IpNet;

use super::view::EventView;

/// Shows an event if it is from one of the clients, of one of the kinds, and has one of the reasons; nothing named
/// means all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Reasons as the policy names them, whole (`commands.ehlo`), or one end of it (`guards`, `ehlo`).
    pub reasons: Vec<String>,
    /// Kinds.
    pub kinds: Vec<String>,
    /// Clients' networks.
    pub clients: Vec<IpNet>,
}

impl Selection {
    /// Whether the event is to be shown.
    pub fn shows(&self, view: &EventView) -> bool {
        let Self { reasons, kinds, clients } = self;
        (reasons.is_empty() || reasons.iter().any(|reason| is_part(reason, &view.reason)))
            && (kinds.is_empty() || kinds.iter().any(|kind| kind == view.kind))
            && (clients.is_empty() || clients.iter().any(|net| net.contains(&view.client_ip)))
    }
}

fn is_part(wanted: &str, reason: &str) -> bool {
    let (section, key) = reason.split_once('.').unwrap_or((reason, ""));
    [reason, section, key].iter().any(|part| part.eq_ignore_ascii_case(wanted))
}

/// A network as the command line takes it: a prefix, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32".to_owned())
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::event::Event;

    use super::*;
    use crate::{events::view::Fixed, policy::Names};

    fn view(client: &str) -> EventView {
        let client = match client.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let event = Event { client: client.octets(), reason: 64, ..Event::EMPTY };
        EventView::new(&event, &mut Fixed(Names::default()))
    }

    #[test]
    fn clients_by_prefix_or_address() {
        for (net, client, shown) in [
            ("192.0.2.0/24", "192.0.2.9", true),
            ("192.0.2.9", "192.0.2.9", true),
            ("192.0.2.8", "192.0.2.9", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ] {
            let selection = Selection { clients: vec![network(net).unwrap()], ..Selection::default() };
            assert_eq!(selection.shows(&view(client)), shown, "{net} {client}");
        }
        assert!(network("192.0.2").is_err());
    }

    #[test]
    fn kinds_any_of_those_named() {
        for (kinds, shown) in [(["connect", "close"].as_slice(), true), (&["command"], false), (&[], true)] {
            let kinds = kinds.iter().map(ToString::to_string).collect();
            // An event of number 0 is a `connect`.
            assert_eq!(Selection { kinds, ..Selection::default() }.shows(&view("192.0.2.9")), shown);
        }
    }

    #[test]
    fn reasons_whole_or_by_one_end() {
        for (reason, shown) in [
            ("commands.other", true),
            ("COMMANDS.OTHER", true),
            ("commands", true),
            ("other", true),
            ("command", false),
            ("guards", false),
        ] {
            let selection = Selection { reasons: vec![reason.to_owned()], ..Selection::default() };
            assert_eq!(selection.shows(&view("192.0.2.9")), shown, "{reason}");
        }
    }
}
