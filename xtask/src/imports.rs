//! `cargo xtask ci` checks that no two files of the datapath import each other, directly or through others: a reader can
//! start at the bottom, and a rule can be understood without what is built on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

/// Modules by their path below the crate's root.
type Modules = BTreeMap<Vec<String>, syn::File>;

/// Checks the crate whose source is in this folder.
pub fn check(source: &Path) -> Result<()> {
    let mut modules = Modules::new();
    collect(source, &mut Vec::new(), &mut modules)?;
    let imports: BTreeMap<_, _> =
        modules.iter().map(|(module, file)| (module, imports(module, file, &modules))).collect();
    let mut done = BTreeSet::new();
    for module in modules.keys() {
        if let Some(circle) = circle(module, &imports, &mut Vec::new(), &mut done) {
            let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
            bail!("{}: these files import each other in a circle: {}", source.display(), names.join(" -> "));
        }
    }
    Ok(())
}

fn collect(folder: &Path, module: &mut Vec<String>, modules: &mut Modules) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("look into {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            module.push(name);
            collect(&path, module, modules)?;
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "lib" {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let file = syn::parse_file(&text).with_context(|| format!("parse {}", path.display()))?;
            let own = if name == "mod" { module.clone() } else { [module.as_slice(), &[name]].concat() };
            modules.insert(own, file);
        }
    }
    Ok(())
}

/// The modules whose items a module names: in `use`, or by a path from the crate's root.
fn imports(module: &[String], file: &syn::File, modules: &Modules) -> BTreeSet<Vec<String>> {
    let named = names(file).paths.into_iter().filter_map(|path| absolute(module, path, modules));
    named.filter_map(|path| home(path, modules)).filter(|other| other != module).collect()
}

/// The module that an item comes from: not one that only hands it on.
fn home(path: Vec<String>, modules: &Modules) -> Option<Vec<String>> {
    let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = path[..length].to_vec();
    let Some(item) = path.get(length) else { return Some(module) };
    let handed_on = names(&modules[&module]).handed_on.into_iter().find(|path| path.last() == Some(item));
    match handed_on.and_then(|path| absolute(&module, path, modules)) {
        Some(path) => home(path, modules),
        None => Some(module),
    }
}

fn names(file: &syn::File) -> Names {
    let mut names = Names::default();
    names.visit_file(file);
    names
}

fn absolute(module: &[String], path: Vec<String>, modules: &Modules) -> Option<Vec<String>> {
    let (mut base, mut rest) = (module.to_vec(), path.as_slice());
    match path.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while let Some((_, others)) = rest.split_first().filter(|(first, _)| *first == "super") {
                base.pop();
                rest = others;
            }
        }
        first if modules.contains_key([module, &[first.to_owned()]].concat().as_slice()) => {}
        _ => return None,
    }
    Some([base.as_slice(), rest].concat())
}

/// The first circle that is reached from a module.
fn circle<'a>(
    module: &'a Vec<String>,
    imports: &'a BTreeMap<&'a Vec<String>, BTreeSet<Vec<String>>>,
    way: &mut Vec<&'a Vec<String>>,
    done: &mut BTreeSet<&'a Vec<String>>,
) -> Option<Vec<&'a Vec<String>>> {
    if let Some(begin) = way.iter().position(|before| *before == module) {
        return Some(way[begin..].iter().copied().chain([module]).collect());
    }
    if !done.insert(module) {
        return None;
    }
    way.push(module);
    let found = imports.get(module)?.iter().find_map(|other| circle(other, imports, way, done));
    way.pop();
    found
}

/// Paths in a file, without those of tests and of user space.
#[derive(Default)]
struct Names {
    /// Those that it uses.
    paths: Vec<Vec<String>>,
    /// Those that it hands on, by `pub use`.
    handed_on: Vec<Vec<String>>,
}

impl Names {
    fn tree(tree: &UseTree, before: &[String], paths: &mut Vec<Vec<String>>) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => Self::tree(&path.tree, &with(&path.ident), paths),
            // `self` in braces is what comes before it.
            UseTree::Name(name) if name.ident == "self" => paths.push(before.to_vec()),
            UseTree::Name(name) => paths.push(with(&name.ident)),
            UseTree::Rename(rename) if rename.ident == "self" => paths.push(before.to_vec()),
            UseTree::Rename(rename) => paths.push(with(&rename.ident)),
            UseTree::Glob(_) => paths.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| Self::tree(tree, before, paths)),
        }
    }
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes: &[Attribute] = match item {
            Item::Use(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let hands_on = !matches!(item.vis, syn::Visibility::Inherited);
        Self::tree(&item.tree, &[], if hands_on { &mut self.handed_on } else { &mut self.paths });
    }

    fn visit_visibility(&mut self, _: &'a syn::Visibility) {
        // The path in `pub(super)` is no import.
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if ["crate", "super"].contains(&names[0].as_str()) {
            self.paths.push(names);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a crate of these files.
    fn checked(name: &str, files: &[(&str, &str)]) -> Result<()> {
        let folder = std::env::temp_dir().join(format!("smtp-filter-imports-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let result = check(&folder);
        fs::remove_dir_all(folder).unwrap();
        result
    }

    #[test]
    fn a_circle_is_found_whatever_it_leads_through() {
        let files = [
            ("lib.rs", "pub mod a; pub mod b; pub mod c;"),
            ("a.rs", "use crate::b::{self as other, B};"),
            ("b.rs", "use super::c::D;"),
            ("c/mod.rs", "mod d; mod e; pub use self::d::D;"),
            ("c/d.rs", "struct D(crate::a::A);"),
            ("c/e.rs", "use super::D;"),
        ];
        let error = checked("circle", &files).unwrap_err().to_string();
        assert!(error.ends_with("in a circle: a -> b -> c::d -> a"), "{error}");
    }

    #[test]
    fn what_hands_on_what_tests_and_who_may_see_an_item_are_no_imports() {
        let files = [
            ("a.rs", "pub(super) struct A; #[cfg(test)] mod tests { use crate::c::d::D; }"),
            ("c/mod.rs", "mod d; mod e; pub use self::{d::D, e::E};"),
            ("c/d.rs", "use crate::{a, c::E};"),
            ("c/e.rs", "pub(in crate::c) struct E;"),
        ];
        checked("none", &files).unwrap();
    }
}
