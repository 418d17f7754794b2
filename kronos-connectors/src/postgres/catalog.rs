//! What the catalogs of a database say: databases, tables, sequences.

use kronos_core::Result;

use super::connect::Session;
use super::names::{qualified, shown};

/// A database of the server.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct DatabaseRow {
    pub name: String,
    pub is_template: bool,
    /// It lets anyone in, and this user.
    pub may_connect: bool,
    pub size: Option<i64>,
}

/// Every database, by name.
pub(super) async fn databases(session: &mut Session) -> Result<Vec<DatabaseRow>> {
    let sql = "SELECT d.datname::text AS name, d.datistemplate AS is_template, may AS may_connect, \
            CASE WHEN may THEN pg_catalog.pg_database_size(d.oid) END AS size \
        FROM pg_catalog.pg_database d, \
            LATERAL (SELECT d.datallowconn AND pg_catalog.has_database_privilege(d.oid, 'CONNECT')) AS x(may) \
        WHERE d.datconnlimit <> -2 ORDER BY d.datname";
    session.rows("list the databases", sql).await
}

/// A table, sequence or the like of one database.
#[derive(Debug, Clone, sqlx::FromRow)]
#[allow(clippy::struct_excessive_bools, reason = "a row of a query, and each is a fact of its own")]
pub(super) struct Relation {
    pub oid: i64,
    pub schema: String,
    pub name: String,
    /// As in `pg_class.relkind`: `r` table, `p` partitioned table, `f` foreign table, `S` sequence,
    /// `v` view, `m` materialized view.
    pub kind: String,
    pub is_unlogged: bool,
    /// Bytes of its main fork.
    pub size: i64,
    /// Its blocks can be read one range at a time.
    pub is_heap: bool,
    /// It has been written anew since the snapshot was taken, and the snapshot cannot see its rows.
    pub was_rewritten: bool,
    pub is_readable: bool,
    /// Rows would be hidden from this user.
    pub is_filtered: bool,
    /// Columns that hold something of their own: not dropped, not generated.
    pub columns: Vec<String>,
    /// Of an extension's configuration table: which rows are the user's.
    pub condition: Option<String>,
    /// The table through which its rows are written back, when they may belong elsewhere there.
    pub root: Option<i64>,
    /// The partitioned tables of which it is a part, the nearest first.
    pub parents: Vec<i64>,
    pub is_of_extension: bool,
}

impl Relation {
    /// Quoted for SQL.
    pub(super) fn sql(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", shown(&self.schema), shown(&self.name))
    }

    pub(super) fn has_rows(&self) -> bool {
        self.kind == "r"
    }

    /// Whether it is in the schema only, and can be chosen by name all the same.
    pub(super) fn is_without_rows(&self) -> bool {
        ["p", "f", "v", "m"].contains(&self.kind.as_str())
    }
}

/// Tables, sequences and views as `pg_dump` chooses them: not the system's own, not temporary ones, and of
/// those that belong to an extension only the configuration that it says is the user's.
///
/// Rows of a leaf beneath a table that is partitioned by the hash of an enum go through that table:
/// the hash is of numbers that are others in another database.
pub(super) async fn relations(session: &mut Session) -> Result<Vec<Relation>> {
    let sql = "WITH RECURSIVE config AS ( \
            SELECT pg_catalog.unnest(extconfig) AS oid, pg_catalog.unnest(extcondition) AS condition \
            FROM pg_catalog.pg_extension), \
        shifting AS ( \
            SELECT p.partrelid AS oid, p.partrelid AS root FROM pg_catalog.pg_partitioned_table p \
            WHERE p.partstrat = 'h' AND EXISTS ( \
                SELECT FROM pg_catalog.unnest(p.partclass::oid[]) AS k(class) \
                JOIN pg_catalog.pg_opclass o ON o.oid = k.class WHERE o.opcname = 'enum_ops') \
            UNION \
            SELECT i.inhrelid, s.root FROM shifting s JOIN pg_catalog.pg_inherits i ON i.inhparent = s.oid) \
        SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, \
            c.relpersistence = 'u' AS is_unlogged, \
            CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_relation_size(c.oid), 0) ELSE 0 END AS size, \
            coalesce(m.amname = 'heap', false) AS is_heap, \
            c.relkind = 'r' AND pg_catalog.pg_relation_filenode(c.oid) IS DISTINCT FROM nullif(c.relfilenode, 0) AS was_rewritten, \
            coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), false) AS is_readable, \
            coalesce(pg_catalog.row_security_active(c.oid), false) AS is_filtered, \
            ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns, \
            nullif(g.condition, '') AS condition, \
            (SELECT max(s.root::int8) FROM shifting s WHERE s.oid = c.oid AND s.root <> c.oid) AS root, \
            CASE WHEN c.relispartition THEN \
                ARRAY(SELECT a.relid::int8 FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY AS a(relid, n) \
                    WHERE a.relid::oid <> c.oid ORDER BY a.n) \
                ELSE '{}' END AS parents, \
            g.oid IS NOT NULL AS is_of_extension \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam LEFT JOIN config g ON g.oid = c.oid \
        WHERE c.relkind IN ('r', 'p', 'f', 'S', 'v', 'm') AND c.relpersistence <> 't' \
            AND (g.oid IS NOT NULL OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS ( \
                SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
                AND d.objid = c.oid AND d.deptype = 'e')) \
        ORDER BY 2, 3";
    session.rows("list the tables", sql).await
}

/// How many large objects the user may not read, if there are any.
pub(super) async fn unreadable_large_objects(session: &mut Session) -> Result<Option<i64>> {
    let sql = "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata m \
        WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
            AND NOT current_setting('lo_compat_privileges')::bool \
            AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') \
            AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
                AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))";
    let (count,): (i64,) = session.row("look for large objects", sql).await?;
    Ok((count > 0).then_some(count))
}

/// Sequences are asked for in batches of so many.
const SEQUENCES: usize = 200;

/// The values of sequences, in their order. They are not of the snapshot: no transaction holds a
/// sequence still, and a later value is as good.
pub(super) async fn sequence_values(session: &mut Session, sequences: &[Relation]) -> Result<Vec<(i64, bool)>> {
    let mut values = Vec::with_capacity(sequences.len());
    for some in sequences.chunks(SEQUENCES) {
        let of = |(place, sequence): (usize, &Relation)| {
            format!("SELECT {place}::int4 AS place, last_value AS last, is_called AS called FROM {}", sequence.sql())
        };
        let all: Vec<String> = some.iter().enumerate().map(of).collect();
        let sql = format!("{} ORDER BY 1", all.join(" UNION ALL "));
        let rows: Vec<(i32, i64, bool)> = session.rows("read the sequences", &sql).await?;
        values.extend(rows.into_iter().map(|(_, last, called)| (last, called)));
    }
    Ok(values)
}

/// The roles that a database speaks of: owners, who may do what, and who has settings of his own.
pub(super) async fn roles(session: &mut Session) -> Result<Vec<String>> {
    // The first superuser is in no list of who is needed.
    let sql = "WITH here AS (SELECT oid, datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
        SELECT r.rolname::text FROM pg_catalog.pg_roles r, here h WHERE r.rolname !~ '^pg_' AND (r.oid = h.datdba \
            OR r.oid IN (SELECT s.refobjid FROM pg_catalog.pg_shdepend s WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass \
                AND (s.dbid = h.oid OR s.classid = 'pg_catalog.pg_database'::regclass AND s.objid = h.oid)) \
            OR r.oid IN (SELECT s.setrole FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = h.oid) \
            OR r.oid = 10 AND (EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relowner = 10 AND c.oid >= 16384) \
                OR EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.proowner = 10 AND p.oid >= 16384) \
                OR EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typowner = 10 AND t.oid >= 16384) \
                OR EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspowner = 10 AND n.oid >= 16384))) \
        ORDER BY 1";
    let rows: Vec<(String,)> = session.rows("ask for the roles", sql).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Objects that a user made, whatever their kind, up to a few of them: what is in the way of a
/// restore into the database.
pub(super) async fn own_objects(session: &mut Session) -> Result<Vec<String>> {
    let sql = "SELECT * FROM ( \
            SELECT format('%s', c.oid::regclass) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE c.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
            UNION ALL SELECT format('function %s', p.oid::regprocedure) FROM pg_catalog.pg_proc p \
                JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384 AND n.nspname !~ '^pg_' \
            UNION ALL SELECT format('type %s', t.oid::regtype) FROM pg_catalog.pg_type t \
                JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                WHERE t.oid >= 16384 AND n.nspname !~ '^pg_' AND t.typrelid = 0 AND t.typelem = 0 \
            UNION ALL SELECT format('schema %I', nspname) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_' \
            UNION ALL SELECT format('extension %I', extname) FROM pg_catalog.pg_extension WHERE oid >= 16384 \
            UNION ALL SELECT format('large object %s', oid) FROM pg_catalog.pg_largeobject_metadata \
            UNION ALL SELECT format('publication %I', pubname) FROM pg_catalog.pg_publication \
            UNION ALL SELECT format('event trigger %I', evtname) FROM pg_catalog.pg_event_trigger \
        ) AS x(object) LIMIT 4";
    let rows: Vec<(String,)> = session.rows("look for objects", sql).await?;
    Ok(rows.into_iter().map(|(object,)| object).collect())
}
