//! Actions by name: `[commands]` and `[extensions]`.

use super::{
    document::WordName,
    fault::{Fault, Located, quoted},
    read::action,
    section::{Names, Section, table},
    settings::Words,
    value::Value,
};

/// The settings of a section whose words the policy names. `prefix` is what comes before its key in messages.
pub(super) fn by_name(section: &Section, names: &Names, prefix: &str, value: &Located<Value>) -> Result<Words, Fault> {
    let Names { expected, most, .. } = names;
    let noun = section.noun;
    let section_name = format!("{prefix}{}", section.name);
    let entries = table(value, &section_name, &section.expected())?;
    let mut words = Words::default();
    for (key, value) in entries {
        let name = format!("{section_name}.{}", key.value.escape_debug());
        let action = action(value, &name, section.legal(&key.value))?;
        let twice = if key.value.eq_ignore_ascii_case("other") {
            words.other.replace(action).is_some()
        } else {
            let entry = WordName::new(&key.value).filter(|entry| section.takes(entry.as_str())).ok_or_else(|| {
                key.fault(format!("{section_name}: {} is no {noun}; expected {expected}", quoted(&key.value)))
            })?;
            words.named.insert(entry, action).is_some()
        };
        if twice {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each {noun} once")));
        }
        if words.named.len() > *most {
            return Err(key.fault(format!("{name}: the {noun} after the {most}th; expected at most {most}")));
        }
    }
    Ok(words)
}
