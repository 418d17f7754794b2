//! What each kind of statement does by itself.

use kronos_core::inspect::{Effect, Severity};
use sqlparser::ast::{CopyTarget, ObjectType, Set, Statement};

use super::columns::part_name;
use super::dialect::Language;
use super::walk::Walk;
use super::{pragma, rows};

/// Whether a statement only plans the one within it.
pub(super) fn only_plans(statement: &Statement) -> bool {
    match statement {
        Statement::Explain { analyze, options, statement, .. } => {
            // SQLite runs a PRAGMA as it is prepared, whatever stands before it.
            let is_of_rows = matches!(
                statement.as_ref(),
                Statement::Query(_)
                    | Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
                    | Statement::Merge(_)
            );
            let analyzes = options
                .as_ref()
                .is_some_and(|options| options.iter().any(|option| option.name.value.eq_ignore_ascii_case("analyze")));
            is_of_rows && !analyze && !analyzes
        }
        _ => false,
    }
}

/// Whether a statement begins, ends or divides a transaction.
pub(super) fn controls_transaction(statement: &Statement) -> bool {
    match statement {
        Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. }
        | Statement::Set(Set::SetTransaction { .. }) => true,
        Statement::Set(set) => set.to_string().to_lowercase().contains("autocommit"),
        Statement::Explain { statement, .. } | Statement::Prepare { statement, .. } => controls_transaction(statement),
        _ => false,
    }
}

/// Adds what a statement does by itself; what is in it is walked through.
#[allow(clippy::too_many_lines, reason = "one line for each kind")]
pub(super) fn judge(walk: &mut Walk, statement: &Statement) {
    use Severity::{Critical, High, Low, Medium};
    use Statement as S;

    let (severity, effect, text) = match statement {
        S::Query(_)
        | S::Explain { .. }
        | S::ExplainTable { .. }
        | S::ShowFunctions { .. }
        | S::ShowVariable { .. }
        | S::ShowStatus { .. }
        | S::ShowVariables { .. }
        | S::ShowCreate { .. }
        | S::ShowColumns { .. }
        | S::ShowDatabases { .. }
        | S::ShowSchemas { .. }
        | S::ShowCharset(_)
        | S::ShowProcessList { .. }
        | S::ShowTables { .. }
        | S::ShowViews { .. }
        | S::ShowCollation { .. } => return,
        S::Insert(insert) => return rows::insert(walk, insert),
        S::Update(update) => return rows::update(walk, update),
        S::Delete(delete) => return rows::delete(walk, delete),
        S::Merge(merge) => return rows::merge(walk, merge),
        S::Pragma { name, value, .. } if walk.language == Language::Sqlite => {
            let name = name.0.last().map(part_name).unwrap_or_default();
            return pragma::judge(&name, value.is_some(), &mut walk.found);
        }

        S::CreateTable(table) if table.or_replace => {
            (Critical, Effect::Defines, "CREATE OR REPLACE TABLE drops a table")
        }
        S::CreateTable(_) => (Low, Effect::Defines, "CREATE TABLE"),
        S::CreateIndex(_) => (Low, Effect::Defines, "CREATE INDEX"),
        S::CreateSequence { .. } => (Low, Effect::Defines, "CREATE SEQUENCE"),
        S::CreateType { .. } | S::CreateDomain(_) => (Low, Effect::Defines, "CREATE TYPE"),
        S::CreateSchema { or_replace: false, .. } | S::CreateDatabase { or_replace: false, .. } => {
            (Low, Effect::Defines, "CREATE DATABASE or SCHEMA")
        }
        S::CreateSchema { .. } | S::CreateDatabase { .. } => {
            (Critical, Effect::Defines, "CREATE OR REPLACE DATABASE drops a database")
        }
        S::Comment { .. } => (Low, Effect::Defines, "COMMENT"),
        S::CreateView(view) if view.or_replace => {
            (High, Effect::Defines, "CREATE OR REPLACE VIEW replaces a definition")
        }
        S::CreateView(_) => (Medium, Effect::Defines, "CREATE VIEW"),
        S::CreateVirtualTable { .. } => (Medium, Effect::Defines, "CREATE VIRTUAL TABLE runs a module"),
        S::CreateFunction(function) if function.or_replace => {
            (High, Effect::Defines, "CREATE OR REPLACE FUNCTION replaces a definition")
        }
        S::CreateFunction(_) | S::CreateProcedure { .. } => (Medium, Effect::Defines, "CREATE FUNCTION or PROCEDURE"),
        S::CreateTrigger(trigger) if trigger.or_replace => {
            (High, Effect::Defines, "CREATE OR REPLACE TRIGGER replaces a definition")
        }
        S::CreateTrigger(_) => (Medium, Effect::Defines, "CREATE TRIGGER"),
        S::CreateRule(_) => (High, Effect::Defines, "CREATE RULE changes what statements do"),
        S::CreatePolicy(_)
        | S::CreateOperator(_)
        | S::CreateOperatorFamily(_)
        | S::CreateOperatorClass(_)
        | S::CreateAggregate(_)
        | S::CreateTextSearch(_)
        | S::CreateCollation(_) => (Medium, Effect::Defines, "CREATE of something that other statements run"),
        S::CreateExtension(_) => (High, Effect::Administers, "CREATE EXTENSION loads code into the server"),
        S::CreateRole(_) | S::CreateUser(_) => (High, Effect::Administers, "CREATE USER or ROLE"),
        S::CreateServer(_) | S::CreateForeignTable(_) | S::CreateForeignDataWrapper(_) | S::CreateUserMapping(_) => {
            (High, Effect::Administers, "CREATE of something that reaches files or other servers")
        }

        S::AlterRole { .. } | S::AlterUser(_) => (High, Effect::Administers, "ALTER USER or ROLE"),
        S::AlterTable(_)
        | S::AlterSchema(_)
        | S::AlterIndex { .. }
        | S::AlterView(_)
        | S::AlterFunction(_)
        | S::AlterType(_)
        | S::AlterCollation(_)
        | S::AlterOperator(_)
        | S::AlterOperatorFamily(_)
        | S::AlterOperatorClass(_)
        | S::AlterTextSearch(_)
        | S::AlterPolicy(_)
        | S::AlterTrigger(_) => (High, Effect::Defines, "ALTER changes a definition"),
        S::AlterDefaultPrivileges(_) => (High, Effect::Administers, "ALTER DEFAULT PRIVILEGES changes rights"),
        S::RenameTable(_) => (High, Effect::Defines, "RENAME changes a definition"),
        S::Grant(_) | S::GrantRole(_) => (High, Effect::Administers, "GRANT changes rights"),
        S::Revoke(_) | S::RevokeRole(_) | S::Deny(_) => (High, Effect::Administers, "REVOKE changes rights"),

        S::Drop { object_type: ObjectType::Role | ObjectType::User | ObjectType::Group, .. } => {
            (Critical, Effect::Administers, "DROP USER or ROLE")
        }
        S::Drop { object_type: ObjectType::Database | ObjectType::Schema, .. } => {
            (Critical, Effect::Defines, "DROP DATABASE or SCHEMA")
        }
        S::Drop { .. }
        | S::DropFunction(_)
        | S::DropDomain(_)
        | S::DropProcedure { .. }
        | S::DropPolicy(_)
        | S::DropRule(_)
        | S::DropTrigger(_)
        | S::DropExtension(_)
        | S::DropOperator(_)
        | S::DropOperatorFamily(_)
        | S::DropOperatorClass(_) => (Critical, Effect::Defines, "DROP"),
        S::Truncate(_) => (Critical, Effect::Writes, "TRUNCATE empties tables"),
        S::Copy { target: CopyTarget::Program { .. }, .. } => {
            (Critical, Effect::Administers, "COPY runs a program on the server")
        }
        S::Copy { target: CopyTarget::File { .. }, .. } => {
            (Critical, Effect::Administers, "COPY reads or writes a file of the server")
        }
        // What goes over the connection is not of the protocol that statements are run by.
        S::Copy { to: true, .. } => (High, Effect::Session, "COPY TO STDOUT is not a query"),
        S::Copy { .. } => (High, Effect::Writes, "COPY FROM STDIN is not a query"),
        S::LoadData { .. } => (Critical, Effect::Administers, "LOAD DATA reads a file"),
        S::AttachDatabase { .. } | S::AttachDuckDBDatabase { .. } => {
            (Critical, Effect::Administers, "ATTACH opens, or makes, another file")
        }
        S::DetachDuckDBDatabase { .. } => (Medium, Effect::Session, "DETACH"),
        S::Kill { .. } => (Critical, Effect::Administers, "KILL ends another session"),
        S::Load { .. } | S::Install { .. } => (Critical, Effect::Administers, "LOAD loads code into the server"),
        S::Flush { .. } => (High, Effect::Administers, "FLUSH commands the server"),

        S::Set(set) => return settings(walk, set),
        S::Reset(_) => (Medium, Effect::Session, "RESET changes settings of the session"),
        S::Use(_) => (Medium, Effect::Session, "USE changes the database of the session"),
        S::Discard { .. } => (Medium, Effect::Session, "DISCARD changes the session"),
        S::StartTransaction { .. }
        | S::Commit { .. }
        | S::Rollback { .. }
        | S::Savepoint { .. }
        | S::ReleaseSavepoint { .. } => (Medium, Effect::Session, "it begins, ends or divides a transaction"),
        S::Prepare { .. } => (Medium, Effect::Session, "PREPARE keeps a statement in the session"),
        S::Deallocate { .. } => (Medium, Effect::Session, "DEALLOCATE changes the session"),
        S::Execute { .. } => (Medium, Effect::Unknown, "EXECUTE runs what is not seen here"),
        S::Call(_) => (Medium, Effect::Unknown, "CALL runs what is not seen here"),
        S::Declare { .. } | S::Fetch { .. } | S::Close { .. } | S::Open(_) => {
            (Medium, Effect::Session, "it uses a cursor")
        }
        S::LISTEN { .. } | S::UNLISTEN { .. } | S::NOTIFY { .. } => (Medium, Effect::Session, "it signals, or listens"),
        S::Lock(_) | S::LockTables { .. } | S::UnlockTables => (Medium, Effect::Session, "it locks tables"),
        S::Analyze(_) => (Medium, Effect::Writes, "ANALYZE writes statistics"),
        S::Vacuum(_) => (Medium, Effect::Writes, "VACUUM rewrites tables"),
        S::RefreshMaterializedView(_) => (Medium, Effect::Writes, "REFRESH writes a view"),
        _ => return walk.found.not_understood("this kind of statement is not known"),
    };
    walk.found.add(severity, effect, text);
}

fn settings(walk: &mut Walk, set: &Set) {
    let text = set.to_string().to_lowercase();
    // A setting of the whole server outlives the session.
    let is_of_server = walk.language == Language::MySql
        && ["global ", "persist ", "persist_only ", "@@global", "@@persist", "password"]
            .iter()
            .any(|part| text.contains(part));
    match set {
        _ if is_of_server => walk.found.add(Severity::High, Effect::Administers, "SET changes a setting of the server"),
        Set::SetRole { .. } | Set::SetSessionAuthorization(_) => {
            walk.found.add(Severity::High, Effect::Session, "SET changes who the session is");
        }
        _ => walk.found.add(Severity::Medium, Effect::Session, "SET changes settings of the session"),
    }
}
