//! The datapath in user space.

use smtp_filter_common::{
    bounds::REGIONS,
    entry::Connection,
    flow::Key,
    met::Met,
    policy::Policy,
    userspace::{SliceFrame, World},
    verdict,
};

use smtp_filter_testkit::attacker::{
    run::{Filter, Verdict},
    wire::{CLIENT, ETHERNET, PORT, SERVER},
};

use super::policies;

/// Where the segments of the client, and of the server, are met.
const SIDES: [u32; 2] = [2, 3];

pub struct UserSpace {
    world: World,
    policies: Vec<Policy>,
    policy: usize,
    now: u64,
    key: Key,
}

const fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Ports of clients, one a run.
const PORTS: std::ops::Range<u16> = 1024..65_000;

impl UserSpace {
    pub fn new() -> Self {
        let key = Key {
            client: mapped(CLIENT),
            server: mapped(SERVER),
            client_port: PORTS.start.to_be_bytes(),
            server_port: PORT.to_be_bytes(),
        };
        Self { world: World::new(), policies: policies::all(), policy: 0, now: 1_000_000_000_000, key }
    }
}

impl Filter for UserSpace {
    fn policies(&self) -> &[Policy] {
        &self.policies
    }

    fn begin(&mut self) {
        self.world.forget();
        // Which connections began is remembered: the next one is another.
        let port = self.client_port() + 1;
        let port = if PORTS.contains(&port) { port } else { PORTS.start };
        self.key.client_port = port.to_be_bytes();
    }

    fn client_port(&self) -> u16 {
        u16::from_be_bytes(self.key.client_port)
    }

    fn adopt(&mut self, policy: usize) -> Result<(), String> {
        self.policy = policy;
        Ok(())
    }

    fn judge(&mut self, frame: &[u8], piece: u16, from_client: bool) -> Result<Verdict, String> {
        self.now += 1_000_000;
        let met = Met { now: self.now, ifindex: SIDES[usize::from(!from_client)], egress: false };
        let frame = SliceFrame::ethernet(frame).merged_of(piece);
        Ok(match self.world.frame(&self.policies[self.policy], frame, met) {
            verdict::Verdict::Pass => Verdict::Pass,
            verdict::Verdict::Drop => Verdict::Drop,
            verdict::Verdict::Reset | verdict::Verdict::ResetSender => Verdict::Reset,
        })
    }

    fn forwarded<'a>(&'a self, frame: &'a [u8]) -> &'a [u8] {
        self.world.rewritten().unwrap_or(&frame[ETHERNET..])
    }

    fn connection(&self) -> Option<&Connection> {
        self.world.connection(&self.key)
    }

    fn crowd(&mut self) {
        // Nobody's, used this very moment.
        self.world.fill_pool((self.now >> 34 << 44) | 1);
    }

    fn age(&mut self, bytes: u32) {
        let Some(connection) = self.world.connection_mut(&self.key) else { return };
        let next = connection.state.side[0].next;
        let memory = &mut connection.state.memory;
        let last = usize::from(memory.regions.saturating_sub(1)) & (REGIONS - 1);
        // Of so many bytes the older ones are acknowledged, and the regions before them forgotten.
        memory.region_at[0] = next.minus(bytes);
        memory.region_kind[0] = memory.region_kind[last];
        memory.regions = 1;
    }
}
