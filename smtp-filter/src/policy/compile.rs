//! The policy as the datapath reads it.

use smtp_filter_common::{
    action::Action,
    bounds::{KEYWORD_NAMES, NAMES},
    policy::{GUARDS, Policy},
};

use super::{
    classes::{self, TooManyPairs},
    compiled::Compiled,
    document::Document,
    keys::KEYS,
    names::Names,
};

/// Why a policy cannot be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// More different verbs than there are counters.
    Verbs,
    /// More different keywords than there are counters.
    Keywords,
    /// More different names of scopes than there are numbers.
    Scopes,
    /// The scopes overlap in more ways than there is room for.
    Pairs(TooManyPairs),
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (most, words, what) = match self {
            Self::Verbs => (NAMES - 1, "verbs", "a verb's counter"),
            Self::Keywords => (KEYWORD_NAMES - 1, "keywords of extensions", "a keyword's counter"),
            Self::Scopes => (u16::MAX.into(), "scopes", "a scope's number"),
            Self::Pairs(pairs) => return pairs.fmt(f),
        };
        write!(
            f,
            "the policies since `smtp-filter up` have named more than {most} different {words}, and {what} is never \
             given to another: take the filter off and on again to use new names"
        )
    }
}

impl std::error::Error for CompileError {}

/// Compiles a policy, with those of its scopes. Verbs, keywords and scopes without a place among the names get one; a
/// verb that a masked extension announces is masked, and the extension is the reason. `up_at` is when the filter was
/// put on, in nanoseconds since boot: the grace counts from there.
pub fn compile(document: &Document, names: &mut Names, generation: u32, up_at: u64) -> Result<Compiled, CompileError> {
    let scopes = classes::scopes(&document.scopes).map_err(CompileError::Pairs)?;
    let mut policies = vec![policy(&document.whole(), names, generation, up_at)?];
    for scope in &document.scopes {
        let number = names.scope_number(scope.name.as_str()).ok_or(CompileError::Scopes)?;
        let mut policy = policy(&document.within(scope), names, generation, up_at)?;
        policy.scope = number;
        policies.push(policy);
    }
    for policy in &mut policies {
        policy.scopes = document.scopes.len() as u8;
    }
    Ok(Compiled { policies, scopes })
}

/// Compiles a policy without scopes.
fn policy(document: &Document, names: &mut Names, generation: u32, up_at: u64) -> Result<Box<Policy>, CompileError> {
    let Document { profile: _, values, commands, extensions, scopes: _ } = document;
    let mut policy = Box::new(Policy {
        generation,
        other: commands.other as u8,
        other_keyword: extensions.other as u8,
        guards: [Action::Drop as u8; GUARDS],
        ..Policy::empty()
    });
    for key in KEYS {
        if let Some(value) = values.get(key.path) {
            key.compile(&mut policy, value);
        }
    }
    policy.grace_until = policy.grace_until.saturating_add(up_at);
    for (verb, effective) in document.effective_verbs() {
        let fits = match &effective.masked_with {
            Some(keyword) => {
                let place = names.keyword_place(keyword).ok_or(CompileError::Keywords)?;
                policy.set_announced(verb.word(), effective.action, place)
            }
            None => {
                let place = names.place(&verb).ok_or(CompileError::Verbs)?;
                policy.set_verb(verb.word(), effective.action, place)
            }
        };
        debug_assert!(fits, "a document names no more verbs than a policy holds");
    }
    for (keyword, action) in &extensions.named {
        let place = names.keyword_place(keyword).ok_or(CompileError::Keywords)?;
        let fits = policy.set_keyword(keyword.word(), *action, place);
        debug_assert!(fits, "a document names no more keywords than a policy holds");
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::{
        policy::{FILL_NOOP, FILL_X, SHOW_ALL, SHOW_HOST_SMTP},
        reason::Reason,
        word::Word,
    };

    use super::*;
    use crate::policy::{Profile, parse, set};

    fn compiled(document: &Document) -> Box<Policy> {
        compile(document, &mut Names::default(), 7, 1_000).unwrap().policies.remove(0)
    }

    #[test]
    fn the_datapath_reads_what_the_file_says() {
        let document = parse(
            "t",
            "profile = \"drop-esmtp\"\nports = [587, 25]\n[commands]\nHELP = \"reset\"\nother = \"mark\"\n\
             [guards]\nunknown_connection = { action = \"log\", grace = \"1s\" }\nsync = \"reset\"\n\
             [mark]\nvalue = 0x3\nmask = 0xf\n",
        )
        .unwrap();
        let policy = compiled(&document);
        assert_eq!((policy.generation, policy.enforces(), policy.capture_envelope), (7, true, 0));
        assert_eq!((policy.mark_value, policy.mark_mask, policy.grace_until), (3, 15, 1_000_001_000));
        assert!(policy.has_port(25) && policy.has_port(587) && !policy.has_port(26));
        for (verb, action) in
            [("EHLO", Action::Drop), ("HELO", Action::Pass), ("HELP", Action::Reset), ("XYZZY", Action::Mark)]
        {
            assert_eq!(policy.verb(Word::of(verb)).action, action as u8, "{verb}");
        }
        assert_eq!(policy.guard(Reason::UnknownConnection.number()), Action::Log as u8);
        assert_eq!(policy.guard(Reason::Sync.number()), Action::Reset as u8);
        assert_eq!(policy.guard(Reason::Fragment.number()), Action::Drop as u8);
        assert_eq!(policy.guard(Reason::LateEndOfData.number()), Action::Reset as u8);
    }

    #[test]
    fn the_datapath_reads_what_is_rewritten_and_how() {
        let document = parse(
            "t",
            "[commands]\nEHLO = \"downgrade\"\nAUTH = \"reset\"\nBDAT = \"pass\"\n\
             [extensions]\nchunking = \"mask\"\nAUTH = \"mask\"\nXSECRET = \"mask\"\nSIZE = \"log\"\nother = \"mask\"\n\
             [banner]\nshow = \"host-smtp\"\n[mask]\nfill = \"noop\"\n",
        )
        .unwrap();
        let mut names = Names::default();
        let policy = compile(&document, &mut names, 7, 1_000).unwrap().policies.remove(0);
        assert_eq!((policy.banner, policy.fill), (SHOW_HOST_SMTP, FILL_NOOP));
        for (verb, action, reason) in [
            ("EHLO", Action::Downgrade, "commands.ehlo"),
            ("AUTH", Action::Reset, "commands.auth"),
            ("BDAT", Action::Mask, "extensions.chunking"),
            ("XSECRET", Action::Mask, "extensions.xsecret"),
            ("XOTHER", Action::Log, "commands.other"),
        ] {
            let verdict = policy.verb(Word::of(verb));
            assert_eq!((verdict.action, names.reason(verdict.reason)), (action as u8, reason.to_owned()), "{verb}");
        }
        for (keyword, action, reason) in [
            ("CHUNKING", Action::Mask, "extensions.chunking"),
            ("AUTH", Action::Mask, "extensions.auth"),
            ("SIZE", Action::Log, "extensions.size"),
            ("DSN", Action::Mask, "extensions.other"),
        ] {
            let verdict = policy.keyword(Word::of(keyword));
            assert_eq!((verdict.action, names.reason(verdict.reason)), (action as u8, reason.to_owned()), "{keyword}");
        }
        let plain = compiled(&Profile::Monitor.document());
        assert_eq!((plain.banner, plain.fill, plain.other_keyword), (SHOW_ALL, FILL_X, Action::Pass as u8));
    }

    #[test]
    fn a_verb_keeps_its_counter_over_policies() {
        let mut names = Names::default();
        let first = Profile::DropEsmtp.document();
        let second = set(&first, &["commands.aaaa=drop"]).unwrap();
        let first = compile(&first, &mut names, 1, 0).unwrap().whole().verb(Word::of("EHLO")).reason;
        let second = compile(&second, &mut names, 2, 0).unwrap().whole().verb(Word::of("EHLO")).reason;
        assert_eq!(first, second);
        assert_eq!(names.reason(first), "commands.ehlo");
    }

    #[test]
    fn every_profile_compiles() {
        for profile in Profile::ALL {
            let policy = compiled(&profile.document());
            assert_eq!(policy.enforces(), profile != Profile::Monitor);
        }
    }

    #[test]
    fn names_run_out_with_a_word_about_what_to_do() {
        let mut names = Names::default();
        let base = Profile::DropEsmtp.document();
        let mut last = compile(&base, &mut names, 1, 0);
        for round in 0..9 {
            let arguments: Vec<String> = (0..30).map(|i| format!("commands.v{round}x{i}=drop")).collect();
            last = compile(&set(&base, &arguments).unwrap(), &mut names, round, 0);
        }
        assert_eq!(last, Err(CompileError::Verbs));
        for round in 0..5 {
            let arguments: Vec<String> = (0..30).map(|i| format!("extensions.k{round}x{i}=log")).collect();
            last = compile(&set(&base, &arguments).unwrap(), &mut names, round, 0);
        }
        assert_eq!(last, Err(CompileError::Keywords));
        let said = CompileError::Keywords.to_string();
        assert!(said.contains("more than 127 different keywords of extensions, and a keyword's counter"), "{said}");
    }
}
