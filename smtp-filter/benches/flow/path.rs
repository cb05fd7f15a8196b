//! The way of a mail: client, gateway, server, and a line of one's own choice before or after the gateway.

use std::{
    env,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use smtp_filter_testkit::{Fate, Filter, Judge, Line, Namespace, Network};

const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 25);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 200);

/// Where the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nowhere: the kernel's large segments reach the filter.
    None,
    /// Between client and gateway: segments as on a wire reach the filter.
    Before,
    /// Between gateway and server: large segments reach the filter.
    After,
}

/// What the line does to segments of the client's, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Lost.
    pub lost: u32,
    /// Overtaken by up to three others.
    pub late: u32,
}

/// A network with the filter on its gateway.
pub struct Path {
    /// The filter, not loaded.
    pub filter: Filter,
    /// Where the client is.
    pub server: SocketAddrV4,
    fault: Arc<AtomicU32>,
    random: Arc<AtomicU64>,
    line: Option<Line>,
    network: Network,
    far: Option<Namespace>,
    side: Side,
}

/// Random numbers (xorshift64*, Vigna 2016).
fn below(state: &AtomicU64, limit: u64) -> u64 {
    let mut number = state.load(Ordering::Relaxed);
    number ^= number >> 12;
    number ^= number << 25;
    number ^= number >> 27;
    state.store(number, Ordering::Relaxed);
    ((number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) * limit) >> 32
}

impl Path {
    /// With a line on which every packet is under way for half of `round_trip`.
    pub fn new(side: Side, round_trip: Duration) -> Result<Self> {
        let network = Network::new()?;
        // Another build, to be compared with this one.
        let program = env::var_os("SMTP_FILTER_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_smtp-filter").into());
        let filter = Filter::new(program, &network.gateway)?;
        let fault = Arc::<AtomicU32>::default();
        let random = Arc::<AtomicU64>::default();
        let (mut far, mut line) = (None, None);
        if side != Side::None {
            let end = Namespace::new("far")?;
            let near = if side == Side::Before { &network.client } else { &network.server };
            let (random, faults) = (Arc::clone(&random), Arc::clone(&fault));
            let judge: Judge = Box::new(move |packet| {
                let fault = faults.load(Ordering::Relaxed);
                if packet.len() < 200 || fault == 0 {
                    return Fate::Pass;
                }
                let (lost, late) = (u64::from(fault & 0xffff), u64::from(fault >> 16));
                let drawn = below(&random, 1000);
                if drawn < lost {
                    Fate::Lose
                } else if drawn < lost + late {
                    Fate::Behind(1 + below(&random, 3) as u32)
                } else {
                    Fate::Pass
                }
            });
            let straight: Judge = Box::new(|_: &[u8]| Fate::Pass);
            let (ends, judges) = match side {
                Side::Before => ([&end, near], [judge, straight]),
                _ => ([near, &end], [judge, straight]),
            };
            line = Some(Line::slow("line", ends, judges, Duration::from_millis(3), round_trip / 2)?);
            near.sysctl("ipv4/ip_forward", "1")?;
            near.ip(&["address add 203.0.113.1/24 dev line"])?;
            end.ip(&[&format!("address add {FAR}/24 dev line"), "route add default via 203.0.113.1"])?;
            let via = if side == Side::Before { "192.0.2.10" } else { "198.51.100.25" };
            network.gateway.ip(&[&format!("route add 203.0.113.0/24 via {via}")])?;
            far = Some(end);
        }
        let server = SocketAddrV4::new(if side == Side::After { FAR } else { NEAR }, 25);
        Ok(Self { filter, server, fault, random, line, network, far, side })
    }

    /// What the line does from now on. With the same `seed` it is the same segments of a connection, counted from here.
    pub fn fault(&self, fault: Fault, seed: u64) {
        self.random.store((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::Relaxed);
        self.fault.store(fault.lost | fault.late << 16, Ordering::Relaxed);
    }

    /// From now on the line carries so many bytes a second; 0: as many as the machine can.
    pub fn limit(&self, rate: u64) {
        if let Some(line) = &self.line {
            line.limit(rate);
        }
    }

    /// The namespace of the client.
    pub fn from(&self) -> &Namespace {
        self.far.as_ref().filter(|_| self.side == Side::Before).unwrap_or(&self.network.client)
    }

    /// The namespace of the server.
    pub fn to(&self) -> &Namespace {
        self.far.as_ref().filter(|_| self.side == Side::After).unwrap_or(&self.network.server)
    }
}
