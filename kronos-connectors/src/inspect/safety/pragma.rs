//! SQLite's PRAGMA: which only reads.

use kronos_core::inspect::{Effect, Severity};

use super::found::Found;

/// They read whatever their argument is.
const READING: &str = "
    collation_list compile_options data_version database_list foreign_key_check foreign_key_list freelist_count
    function_list index_info index_list index_xinfo integrity_check module_list page_count pragma_list quick_check
    stats table_info table_list table_xinfo
";

/// They read without a value, and set with one.
const ASKING: &str = "
    analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill
    cell_size_check checkpoint_fullfsync defer_foreign_keys encoding foreign_keys fullfsync
    hard_heap_limit ignore_check_constraints journal_mode journal_size_limit legacy_alter_table locking_mode
    max_page_count mmap_size page_size query_only read_uncommitted recursive_triggers reverse_unordered_selects
    schema_version secure_delete soft_heap_limit synchronous temp_store threads trusted_schema user_version
    wal_autocheckpoint
";

/// Says of a PRAGMA, by its name in lower case, what it does.
pub(super) fn judge(name: &str, has_value: bool, found: &mut Found) {
    let is_in = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    if !is_in(READING) && (has_value || !is_in(ASKING)) {
        found.add(Severity::Medium, Effect::Session, "PRAGMA sets something, or is not known to only read");
    }
}
