//! What SQLite itself refuses in a session that only reads.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Pragmas that only read when they are given no value.
const READ: [&str; 27] = [
    "application_id",
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "default_cache_size",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "journal_mode",
    "journal_size_limit",
    "locking_mode",
    "max_page_count",
    "module_list",
    "page_count",
    "page_size",
    "pragma_list",
    "query_only",
    "schema_version",
    "secure_delete",
    "synchronous",
    "table_list",
    "user_version",
];

/// Pragmas whose value says what to read of.
const READ_OF: [&str; 10] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Judges each thing that a statement would do, as SQLite compiles it. `VACUUM INTO` needs `ATTACH`.
pub(super) fn reading(context: AuthContext<'_>) -> Authorization {
    let allowed = match context.action {
        // Transactions are ours: a statement of the caller that begins or ends one is refused before.
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Pragma { pragma_name, pragma_value: None } => {
            READ.iter().chain(&READ_OF).any(|name| name.eq_ignore_ascii_case(pragma_name))
        }
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
            READ_OF.iter().any(|name| name.eq_ignore_ascii_case(pragma_name))
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}
