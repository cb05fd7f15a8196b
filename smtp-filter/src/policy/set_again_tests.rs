//! What `policy set` makes is what comes of its file: shown, kept and read again it is the same policy.

use proptest::prelude::*;

use super::*;

const SETTINGS: [&str; 28] = [
    "extensions.other=pass",
    "extensions.other=mask",
    "extensions.other=log",
    "extensions.starttls=mask",
    "extensions.starttls=pass",
    "commands.other=mask",
    "commands.other=pass",
    "commands.other=log",
    "commands.ehlo=downgrade",
    "commands.vrfy=pass",
    "profile=asa-esmtp",
    "profile=hardened",
    "profile=pix-mailguard",
    "profile=monitor",
    "scope.a.clients=10.0.0.0/8",
    "scope.a=none",
    "scope.b.servers=192.0.2.25",
    "scope.a.extensions.other=mask",
    "scope.a.extensions.other=pass",
    "scope.a.extensions.starttls=mask",
    "scope.a.extensions=inherit",
    "scope.b.commands.other=drop",
    "scope.b.commands.other=log",
    "scope.b.commands.other=mask",
    "scope.b.commands.ehlo=pass",
    "scope.b.commands=inherit",
    "banner.show=host",
    "mode=monitor",
];

proptest! {
    #[test]
    fn what_is_set_is_what_its_file_says(
        profile in proptest::sample::select(Profile::ALL.as_slice()),
        settings in proptest::collection::vec(proptest::sample::select(SETTINGS.as_slice()), 1..12),
    ) {
        let mut document = profile.document();
        for setting in settings {
            // Not every one fits: a scope that is not there cannot be removed.
            if let Ok(after) = set(&document, &[setting]) {
                document = after;
            }
            prop_assert_eq!(&parse("again", &to_toml(&document)).unwrap(), &document, "{}", setting);
            for scope in &document.scopes {
                let within = document.within(scope);
                prop_assert_eq!(&parse("within", &to_toml(&within)).unwrap(), &within, "{} in {}", setting, scope.name);
            }
        }
    }
}

#[test]
fn names_of_the_profile_come_back_with_its_other() {
    let profile = Profile::AsaEsmtp.document();
    let open = set(&profile, &["extensions.other=pass"]).unwrap();
    assert!(!open.extensions.named.contains_key(&WordName::new("STARTTLS").unwrap()));
    assert_eq!(set(&open, &["extensions.other=mask"]).unwrap(), profile);
    // In a scope, too.
    let scoped = set(&open, &["scope.a.clients=10.0.0.0/8", "scope.a.extensions.other=mask"]).unwrap();
    assert_eq!(scoped.within(&scoped.scopes[0]), profile);
}
