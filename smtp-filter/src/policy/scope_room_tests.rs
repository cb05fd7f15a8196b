//! What is left of the words beneath where a scope's, or a file's, are too many together with them.

use smtp_filter_common::{action::Action, word::Word};

use super::*;

/// A policy with so many keywords more than its profile, in the whole or in a scope.
fn with(profile: Profile, number: usize, in_scope: bool) -> Result<Document, PolicyError> {
    let own: String = (0..number).map(|i| format!("OWN{i} = \"log\"\n")).collect();
    let head = if in_scope {
        "[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\n[scope.extensions]"
    } else {
        "[extensions]"
    };
    parse("t", &format!("profile = \"{}\"\n{head}\n{own}", profile.name()))
}

#[test]
fn a_hidden_keyword_whose_name_masks_a_verb_makes_no_room() {
    // Verbs that the profile lets through but for its extensions, which it hides.
    for (profile, masked) in [(Profile::AsaEsmtp, &["STARTTLS"][..]), (Profile::Hardened, &["AUTH", "BDAT"])] {
        let room = 64 - profile.document().extensions.named.len();
        let documents = [false, true].map(|in_scope| {
            // More than fit as they are: either others make room, or the file is refused.
            [with(profile, room, in_scope).unwrap()].into_iter().chain(with(profile, room + 1, in_scope))
        });
        for document in documents.into_iter().flatten() {
            for policy in compile(&document, &mut Names::default(), 1, 0).unwrap().policies {
                for verb in masked {
                    assert_eq!(policy.verb(Word::of(verb)).action, Action::Mask as u8, "{verb} of {}", profile.name());
                }
            }
        }
    }
    assert!(with(Profile::Hardened, 51, true).is_ok() && with(Profile::Hardened, 52, true).is_err());
}
