//! The network of a gateway: client, gateway, server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use crate::{cleanup, namespace::Namespace};

/// The client.
pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// The client.
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
/// The gateway, towards the client.
pub const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The gateway, towards the client.
pub const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
/// The mail server's port.
pub const SERVER_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25)), 25);
/// The mail server's port.
pub const SERVER_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x25)), 25);

/// Three namespaces in a row, IPv4 and IPv6, of which the middle one routes:
///
/// ```text
/// client                     gateway                        server
/// eth0 ------------ inside           outside ------------ eth0
/// 192.0.2.10/24     192.0.2.1        198.51.100.1         198.51.100.25/24
/// 2001:db8:1::10    2001:db8:1::1    2001:db8:2::1        2001:db8:2::25/64
/// ```
///
/// Large segments (TSO, GSO, GRO) are as the kernel sets them; [`Namespace::offloads`] changes that.
#[derive(Debug)]
pub struct Network {
    /// Where mail comes from.
    pub client: Namespace,
    /// What routes, with the interfaces `inside` and `outside`.
    pub gateway: Namespace,
    /// Where mail goes to.
    pub server: Namespace,
}

impl Network {
    /// Makes the network; it goes away on drop.
    pub fn new() -> Result<Self> {
        let name = cleanup::unique_name();
        let network = Self {
            client: Namespace::named(format!("{name}-client"))?,
            gateway: Namespace::named(format!("{name}-gateway"))?,
            server: Namespace::named(format!("{name}-server"))?,
        };
        let Self { client, gateway, server } = &network;

        for namespace in [client, gateway, server] {
            // An address that is still probed for duplicates cannot be used for seconds.
            namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        gateway.sysctl("ipv4/ip_forward", "1")?;
        gateway.sysctl("ipv6/conf/all/forwarding", "1")?;
        gateway.ip(&[
            &format!("link add inside type veth peer name eth0 netns {}", client.name()),
            &format!("link add outside type veth peer name eth0 netns {}", server.name()),
            "address add 192.0.2.1/24 dev inside",
            "address add 198.51.100.1/24 dev outside",
            "address add 2001:db8:1::1/64 dev inside nodad",
            "address add 2001:db8:2::1/64 dev outside nodad",
            "link set inside up",
            "link set outside up",
        ])?;
        client.ip(&[
            "address add 192.0.2.10/24 dev eth0",
            "address add 2001:db8:1::10/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 192.0.2.1",
            "route add default via 2001:db8:1::1",
        ])?;
        server.ip(&[
            "address add 198.51.100.25/24 dev eth0",
            "address add 2001:db8:2::25/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 198.51.100.1",
            "route add default via 2001:db8:2::1",
        ])?;
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, MailServer, send_by_esmtp};

    #[test]
    fn mail_arrives_by_either_protocol() -> Result<()> {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        for address in [SERVER_V4, SERVER_V6] {
            send_by_esmtp(&network.client, address, "by ESMTP")?;
            let mut client = Client::connect(&network.client, address)?;
            assert_eq!(client.greeting()?.code, 220);
            assert_eq!(client.command("HELO client.example")?.code, 250);
            client.send("by SMTP")?;
        }
        let mails = server.mails();
        let subjects: Vec<_> = mails.iter().map(|mail| mail.subject().unwrap_or_default()).collect();
        assert_eq!(subjects, ["by ESMTP", "by SMTP", "by ESMTP", "by SMTP"]);
        assert_eq!(mails[0].client, CLIENT_V4, "routed, not translated");
        assert_eq!(mails[3].client, CLIENT_V6);
        assert!(server.lines().iter().any(|line| line.starts_with("EHLO ")), "{:?}", server.lines());
        Ok(())
    }
}
