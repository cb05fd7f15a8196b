//! The policies of the dialogues.

use smtp_filter::policy::{Document, Profile, set};

use super::words::{KEYWORDS, VERBS};
use crate::Random;

/// A built-in profile as it is, or one with settings of its own.
pub fn policy(random: &mut Random) -> Document {
    let profile = random.of(&Profile::ALL);
    let mut document = profile.document();
    if random.one_in(3) {
        return document;
    }
    if profile == Profile::Monitor || random.one_in(10) {
        document = change(&document, random.of(&["mode=enforce", "mode=enforce", "mode=enforce", "mode=monitor"]));
    }
    for _ in 0..random.below(12) {
        let setting = setting(random);
        document = change(&document, &setting);
    }
    document
}

/// A policy with one setting more.
pub fn change(document: &Document, setting: &str) -> Document {
    set(document, &[setting]).unwrap_or_else(|error| panic!("{setting}: {error}"))
}

fn setting(random: &mut Random) -> String {
    // What cuts the connection is rare: behind it there is nothing to compare.
    const ACTIONS: &[&str] = &["mask", "mask", "mask", "mask", "pass", "pass", "log", "mark", "drop", "reset"];
    match random.below(10) {
        0..=3 => format!("commands.{}={}", random.of(VERBS), random.of(ACTIONS)),
        4 => format!("commands.ehlo={}", random.of(&["downgrade", "mask", "pass"])),
        5 => format!("commands.other={}", random.of(&["mask", "mask", "log", "pass", "pass"])),
        6 => format!("extensions.other={}", random.of(&["mask", "pass"])),
        7 => format!("banner.show={}", random.of(&["all", "host", "host-smtp", "pix"])),
        8 => format!("mask.fill={}", random.of(&["noop", "X"])),
        _ => {
            let keyword = random.of(KEYWORDS).split([' ', '=']).next().unwrap_or_default();
            if !(1..=16).contains(&keyword.len()) {
                return "mask.fill=noop".to_owned();
            }
            format!("extensions.{keyword}={}", random.of(&["mask", "mask", "pass", "log"]))
        }
    }
}
