//! PostgreSQL's own functions that are known.

use super::{Known, Names};

pub(super) const KNOWN: Known = Known {
    reading: READING,
    session: SESSION,
    writing: WRITING,
    running: RUNNING,
    server: SERVER,
    server_families: &[
        "dblink",
        "pg_file_",
        "pg_logical_",
        "pg_ls_",
        "pg_read_",
        "pg_replication_",
        "pg_stat_reset",
        "pg_wal_replay_",
    ],
};

const READING: Names = "
    array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg json_object_agg jsonb_agg
    jsonb_object_agg max min range_agg string_agg sum corr covar_pop covar_samp regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp variance var_pop
    var_samp mode percentile_cont percentile_disc any_value
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping
    abs cbrt ceil ceiling degrees div erf exp factorial floor gcd lcm ln log log10 min_scale mod pi power radians
    random round scale sign sqrt trim_scale trunc width_bucket acos acosd asin asind atan atand atan2 atan2d cos
    cosd cot cotd sin sind tan tand sinh cosh tanh asinh acosh atanh
    ascii bit_count bit_length btrim char_length character_length chr concat concat_ws convert_from convert_to
    decode encode format get_bit get_byte initcap left length lower lpad ltrim md5 normalize octet_length overlay
    parse_ident position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat
    replace reverse right rpad rtrim set_bit set_byte sha224 sha256 sha384 sha512 split_part starts_with
    string_to_array string_to_table strpos substr substring textlen to_ascii to_bin to_hex to_oct translate trim
    unistr upper
    age clock_timestamp current_date current_time current_timestamp date_add date_bin date_part date_subtract
    date_trunc extract isfinite justify_days justify_hours justify_interval localtime localtimestamp make_date
    make_interval make_time make_timestamp make_timestamptz now statement_timestamp timeofday timezone
    transaction_timestamp to_char to_date to_number to_timestamp
    coalesce nullif greatest least num_nonnulls num_nulls
    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
    array_positions array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array
    unnest generate_series generate_subscripts row array
    lower_inc lower_inf upper_inc upper_inf isempty range_merge int4range int8range numrange tsrange tstzrange
    daterange int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange multirange
    to_json to_jsonb array_to_json row_to_json json_array_elements json_array_elements_text json_array_length
    json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text
    json_object json_object_keys json_strip_nulls json_typeof jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_match
    jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax
    jsonb_strip_nulls jsonb_typeof json_exists json_query json_value json_scalar json_serialize json_array
    to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline
    setweight strip numnode querytree tsvector_to_array
    abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen
    area center diagonal diameter height isclosed isopen npoints pclose popen radius slope width box circle line
    lseg path point polygon
    gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp uuid_extract_version
    current_catalog current_database current_query current_role current_schema current_schemas current_setting
    current_user inet_client_addr inet_client_port inet_server_addr inet_server_port pg_backend_pid
    pg_conf_load_time pg_is_in_recovery pg_is_other_temp_schema pg_jit_available pg_my_temp_schema
    pg_postmaster_start_time pg_trigger_depth session_user system_user user version pg_typeof
    has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
    has_function_privilege has_language_privilege has_parameter_privilege has_schema_privilege
    has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege
    pg_has_role row_security_active acldefault aclexplode makeaclitem
    pg_collation_is_visible pg_function_is_visible pg_opclass_is_visible pg_operator_is_visible
    pg_table_is_visible pg_type_is_visible format_type pg_char_to_encoding pg_encoding_to_char
    pg_get_constraintdef pg_get_expr pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_partkeydef pg_get_ruledef
    pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid pg_get_viewdef
    pg_index_column_has_property pg_index_has_property pg_indexam_has_property pg_options_to_table
    pg_tablespace_databases pg_tablespace_location to_regclass to_regcollation to_regnamespace to_regoper
    to_regoperator to_regproc to_regprocedure to_regrole to_regtype col_description obj_description
    shobj_description pg_column_compression pg_column_size pg_database_size pg_indexes_size pg_relation_size
    pg_size_bytes pg_size_pretty pg_table_size pg_tablespace_size pg_total_relation_size pg_relation_filenode
    pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_is_wal_replay_paused pg_wal_lsn_diff
    pg_partition_ancestors pg_partition_root pg_partition_tree pg_sequence_parameters pg_sequence_last_value
    currval lastval txid_current_if_assigned pg_current_xact_id_if_assigned pg_current_snapshot
    pg_stat_get_activity pg_timezone_names pg_timezone_abbrevs pg_show_all_settings
";

const SESSION: Names = "
    pg_sleep pg_sleep_for pg_sleep_until set_config setseed pg_export_snapshot pg_advisory_lock
    pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
    pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_notify txid_current pg_current_xact_id
";

const WRITING: Names = "
    nextval setval lo_create lo_creat lo_from_bytea lo_put lo_open lowrite lo_truncate lo_truncate64
";

/// They run text as a statement.
const RUNNING: Names = "
    query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_stat
    ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table
";

const SERVER: Names = "
    lo_export lo_import lo_unlink pg_stat_file pg_current_logfile pg_terminate_backend pg_cancel_backend
    pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal pg_switch_xlog
    pg_create_restore_point pg_start_backup pg_stop_backup pg_backup_start pg_backup_stop
    pg_create_logical_replication_slot pg_create_physical_replication_slot pg_copy_logical_replication_slot
    pg_copy_physical_replication_slot pg_drop_replication_slot pg_sync_replication_slots
    pg_import_system_collations pg_log_backend_memory_contexts pg_log_standby_snapshot pg_hba_file_rules
    pg_ident_file_mappings pg_show_all_file_settings
    sys_eval sys_exec
";

/// Views of the catalog that read files of the server.
pub(super) const FILES: Names = "pg_file_settings pg_hba_file_rules pg_ident_file_mappings";

/// Types whose values are read and written by PostgreSQL itself.
pub(super) const TYPES: Names = "
    int2 int4 int8 smallint integer int bigint serial bigserial oid xid xid8 cid tid float4 float8 real double
    numeric decimal dec money bool boolean text varchar bpchar char character name bytea bit varbit
    date time timetz timestamp timestamptz interval json jsonb jsonpath xml uuid inet cidr macaddr macaddr8 point
    line lseg box path polygon circle tsvector tsquery int4range int8range numrange tsrange tstzrange daterange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange regclass regcollation
    regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype pg_lsn
    pg_snapshot txid_snapshot int2vector oidvector aclitem refcursor
";
