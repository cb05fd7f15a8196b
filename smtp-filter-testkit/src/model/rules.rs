//! What a policy says of a word, as `docs/policy.md` tells it.

use smtp_filter::policy::{ByName, Document, Mode};
use smtp_filter_common::action::Action;

/// Keywords that announce no verb: they bring parameters or a way to send, or are commands of every server.
const SILENT: &[&str] = &[
    "8BITMIME",
    "BINARYMIME",
    "CHECKPOINT",
    "CONNEG",
    "CONPERM",
    "DELIVERBY",
    "DSN",
    "FUTURERELEASE",
    "LIMITS",
    "MT-PRIORITY",
    "MTRK",
    "NO-SOLICITING",
    "PIPELINING",
    "REQUIRETLS",
    "RRVS",
    "SIZE",
    "SMTPUTF8",
    "SUBMITTER",
    "XVERP",
    "DATA",
    "EHLO",
    "HELO",
    "MAIL",
    "NOOP",
    "QUIT",
    "RCPT",
    "RSET",
];

/// Longest word that can be named.
pub const LONGEST: usize = 16;

/// A policy that answers questions.
#[derive(Clone, Debug)]
pub struct Rules {
    verbs: ByName,
    keywords: ByName,
    /// What stays of the banner.
    pub show: &'static str,
    /// What a masked command becomes.
    pub fill: &'static str,
    /// Whether anything is done at all.
    pub enforce: bool,
}

impl Rules {
    /// Reads a policy: a masked keyword masks the verb that it announces, unless that has a stricter action.
    pub fn new(document: &Document) -> Self {
        let mut verbs = document.commands.clone();
        for (keyword, action) in &document.extensions.named {
            let verb = match keyword.as_str() {
                "CHUNKING" => "BDAT",
                word if SILENT.contains(&word) => continue,
                word => word,
            };
            if *action == Action::Mask && verbs.action(verb) < Action::Mask {
                let name = smtp_filter::policy::WordName::new(verb).expect("a keyword is a word");
                verbs.named.insert(name, Action::Mask);
            }
        }
        Self {
            verbs,
            keywords: document.extensions.clone(),
            show: document.values.word("banner.show"),
            fill: document.values.word("mask.fill"),
            enforce: document.values.mode() == Mode::Enforce,
        }
    }

    /// What is done with a verb.
    pub fn verb(&self, word: &[u8]) -> Action {
        if self.enforce { action(&self.verbs, word) } else { Action::Pass }
    }

    /// What is done with a keyword.
    pub fn keyword(&self, word: &[u8]) -> Action {
        if self.enforce { action(&self.keywords, word) } else { Action::Pass }
    }

    /// Whether the last byte of a verb must not be forwarded as it is, where what follows it is not known.
    pub fn begun_verb(&self, word: &[u8]) -> bool {
        begun(&self.verbs, self.verb(word), word)
    }

    /// The same of a keyword.
    pub fn begun_keyword(&self, word: &[u8]) -> bool {
        begun(&self.keywords, self.keyword(word), word)
    }
}

fn action(words: &ByName, word: &[u8]) -> Action {
    let word = String::from_utf8_lossy(word).to_ascii_uppercase();
    if word.len() > LONGEST { words.other } else { words.action(&word) }
}

/// A word that ends where the segment does must not become whole if it is named and not allowed, though a longer one
/// may begin alike, nor if no word that begins like this is let through.
fn begun(words: &ByName, if_whole: Action, word: &[u8]) -> bool {
    if word.is_empty() || !matches!(if_whole, Action::Mask | Action::Downgrade) {
        return false;
    }
    let word = String::from_utf8_lossy(word).to_ascii_uppercase();
    let named = words.named.contains_key(word.as_str());
    let open = word.len() <= LONGEST
        && words.named.iter().any(|(name, action)| name.as_str().starts_with(&word) && *action < Action::Downgrade);
    named || !open
}
