//! SQLite's functions that are known.

use super::{Known, Names};

pub(super) const KNOWN: Known =
    Known { reading: READING, session: "", writing: "", running: "eval", server: SERVER, server_families: &["vfs_"] };

const READING: Names = "
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like
    likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim
    sign soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_source_id sqlite_version substr
    substring total_changes trim typeof unhex unicode unistr unistr_quote unlikely upper zeroblob
    avg count group_concat median percentile percentile_cont percentile_disc string_agg sum total
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch cast
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow
    power radians sin sinh sqrt tan tanh trunc
    json json_array json_array_insert json_array_length json_error_position json_extract json_group_array
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set
    json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object
    jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set json_each json_tree jsonb_each
    jsonb_tree generate_series bm25 highlight snippet matchinfo offsets
    pragma_application_id pragma_collation_list pragma_compile_options pragma_data_version pragma_database_list
    pragma_encoding pragma_foreign_key_check pragma_foreign_key_list pragma_freelist_count pragma_function_list
    pragma_index_info pragma_index_list pragma_index_xinfo pragma_integrity_check pragma_module_list
    pragma_page_count pragma_page_size pragma_pragma_list pragma_quick_check pragma_schema_version
    pragma_table_info pragma_table_list pragma_table_xinfo pragma_user_version
";

const SERVER: Names = "
    load_extension readfile writefile edit lsmode lsdir fsdir fts3_tokenizer fts5_decode sqlite_dbpage zipfile
    shell_add_schema csv csvtable
";
