//! Finds secrets that stand in a file as they are: each is warned of, and so is a file that has such
//! and can be read by others.

use std::collections::BTreeSet;
use std::path::Path;

use super::origin::Layer;
use super::problems::Context;
use super::schema::{Kind, Table};
use super::storages;
use super::tree::{Node, Spelling, Value, path};

/// Warns of them.
pub(super) fn warn(context: &Context<'_>, layers: &[Layer], tree: &Node, top: &'static Table) {
    let mut found = BTreeSet::new();
    table(context, &mut found, "", tree, top);
    for file in found.into_iter().filter_map(|layer| layers.get(layer)?.file()) {
        if others_can_read(file) {
            context.warn(format!("{} holds a secret and others can read it: chmod 600", file.display()));
        }
    }
}

/// The layers that hold such are added to `found`.
fn table(context: &Context<'_>, found: &mut BTreeSet<usize>, key: &str, node: &Node, described: &'static Table) {
    let Value::Table(entries) = &node.value else { return };
    for entry in entries {
        let whole = path(key, &entry.name);
        let Some((known, ending)) = described.find(&entry.name) else { continue };
        match (&known.kind, &entry.node.value) {
            (Kind::Secret, value) if ending.is_empty() && is_plain(value) && is_secret(known.name) => {
                let name = known.name;
                context.warn(format!(
                    "{key}: use {name}_env, {name}_file or {name}_command instead of {name} in the file"
                ));
                found.insert(entry.node.at.layer);
            }
            (Kind::Text, Value::Text { text, spelling: Spelling::Plain }) => {
                let Some(instead) = in_url(text) else { continue };
                context.warn(format!("{whole}: use {instead}_env or {instead}_file instead of a secret in the URL"));
                found.insert(entry.node.at.layer);
            }
            (Kind::Settings { secret: true }, Value::Table(settings)) => {
                for setting in settings.iter().filter(|setting| is_plain(&setting.node.value)) {
                    let key = path(&whole, &setting.name);
                    context.warn(format!("{key}: put what is secret into a variable, and write ${{NAME}} here"));
                    found.insert(setting.node.at.layer);
                }
            }
            (Kind::Table(inner), _) => table(context, found, &whole, &entry.node, inner),
            (Kind::Named(inner), Value::Table(named)) => {
                for one in named {
                    table(context, found, &path(&whole, &one.name), &one.node, inner);
                }
            }
            _ => {}
        }
    }
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Text { spelling: Spelling::Plain, .. })
}

/// The id of a key is no secret, although it comes from where secrets do.
fn is_secret(name: &str) -> bool {
    name != "access_key_id"
}

/// The option that would keep a secret out of a URL, if there is one in it.
fn in_url(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next().unwrap_or(place);
    if authority.rsplit_once('@').is_some_and(|(login, _)| login.contains(':')) {
        return Some("password");
    }
    let names = query.split('&').filter_map(|pair| pair.split('=').next());
    let is_found = |name: &&str| {
        let found = storages::TABLE.find(name);
        found.is_some_and(|(key, ending)| matches!(key.kind, Kind::Secret) && ending.is_empty() && is_secret(key.name))
    };
    names.into_iter().find(is_found)
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}
