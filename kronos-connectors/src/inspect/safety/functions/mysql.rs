//! The functions of MySQL and MariaDB that are known.

use super::{Known, Names};

pub(super) const KNOWN: Known =
    Known { reading: READING, session: SESSION, writing: WRITING, running: "", server: SERVER, server_families: &[] };

const READING: Names = "
    avg bit_and bit_or bit_xor count group_concat json_arrayagg json_objectagg max min std stddev stddev_pop
    stddev_samp sum var_pop var_samp variance any_value median percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping
    abs acos asin atan atan2 ceil ceiling conv cos cot crc32 crc32c degrees exp floor format ln log log10 log2
    mod oct pi pow power radians rand round sign sin sqrt tan truncate hex unhex
    ascii bin bit_count bit_length char char_length character_length chr concat concat_ws elt export_set field
    find_in_set from_base64 insert instr lcase left length lengthb locate lower lpad ltrim make_set mid
    natural_sort_key octet_length ord position quote repeat replace reverse right rpad rtrim sformat soundex space
    strcmp substr substring substring_index to_base64 trim ucase upper weight_string regexp_instr regexp_like
    regexp_replace regexp_substr
    adddate addtime convert_tz curdate current_date current_time current_timestamp curtime date date_add
    date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear extract from_days from_unixtime
    get_format hour last_day localtime localtimestamp makedate maketime microsecond minute month monthname now
    period_add period_diff quarter sec_to_time second str_to_date subdate subtime sysdate time time_format
    time_to_sec timediff timestamp timestampadd timestampdiff to_char to_date to_days to_seconds unix_timestamp
    utc_date utc_time utc_timestamp week weekday weekofyear year yearweek add_months
    coalesce greatest if ifnull interval isnull least nullif nvl nvl2 decode
    cast convert binary values value
    json_array json_array_append json_array_insert json_array_intersect json_compact json_contains
    json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_keys
    json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object
    json_overlaps json_pretty json_query json_quote json_remove json_replace json_schema_valid
    json_schema_validation_report json_search json_set json_storage_free json_storage_size json_table json_type
    json_unquote json_valid json_value
    md5 sha sha1 sha2 compress uncompress uncompressed_length aes_decrypt aes_encrypt random_bytes
    charset coercibility collation connection_id current_role current_user database found_rows row_count schema
    session_user system_user user version
    bin_to_uuid uuid uuid_to_bin uuid_short is_uuid sys_guid inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4
    is_ipv4_compat is_ipv4_mapped is_ipv6 format_bytes format_pico_time ps_current_thread_id ps_thread_id
    is_free_lock is_used_lock extractvalue updatexml name_const lastval gtid_subset gtid_subtract
    st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains st_convexhull
    st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope
    st_equals st_exteriorring st_geohash st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext
    st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid
    st_latitude st_length st_longitude st_makeenvelope st_numgeometries st_numinteriorring st_numpoints
    st_overlaps st_pointn st_simplify st_srid st_startpoint st_symdifference st_touches st_union st_validate
    st_within st_x st_y point linestring polygon multipoint multilinestring multipolygon geometrycollection
";

const SESSION: Names = "
    sleep benchmark get_lock release_lock release_all_locks master_pos_wait source_pos_wait master_gtid_wait
    wait_for_executed_gtid_set wait_until_sql_thread_after_gtids last_insert_id
";

const WRITING: Names = "nextval setval";

const SERVER: Names = "
    load_file sys_eval sys_exec sys_get sys_set asynchronous_connection_failover_add_source
    asynchronous_connection_failover_delete_source asynchronous_connection_failover_reset
    group_replication_set_as_primary group_replication_switch_to_multi_primary_mode
    group_replication_switch_to_single_primary_mode group_replication_set_communication_protocol
    group_replication_set_write_concurrency keyring_key_generate keyring_key_remove keyring_key_store
    service_get_read_locks service_get_write_locks audit_log_filter_set_filter audit_log_filter_remove_filter
";

/// With something between them and their parenthesis, they are functions that someone made (tried on
/// MariaDB 10.11 and MySQL 9.7: one of both has them so).
pub(super) const CLOSE: Names = "
    adddate bit_and bit_or bit_xor cast count cume_dist curdate curtime date_add date_sub dense_rank extract
    first_value group_concat json_arrayagg json_objectagg json_table lag lead max median mid min now nth_value
    ntile percent_rank percentile_cont percentile_disc position rank session_user std stddev stddev_pop
    stddev_samp subdate substr substring sum sysdate system_user trim var_pop var_samp variance
";
