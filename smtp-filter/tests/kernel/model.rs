//! The real program against a model that was written from the documents alone: run on frames in the kernel, and
//! attached to a veth pair, with many connections at a time.
//!
//! Invariants: I1, I2, I4, I5, I6.

use anyhow::{Context as _, Result, anyhow, ensure};
use smtp_filter::policy::{Document, Profile, parse, to_toml};
use smtp_filter_testkit::{
    Filter, Random,
    kernel::{Kernel, in_private_namespace},
    lab::{TemporaryFile, filter},
    model::{
        conversation::Conversation,
        policies::{self, change},
        seeds,
        tally::Tally,
        veth::Veth,
    },
};

/// Connections at a time.
const TOGETHER: usize = 32;
/// Client ports from here on.
const PORTS: u64 = 1024;

/// A port of its own for each of some ten thousand connections in a row.
fn port(seed: u64) -> u16 {
    (PORTS + seed % (65_536 - PORTS)) as u16
}

#[test(root)]
fn the_programs_in_the_kernel_do_what_the_model_says() -> Result<()> {
    in_private_namespace(|| {
        let mut kernel = Kernel::load_for(&Profile::Monitor.document(), 4096)?;
        let mut tally = Tally::default();
        for seed in seeds(400) {
            let document = policies::policy(&mut Random::new(seed));
            kernel.adopt(&document)?;
            let mut conversation = Conversation::new(seed, &document, port(seed));
            conversation.begin(&mut kernel)?;
            while !conversation.step(&mut kernel)? {}
            tally.count(&conversation);
            kernel.agrees_with_user_space().with_context(|| format!("seed {seed}"))?;
        }
        tally.was_worth_it()
    })
}

/// Plays dialogues at the same time, a step of each in turn.
fn play(veth: &mut Veth, seeds: &[u64], document: &Document, tally: &mut Tally) -> Result<()> {
    let mut open = Vec::new();
    for seed in seeds {
        let mut conversation = Conversation::new(*seed, document, port(*seed));
        conversation.begin(veth)?;
        open.push(conversation);
    }
    while !open.is_empty() {
        for conversation in &mut open {
            if conversation.step(veth)? {
                tally.count(conversation);
            }
        }
        open.retain(|conversation| conversation.outcome().is_none());
    }
    Ok(())
}

/// Loads a policy as a file, and returns what that file says.
fn load(filter: &Filter, document: &Document) -> Result<Document> {
    let text = to_toml(document);
    let file = TemporaryFile::new("model.toml", text.as_bytes())?;
    filter.succeed(&["policy", "load", &file.0.display().to_string()])?;
    parse("model.toml", &text).map_err(|error| anyhow!("{error}"))
}

#[test(root, long)]
fn on_a_veth_pair_both_ends_receive_what_the_model_says() -> Result<()> {
    let mut veth = Veth::new()?;
    let filter = filter(&veth.gateway)?;
    filter.up(&["--iface", "inside"])?;
    let mut tally = Tally::default();
    let seeds: Vec<u64> = seeds(2048).collect();
    for seeds in seeds.chunks(TOGETHER) {
        let document = load(&filter, &policies::policy(&mut Random::new(seeds[0])))?;
        play(&mut veth, seeds, &document, &mut tally)?;
    }
    tally.was_worth_it()?;

    // A comparison that never fails says nothing.
    let other = change(&Profile::Hardened.document(), "commands.other=pass");
    load(&filter, &other)?;
    let error = play(&mut veth, &(0..256).collect::<Vec<_>>(), &Profile::Hardened.document(), &mut tally);
    ensure!(error.is_err(), "another policy was not noticed");
    Ok(())
}
