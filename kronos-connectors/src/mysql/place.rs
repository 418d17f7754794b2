//! A place in the binary log.

use std::fmt;

use kronos_core::Result;
use mysql_async::Row;

use super::connect::Session;

/// Where a change log stands: everything before it is in a snapshot, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// File and offset; nothing when only the transactions are known for certain.
    pub file: Option<(String, u64)>,
    /// The transactions, as `gtid_executed` (MySQL) or `gtid_binlog_pos` (MariaDB) has them.
    pub gtid: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|(file, offset)| format!("{file}:{offset}"));
        let gtid = self.gtid.as_ref().map(|gtid| format!("gtid {gtid}"));
        f.write_str(&file.into_iter().chain(gtid).collect::<Vec<_>>().join(" "))
    }
}

impl Place {
    /// Where the server is now; `None` if it keeps no log.
    pub(super) async fn now(session: &mut Session) -> Result<Option<Self>> {
        let ask = if session.server.is_mysql_since(8, 2) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let rows: Vec<Row> = session.rows("ask for the position", ask).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let text = |name: &str| row.get_opt::<Option<String>, _>(name).and_then(std::result::Result::ok).flatten();
        let offset = row.get_opt::<u64, _>("Position").and_then(std::result::Result::ok);
        let gtid = if session.server.is_mariadb {
            Some(session.value("ask for the position", "SELECT @@global.gtid_binlog_pos").await?)
        } else {
            // Long sets are shown in lines.
            text("Executed_Gtid_Set").map(|set| set.replace('\n', ""))
        };
        Ok(Some(Self { file: text("File").zip(offset), gtid: gtid.filter(|gtid: &String| !gtid.is_empty()) }))
    }

    /// Where the server is now, of all that a snapshot could see (MySQL). Others than the server's own
    /// report of itself may be ahead of it.
    pub(super) async fn of_all(session: &mut Session) -> Result<Self> {
        let sql = "SELECT JSON_UNQUOTE(LOCAL->'$.binary_log_file'), \
            CAST(LOCAL->'$.binary_log_position' AS UNSIGNED), JSON_UNQUOTE(LOCAL->'$.gtid_executed') \
            FROM performance_schema.log_status";
        let (file, offset, gtid): (Option<String>, Option<u64>, Option<String>) =
            session.row("ask for the position", sql).await?;
        let gtid = gtid.map(|set| set.replace('\n', "")).filter(|set| !set.is_empty());
        Ok(Self { file: file.filter(|file| !file.is_empty()).zip(offset), gtid })
    }

    /// Of which place the snapshot of this session is (MariaDB); `None` if the server keeps no log.
    pub(super) async fn of_snapshot(session: &mut Session) -> Result<Option<Self>> {
        let sql = "SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')";
        let rows: Vec<(String, String)> = session.rows("ask for the snapshot's position", sql).await?;
        let value =
            |name: &str| rows.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
        let offset = value("Binlog_snapshot_position").and_then(|offset| offset.parse().ok());
        Ok(file.zip(offset).map(|file| Self { file: Some(file), gtid: None }))
    }

    /// The transactions before a place of MariaDB.
    pub(super) async fn complete(mut self, session: &mut Session) -> Result<Self> {
        if let Some((file, offset)) = &self.file {
            let sql = format!("SELECT BINLOG_GTID_POS({}, {offset})", super::names::literal(file));
            let gtid: Option<String> = session.value("ask for the snapshot's position", &sql).await?;
            self.gtid = gtid.filter(|gtid| !gtid.is_empty());
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_with_what_is_known_of_it() {
        let file = Some(("binlog.000003".to_owned(), 4567));
        let gtid = Some("0-1-55".to_owned());
        assert_eq!(Place { file: file.clone(), gtid: gtid.clone() }.to_string(), "binlog.000003:4567 gtid 0-1-55");
        assert_eq!(Place { file, gtid: None }.to_string(), "binlog.000003:4567");
        assert_eq!(Place { file: None, gtid }.to_string(), "gtid 0-1-55");
    }
}
