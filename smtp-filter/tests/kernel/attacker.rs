//! The generator of attacks against the program in the kernel: every segment of both directions goes through it and
//! through the datapath in user space, which must agree, and what both ends assembled of what the kernel let through
//! has to keep the same claims. See `smtp-filter-testkit/src/attacker`.
//!
//! Invariants: I1, I3, I4, I6.

use anyhow::{Context as _, Result, bail, ensure};
use smtp_filter::policy::{Document, Names, compile, parse};
use smtp_filter_common::{entry::Connection, flow::Key, policy::Policy, scope::Policies as _};
use smtp_filter_testkit::{
    Random,
    attacker::{
        choices,
        play::{Player, Style},
        run::{Filter, Verdict},
        script,
        wire::{self, ACK, CLIENT, ETHERNET, Facts, PORT, RST, SERVER},
    },
    dialogue::{Outcome, Side},
    kernel::{Kernel, in_private_namespace},
};

/// Dialogues, shared among the policies.
const RUNS: u64 = 30_000;

const POLICIES: [&str; 6] = [
    "profile = \"hardened\"\n",
    "profile = \"pix-mailguard\"\n",
    "profile = \"helo-only\"\n",
    "profile = \"mark-esmtp\"\n[commands]\nVRFY = \"drop\"\n[extensions]\nSTARTTLS = \"mask\"\n",
    "profile = \"drop-esmtp\"\n[commands]\nVRFY = \"drop\"\nother = \"log\"\n",
    "profile = \"asa-esmtp\"\n[mask]\nfill = \"noop\"\n[commands]\nVRFY = \"mask\"\n[guards]\nsync = \"reset\"\nchanged_retransmission = \"reset\"\n",
];

/// The kernel's maps are its own: regions that began long ago and crowded pools are for user space alone. So are tags,
/// for what reads the RSTs here knows few of them.
const STYLE: Style =
    Style { steps: 60, changes: false, ages: false, tags: false, pieces: false, replies: true, handshakes: true };

const fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

struct InKernel {
    kernel: Kernel,
    documents: Vec<Document>,
    policies: Vec<Policy>,
    policy: usize,
    port: u16,
    /// What went wrong when a dialogue was ended.
    ended: Result<Verdict, String>,
}

impl InKernel {
    fn new() -> Result<Self> {
        let documents: Vec<_> = POLICIES
            .iter()
            .map(|text| parse("a policy", text))
            .collect::<Result<_, _>>()
            .context("read the policies")?;
        let mut policies = Vec::new();
        for document in &documents {
            let compiled = compile(document, &mut Names::default(), 1, 0)?;
            policies.push(compiled.of_scope(0).context("a policy")?.clone());
        }
        let kernel = Kernel::load_for(&documents[0], 65_536)?;
        Ok(Self { kernel, documents, policies, policy: 0, port: 1024, ended: Ok(Verdict::Pass) })
    }

    fn key(&self) -> Key {
        Key {
            client: mapped(CLIENT),
            server: mapped(SERVER),
            client_port: self.port.to_be_bytes(),
            server_port: PORT.to_be_bytes(),
        }
    }
}

impl Filter for InKernel {
    fn policies(&self) -> &[Policy] {
        &self.policies
    }

    fn begin(&mut self) {
        // The one before gives back what it has of the shared pool: user space and the kernel draw their slots apart.
        if let Some(connection) = self.connection() {
            let [acknowledgement, sequence] = [0, 1].map(|from| connection.state.side[from].next.0);
            let facts = Facts {
                from_client: false,
                client_port: self.port,
                sequence,
                acknowledgement,
                flags: RST | ACK,
                window: 0,
                tags: 0,
                padding: 0,
                options: 0,
            };
            let mut frame = Vec::new();
            wire::write(&mut frame, &facts, |_| ());
            let ended = self.judge(&frame, 0, false);
            if self.ended.is_ok() {
                self.ended = ended;
            }
        }
        self.port += 1;
    }

    fn client_port(&self) -> u16 {
        self.port
    }

    fn adopt(&mut self, policy: usize) -> Result<(), String> {
        if self.policy != policy {
            self.kernel.adopt(&self.documents[policy]).map_err(|error| format!("{error:#}"))?;
            self.policy = policy;
        }
        Ok(())
    }

    fn judge(&mut self, frame: &[u8], _: u16, from_client: bool) -> Result<Verdict, String> {
        let hook = if from_client { Side::Client } else { Side::Server }.hook();
        match self.kernel.run(hook, frame, None) {
            Ok(Outcome::Pass | Outcome::Marked(_)) => Ok(Verdict::Pass),
            Ok(Outcome::Drop) => Ok(Verdict::Drop),
            Ok(Outcome::Reset | Outcome::ResetSender) => Ok(Verdict::Reset),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn forwarded<'a>(&'a self, _: &'a [u8]) -> &'a [u8] {
        &self.kernel.passed()[ETHERNET..]
    }

    fn connection(&self) -> Option<&Connection> {
        self.kernel.world().connection(&self.key())
    }

    fn merges(&self) -> bool {
        false
    }

    fn crowd(&mut self) {}

    fn age(&mut self, _: u32) {}
}

#[test(root, long)]
fn no_server_puts_together_what_the_policy_forbids() -> Result<()> {
    in_private_namespace(|| {
        let mut filter = InKernel::new()?;
        let setup = choices::setup(&mut Random::new(0), 1, STYLE);
        let count = POLICIES.len() as u64;
        let mut player = Player::new(&mut filter, setup);
        for seed in 0..RUNS {
            let policy = (seed * count / RUNS) as u8;
            if let Err(failure) = player.seed(seed, STYLE, Some(policy)) {
                bail!("seed {seed}: {:?}\n{}", failure.violation, script::print(&failure.setup, &failure.ops));
            }
            if seed % 20 == 0 {
                // The ring of the reader is of a size.
                player.filter().kernel.agrees_with_user_space().with_context(|| format!("until seed {seed}"))?;
            }
        }
        let tally = *player.tally();
        ensure!(player.filter().ended.is_ok(), "{:?}", player.filter().ended);
        println!("{tally:#?}");
        player.filter().kernel.agrees_with_user_space()?;
        ensure!(tally.commands > RUNS / 2 && tally.ends_of_data > RUNS / 50 && tally.chunks > 50, "{tally:?}");
        Ok(())
    })
}
