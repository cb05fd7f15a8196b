//! Scopes from text: the tables `[[scope]]` of a file.

use std::{collections::HashSet, ops::Range};

use super::{
    assign::{of_scopes, setting, top},
    fault::{Fault, Located, one_of, quoted},
    fit::Places,
    key::Key,
    prefix::prefixes,
    read::text,
    scope::{SCOPE_NAME, Scope, ScopeName},
    section::{of_the_whole, table},
    settings::Settings,
    value::Value,
};

/// Where a text speaks of a scope.
#[derive(Default)]
pub(super) struct ScopePlaces<'t> {
    pub sections: Places,
    pub clients: Option<&'t Located<Value>>,
    pub servers: Option<&'t Located<Value>>,
}

impl ScopePlaces<'_> {
    /// The bytes of the scope; none where the text does not speak of it.
    pub fn span(&self) -> Range<usize> {
        self.sections.all.clone().unwrap_or_default()
    }
}

/// The scopes of a file, and the position of each.
pub(super) fn read(value: &Located<Value>) -> Result<(Vec<Scope>, Vec<ScopePlaces<'_>>), Fault> {
    let Value::List(items) = &value.value else {
        return Err(value.fault(format!("scope: expected tables [[scope]], found {}", value.value.kind())));
    };
    let mut names = HashSet::new();
    let (mut scopes, mut places) = (Vec::new(), Vec::new());
    for item in items {
        let entries = table(item, "scope", "a table")?;
        let Some((_, name)) = entries.iter().find(|(key, _)| key.value == "name") else {
            return Err(item.fault("scope: it has no name; expected name = \"...\", by which events name it"));
        };
        let mut scope = Scope::new(scope_name(name)?);
        if !names.insert(scope.name.clone()) {
            let problem = format!("scope.{}: another scope has this name; expected each name once", scope.name);
            return Err(name.fault(problem));
        }
        let mut place = ScopePlaces { sections: Places::within(item), ..ScopePlaces::default() };
        for (key, value) in entries.iter().filter(|(key, _)| key.value != "name") {
            entry(&mut scope, &mut place, key, value)?;
        }
        scopes.push(scope);
        places.push(place);
    }
    Ok((scopes, places))
}

fn scope_name(value: &Located<Value>) -> Result<ScopeName, Fault> {
    let expected = format!("1 to {SCOPE_NAME} letters, digits, `-` and `_`");
    let name = text(value, "scope.name", &format!("a name of {expected}"))?;
    ScopeName::new(name)
        .ok_or_else(|| value.fault(format!("scope.name: {} is no name of a scope; expected {expected}", quoted(name))))
}

/// Follows one key of a scope.
pub(super) fn entry<'t>(
    scope: &mut Scope,
    places: &mut ScopePlaces<'t>,
    key: &Located<String>,
    value: &'t Located<Value>,
) -> Result<(), Fault> {
    let name = format!("scope.{}", scope.name);
    match key.value.as_str() {
        "clients" => {
            scope.clients = Some(prefixes(value, &format!("{name}.clients"))?);
            places.clients = Some(value);
        }
        "servers" => {
            scope.servers = Some(prefixes(value, &format!("{name}.servers"))?);
            places.servers = Some(value);
        }
        whole if whole == "profile" || top(whole).is_some_and(Key::is_whole) => {
            return Err(key.fault(of_the_whole(&name, whole)));
        }
        section => {
            let mut settings = Settings::default();
            if !setting(&mut settings, &format!("{name}."), key, value)? {
                let expected = one_of(["name", "clients", "servers"].into_iter().chain(of_scopes()));
                return Err(key.fault(format!("{name}: unknown key {}; expected {expected}", quoted(section))));
            }
            scope.settings.add(settings);
            places.sections.note(section, value);
        }
    }
    Ok(())
}
