//! The effective policy as a policy file.

use std::fmt::Write as _;

use smtp_filter_common::reason::Reason;

use super::{document::Document, rules::GUARDS};

/// The policy as a file that `policy load` takes and that gives the same policy.
pub fn to_toml(document: &Document) -> String {
    let Document { profile, ports, mode, capture_envelope, commands, extensions, banner, mask, guards, mark } =
        document;
    let verbs = document.effective_verbs();
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line(format_args!("profile = \"{}\"", profile.name()));
    line(format_args!("ports = {ports:?}"));
    line(format_args!("mode = \"{}\"", mode.name()));
    line(format_args!("capture_envelope = {capture_envelope}"));
    line(format_args!("\n[commands]"));
    line(format_args!("other = \"{}\"", commands.other.name()));
    for (verb, action) in &commands.named {
        let masked_with = verbs.get(verb).and_then(|verb| verb.masked_with.as_ref());
        let remark = masked_with.map(|keyword| format!(" # masked with the extension {keyword}"));
        line(format_args!("{} = \"{}\"{}", key(verb.as_str()), action.name(), remark.unwrap_or_default()));
    }
    for (verb, effective) in verbs.iter().filter(|(verb, _)| !commands.named.contains_key(*verb)) {
        if let Some(keyword) = &effective.masked_with {
            line(format_args!("# {verb} is masked with the extension {keyword}"));
        }
    }
    line(format_args!("\n[extensions]"));
    line(format_args!("other = \"{}\"", extensions.other.name()));
    for (keyword, action) in &extensions.named {
        line(format_args!("{} = \"{}\"", key(keyword.as_str()), action.name()));
    }
    line(format_args!("\n[banner]"));
    line(format_args!("show = \"{}\"", banner.show.name()));
    line(format_args!("\n[mask]"));
    line(format_args!("fill = \"{}\"", mask.fill.name()));
    line(format_args!("\n[guards]"));
    for guard in GUARDS {
        let action = guards.action(guard).name();
        if guard.reason == Reason::UnknownConnection {
            let grace = humantime::format_duration(guards.grace);
            line(format_args!("{} = {{ action = \"{action}\", grace = \"{grace}\" }}", guard.key()));
        } else {
            line(format_args!("{} = \"{action}\"", guard.key()));
        }
    }
    line(format_args!("\n[mark]"));
    line(format_args!("value = {:#x}", mark.value));
    line(format_args!("mask = {:#x}", mark.mask));
    out
}

/// A key, bare where TOML allows it.
fn key(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
