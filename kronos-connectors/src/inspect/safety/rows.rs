//! Statements that change rows: which rows.

use kronos_core::inspect::{Effect, Severity};
use sqlparser::ast::{
    Delete, Expr, FromTable, Insert, Merge, MergeAction, MergeClauseKind, TableFactor, TableObject, TableWithJoins,
    Update, UpdateTableFromKind,
};

use super::columns::{lower, part_name};
use super::found::shown;
use super::restrict::{Condition, Tables, Truth};
use super::walk::Walk;

pub(super) fn insert(walk: &mut Walk, insert: &Insert) {
    let is_foreign = insert.overwrite
        || insert.output.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some()
        || !matches!(insert.table, TableObject::TableName(_));
    if is_foreign {
        walk.found.not_understood("a part of INSERT is of another language");
    }
    if walk.runs() {
        let word = if insert.replace_into { "REPLACE" } else { "INSERT" };
        walk.found.add(
            Severity::Low,
            Effect::Writes,
            format!("{word} writes rows of {}", shown(&insert.table.to_string())),
        );
    }
}

pub(super) fn update(walk: &mut Walk, update: &Update) {
    if update.output.is_some() || update.settings.is_some() {
        walk.found.not_understood("a part of UPDATE is of another language");
    }
    let mut tables = Tables::default();
    changed(&update.table, &mut tables);
    match &update.from {
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => beside(from, &mut tables),
        None => {}
    }
    let name = shown(&update.table.relation.to_string());
    judge(walk, "UPDATE", &name, update.selection.as_ref(), &tables);
}

pub(super) fn delete(walk: &mut Walk, delete: &Delete) {
    if delete.output.is_some() || delete.settings.is_some() || delete.on_cluster.is_some() {
        walk.found.not_understood("a part of DELETE is of another language");
    }
    let mut tables = Tables::default();
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    for table in from {
        changed(table, &mut tables);
    }
    for name in &delete.tables {
        tables.changed.extend(name.0.last().map(part_name));
    }
    if let Some(using) = &delete.using {
        beside(using, &mut tables);
    }
    let name = from.first().map(|table| shown(&table.relation.to_string())).unwrap_or_default();
    judge(walk, "DELETE", &name, delete.selection.as_ref(), &tables);
}

pub(super) fn merge(walk: &mut Walk, merge: &Merge) {
    if merge.output.is_some() {
        // PostgreSQL's RETURNING may be read as such.
        walk.found.effect(Effect::Writes);
    }
    let mut tables = Tables::default();
    names(&merge.table, &mut tables.changed);
    names(&merge.source, &mut tables.beside);
    let name = shown(&merge.table.to_string());
    judge(walk, "MERGE", &name, Some(&merge.on), &tables);
    for clause in &merge.clauses {
        let is_of_others = clause.clause_kind == MergeClauseKind::NotMatchedBySource;
        let changes = matches!(clause.action, MergeAction::Update(_) | MergeAction::Delete { .. });
        if is_of_others && changes {
            judge(walk, "MERGE BY SOURCE", &name, clause.predicate.as_ref(), &tables);
        }
    }
}

fn judge(walk: &mut Walk, word: &str, name: &str, selection: Option<&Expr>, tables: &Tables) {
    if !walk.runs() {
        return;
    }
    let condition = Condition { language: walk.language, tables };
    let (severity, text) = match selection.map(|selection| condition.of(selection)) {
        None => (Severity::High, format!("{word} without WHERE changes every row of {name}")),
        Some(Truth::Every) => (Severity::High, format!("{word} with a WHERE that leaves in every row of {name}")),
        Some(Truth::Most) => (Severity::Medium, format!("{word} with a WHERE that may leave in every row of {name}")),
        Some(Truth::Some | Truth::No) => (Severity::Low, format!("{word} changes rows of {name}")),
    };
    walk.found.add(severity, Effect::Writes, text);
}

fn changed(table: &TableWithJoins, tables: &mut Tables) {
    names(&table.relation, &mut tables.changed);
    for join in &table.joins {
        names(&join.relation, &mut tables.changed);
    }
}

fn beside(from: &[TableWithJoins], tables: &mut Tables) {
    for table in from {
        names(&table.relation, &mut tables.beside);
        for join in &table.joins {
            names(&join.relation, &mut tables.beside);
        }
    }
    // A table may stand beside itself.
    let changed = &tables.changed;
    tables.beside.retain(|name| !changed.contains(name));
}

/// The names that columns may have before them.
fn names(factor: &TableFactor, into: &mut std::collections::HashSet<String>) {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            into.extend(name.0.last().map(part_name));
            into.extend(alias.as_ref().map(|alias| lower(&alias.name)));
        }
        TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => {
            into.insert(lower(&alias.name));
        }
        _ => {}
    }
}
