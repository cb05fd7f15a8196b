//! The datapath in user space against a model that was written from the documents alone: thousands of dialogues on
//! lines that lose, double, cut and overtake segments.
//!
//! Invariants: I1, I2, I4, I5, I6.

use std::ops::Range;

use anyhow::{Result, ensure};
use smtp_filter::policy::{Document, Profile};
use smtp_filter_testkit::{
    Random,
    model::{
        conversation::Conversation,
        middle::{Middle, UserSpace},
        policies::{self, change},
        seeds,
        spoiled::{Fault, Spoiled},
        tally::Tally,
    },
};

/// Plays a dialogue to its end.
fn play(seed: u64, document: &Document, filter: &mut impl Middle, tally: &mut Tally) -> Result<()> {
    let mut conversation = Conversation::new(seed, document, 41_234);
    conversation.begin(filter)?;
    while !conversation.step(filter)? {}
    tally.count(&conversation);
    Ok(())
}

#[test]
fn both_ends_receive_what_the_model_says() -> Result<()> {
    let mut tally = Tally::default();
    for seed in seeds(2500) {
        let document = policies::policy(&mut Random::new(seed));
        play(seed, &document, &mut UserSpace::new(&document)?, &mut tally)?;
    }
    tally.was_worth_it()
}

/// Whether one of some dialogues notices that the program is not what the model takes it for.
fn noticed<M: Middle>(seeds: Range<u64>, document: &Document, mut filter: impl FnMut() -> Result<M>) -> Result<bool> {
    for seed in seeds {
        if play(seed, document, &mut filter()?, &mut Tally::default()).is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A comparison that never fails says nothing: whatever is set otherwise is noticed.
#[test]
fn another_policy_is_noticed() -> Result<()> {
    for (profile, settings) in [
        (Profile::PixMailguard, &["commands.vrfy=pass", "commands.other=log", "banner.show=host"][..]),
        (Profile::PixMailguard, &["mask.fill=noop", "banner.show=all", "commands.rcpt=mask", "commands.quit=drop"]),
        (Profile::HeloOnly, &["commands.ehlo=mask", "commands.ehlo=pass", "commands.ehlo=drop", "commands.etrn=pass"]),
        (Profile::Hardened, &["extensions.auth=pass", "extensions.other=pass", "banner.show=host-smtp"]),
        (Profile::Hardened, &["extensions.pipelining=mask", "commands.bdat=reset", "commands.noop=mask"]),
        (Profile::AsaEsmtp, &["extensions.size=mask", "commands.help=mask", "mode=monitor"]),
        (Profile::DropEsmtp, &["commands.ehlo=reset", "commands.ehlo=pass", "commands.ehlo=downgrade"]),
        (Profile::MarkEsmtp, &["commands.mail=mask", "extensions.starttls=mask", "banner.show=pix"]),
    ] {
        let document = profile.document();
        for setting in settings {
            let other = change(&document, setting);
            let seen = noticed(0..200, &document, || UserSpace::new(&other))?;
            ensure!(seen, "{} with {setting} went for {} as it is", profile.name(), profile.name());
        }
    }
    Ok(())
}

/// So is a program that makes a mistake, now and then.
#[test]
fn a_fault_is_noticed() -> Result<()> {
    for (fault, profile) in [
        (Fault::RepeatsPass, Profile::PixMailguard),
        (Fault::EndOfDataIsLost, Profile::Monitor),
        (Fault::TextIsChanged, Profile::Hardened),
        (Fault::ChecksumStays, Profile::HeloOnly),
        (Fault::NobodyIsTold, Profile::Hardened),
    ] {
        let document = change(&profile.document(), "commands.wiz=reset");
        let seen = noticed(0..400, &document, || Ok(Spoiled::new(UserSpace::new(&document)?, fault)))?;
        ensure!(seen, "{fault:?} was not noticed");
        let plain = noticed(0..40, &document, || UserSpace::new(&document))?;
        ensure!(!plain, "{} is noticed without a fault", profile.name());
    }
    Ok(())
}
