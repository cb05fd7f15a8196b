//! Laying a table of settings over a policy: the same for a file and for `policy set`.

use super::{
    by_name::by_name,
    document::Document,
    fault::{Fault, Located, one_of, quoted},
    fit::Places,
    key::Key,
    keys::{self, LATER},
    profiles::Profile,
    read::text,
    section::{SECTIONS, Section},
    settings::Settings,
    value::{Table, Value},
};

/// The profile that a table starts from, if it names one.
pub(super) fn profile(table: &Table) -> Result<Option<Profile>, Fault> {
    let Some((_, value)) = table.iter().find(|(key, _)| key.value == "profile") else { return Ok(None) };
    let name = text(value, "profile", "a profile's name")?;
    if let Some(profile) = Profile::find(name) {
        return Ok(Some(profile));
    }
    let expected = one_of(Profile::ALL.map(Profile::name));
    Err(value.fault(format!("profile: there is no profile {}; expected {expected}", quoted(name))))
}

/// Lays the table over the policy; its keys `profile` and `scope` are followed elsewhere. Returns where it speaks of
/// what has to fit together.
pub(super) fn apply(document: &mut Document, table: &Table) -> Result<Places, Fault> {
    let mut settings = Settings::default();
    let mut places = Places::default();
    for (key, value) in table {
        match key.value.as_str() {
            "profile" | "scope" => {}
            name if setting(&mut settings, "", key, value)? => places.note(name, value),
            name => {
                let problem = if LATER.contains(&name) {
                    format!("this version does not have [{name}]")
                } else {
                    format!("unknown key {}", quoted(name))
                };
                return Err(key.fault(format!("{problem}; expected {}", of_the_file())));
            }
        }
    }
    settings.lay_over(document);
    Ok(places)
}

/// What may be at the top of a file.
fn of_the_file() -> String {
    let whole = keys::top().filter(|key| key.is_whole()).map(|key| key.path);
    let of_scopes = keys::top().filter(|key| !key.is_whole()).map(|key| key.path);
    let sections: Vec<String> = SECTIONS.iter().map(|section| format!("[{}]", section.name)).collect();
    let keys = ["profile"].into_iter().chain(whole).chain(["[[scope]]"]).chain(of_scopes);
    one_of(keys.chain(sections.iter().map(String::as_str)))
}

/// Keys and sections that a scope may set, too.
pub(super) fn of_scopes() -> impl Iterator<Item = &'static str> {
    let keys = keys::top().filter(|key| !key.is_whole()).map(|key| key.path);
    keys.chain(SECTIONS.iter().map(|section| section.name))
}

/// Sets what a section or a key at the top says; `false` where the key is none of that. `prefix` is what comes before
/// of the key in messages.
pub(super) fn setting(
    settings: &mut Settings,
    prefix: &str,
    key: &Located<String>,
    value: &Located<Value>,
) -> Result<bool, Fault> {
    let name = key.value.as_str();
    if let Some(section) = Section::find(name) {
        match (settings.words_mut(section), &section.names) {
            (Some(words), Some(names)) => *words = by_name(section, names, prefix, value)?,
            _ => section.read(&mut settings.values, prefix, value)?,
        }
    } else if let Some(key) = top(name) {
        settings.values.set(key, key.kind.read(value, &format!("{prefix}{name}"))?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// The key of this name at the top of the file.
pub(super) fn top(name: &str) -> Option<&'static Key> {
    keys::top().find(|key| key.path == name)
}
