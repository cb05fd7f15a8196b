//! The policies of the runs in user space: all enforce, every guard cuts.

use smtp_filter_common::{
    action::Action::{self, Downgrade, Drop, Log, Mask, Pass, Reset},
    policy::{ENFORCE, FILL_NOOP, Policy, SHOW_HOST, SHOW_PIX},
    reason::Reason,
    word::Word,
};

type Rules = &'static [(&'static str, Action)];

fn policy(verbs: Rules, other: Action, keywords: Rules, other_keyword: Action) -> Policy {
    let mut policy = Policy::empty();
    policy.mode = ENFORCE;
    (policy.other, policy.other_keyword) = (other as u8, other_keyword as u8);
    for (place, (verb, action)) in verbs.iter().enumerate() {
        assert!(policy.set_verb(Word::of(verb), *action, place as u8 + 1));
    }
    for (place, (keyword, action)) in keywords.iter().enumerate() {
        assert!(policy.set_keyword(Word::of(keyword), *action, place as u8 + 1));
    }
    // The grace, within which connections older than the filter pass: ours are none.
    policy.grace_until = u64::MAX;
    policy.add_port(smtp_filter_testkit::attacker::wire::PORT);
    policy
}

/// All of them; their generations tell them apart.
pub fn all() -> Vec<Policy> {
    let seven: Rules = &[
        ("HELO", Pass),
        ("MAIL", Pass),
        ("RCPT", Pass),
        ("DATA", Pass),
        ("QUIT", Pass),
        ("RSET", Pass),
        ("NOOP", Pass),
    ];
    let mut all = vec![
        policy(&[("VRFY", Drop)], Pass, &[], Pass),
        policy(&[("VRFY", Mask)], Log, &[("SIZE", Mask), ("AUTH", Mask)], Pass),
        policy(&[("VRFY", Reset), ("EHLO", Drop), ("HELP", Drop)], Pass, &[], Pass),
        policy(&[("EHLO", Downgrade), ("VRFY", Mask), ("BDAT", Mask)], Pass, &[], Mask),
        policy(seven, Mask, &[], Mask),
        policy(&[("VRFY", Mask), ("STARTTLS", Mask), ("BDAT", Mask), ("AUTH", Mask)], Log, &[("DSN", Pass)], Mask),
        policy(&[("VRFY", Drop), ("EHLO", Pass), ("BDAT", Pass)], Mask, &[("STARTTLS", Mask)], Pass),
        policy(seven, Drop, &[], Pass),
    ];
    let resets = [
        Reason::StarttlsInjection,
        Reason::BdatRefused,
        Reason::LateEndOfData,
        Reason::Sync,
        Reason::ChangedRetransmission,
    ];
    for (number, policy) in all.iter_mut().enumerate() {
        policy.generation = number as u32 + 1;
        if number % 2 == 1 {
            for reason in resets {
                policy.guards[reason.number() as usize] = Reset as u8;
            }
        }
        policy.guards[Reason::UnmatchedReply.number() as usize] = Log as u8;
        policy.fill = if number % 3 == 2 { FILL_NOOP } else { 0 };
        policy.banner = [0, SHOW_PIX, SHOW_HOST][number % 3];
    }
    all
}
