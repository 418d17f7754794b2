//! Very many tables, and names that are words of SQL.

use std::fmt::Write as _;

use kronos_connectors::mysql::Method;
use kronos_core::RestoreOptions;
use libtest_mimic::Trial;

use crate::fixtures::assert_nothing_beside;
use crate::network::some_of;
use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [on_each("very_many_tables", very_many), on_each("every_name_is_a_word_of_sql", words)]
        .into_iter()
        .flatten()
        .collect()
}

/// They come back, and get their places in one statement: 2,000 of them, of which MySQL takes longer.
fn very_many(server: &Server) {
    let count = some_of(&[500, 2000], 1).last().copied().filter(|_| !server.is_mariadb()).unwrap_or(2000);
    let mut sql = String::from("CREATE TABLE t0(id INT PRIMARY KEY, up INT, KEY (up)); INSERT INTO t0 VALUES (0, 0);");
    for n in 1..count {
        let key = if n % 10 == 0 { ", FOREIGN KEY (up) REFERENCES t0(id)" } else { "" };
        let _ = write!(
            sql,
            "CREATE TABLE t{n}(id INT PRIMARY KEY, up INT, KEY (up){key}); INSERT INTO t{n} VALUES ({n}, 0);"
        );
    }
    let source = server.database(&sql);
    let target = server.new_name();
    let sums = (0..count).map(|n| format!("SELECT id FROM t{n}")).collect::<Vec<_>>();
    // So many as one statement can read.
    let sums: Vec<String> = sums.chunks(50).map(|some| some.join(" UNION ALL ")).collect();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        for options in some_of(&[RestoreOptions::new(), RestoreOptions::new().with_replace()], 1) {
            bring_back(&repository, &target.source(), options).await.unwrap();
            assert_eq!(target.sql("SHOW TABLES").lines().count(), count);
            assert_eq!(target.sql(&sums.join(";")), source.sql(&sums.join(";")));
            let keys = "SELECT COUNT(*) FROM information_schema.key_column_usage WHERE table_schema = DATABASE() \
                AND referenced_table_schema = DATABASE()";
            assert_eq!(target.sql(keys), ((count - 1) / 10).to_string());
        }
    });
    assert_nothing_beside(&target, "very many tables");
}

/// Words at which one who reads definitions may stumble.
const WORDS: [&str; 34] = [
    "add",
    "all",
    "as",
    "begin",
    "check",
    "collate",
    "comment",
    "constraint",
    "create",
    "definer",
    "delimiter",
    "end",
    "event",
    "for",
    "foreign",
    "from",
    "function",
    "generated",
    "in",
    "index",
    "key",
    "on",
    "partition",
    "procedure",
    "references",
    "select",
    "set",
    "system",
    "table",
    "trigger",
    "unique",
    "use",
    "values",
    "view",
];

/// Tables, columns, keys, constraints, partitions, views, routines, parameters, triggers, events,
/// databases: all of them.
fn words(server: &Server) {
    let every =
        "SELECT DISTINCT LOWER(word) FROM information_schema.keywords WHERE word REGEXP '^[A-Za-z_]+$' ORDER BY 1";
    let columns: Vec<String> = server.sql("", every).lines().map(|word| format!("`{word}` TINYINT")).collect();
    assert!(columns.len() > 200, "{}", columns.len());
    let mut sql = format!(
        "CREATE TABLE `keywords`({}); CREATE TABLE `primary`(`primary` INT PRIMARY KEY, `desc` INT); INSERT INTO `primary` VALUES (1, 1);",
        columns.join(", ")
    );
    let mut before = "primary";
    for w in WORDS {
        let _ = write!(
            sql,
            "CREATE TABLE `{w}`(`{w}` INT, `{w}2` INT DEFAULT 1 COMMENT '{w} `{w}`', `desc` INT AS (`{w}` + 1), \
                PRIMARY KEY (`{w}`), UNIQUE KEY `{w}` (`{w}2`), KEY `limit` (`desc`, `{w}2`), \
                CONSTRAINT `{w}` FOREIGN KEY (`{w}2`) REFERENCES `{before}` (`{before}`), CONSTRAINT `{w} check` CHECK (`{w}` > 0)); \
             INSERT INTO `{w}`(`{w}`, `{w}2`) VALUES (1, 1); \
             CREATE VIEW `{w} view` AS SELECT `{w}`.`{w}` AS `{w}`, `{before}`.`desc` AS `limit` FROM `{w}` JOIN `{before}` ON `{w}`.`{w}` = `{before}`.`desc`; \
             CREATE TRIGGER `{w}` BEFORE INSERT ON `{w}` FOR EACH ROW SET NEW.`{w}2` = 1; \
             CREATE PROCEDURE `{w}`(IN `{w}` INT, OUT `limit` INT) SELECT `{w}` INTO `limit`; \
             CREATE FUNCTION `{w}`(`{w}` INT) RETURNS INT DETERMINISTIC RETURN `{w}`; \
             CREATE EVENT `{w}` ON SCHEDULE EVERY 1 DAY DISABLE DO CALL `{w}`(1, @`set`);"
        );
        before = w;
    }
    sql.push_str(
        "CREATE TABLE `partitions`(`partition` INT, PRIMARY KEY (`partition`)) PARTITION BY RANGE (`partition`) \
            (PARTITION `values` VALUES LESS THAN (10), PARTITION `less` VALUES LESS THAN MAXVALUE); \
         INSERT INTO `partitions` VALUES (1), (20);",
    );
    if server.is_mariadb() {
        sql.push_str(
            "CREATE SEQUENCE `sequences`; CREATE TABLE `versions`(`system` INT PRIMARY KEY, `row` INT) WITH SYSTEM VERSIONING; \
             CREATE TABLE `periods`(`period` INT, `for` DATE, `to` DATE, PERIOD FOR `overlaps`(`for`, `to`), UNIQUE KEY `without` (`period`, `overlaps` WITHOUT OVERLAPS));",
        );
    }
    // Tables that are called like the database, and those of another one that are here called like it.
    let other = server.database("CREATE TABLE `table`(`table` INT, d DATE)");
    let _ = write!(
        sql,
        "CREATE VIEW `v one` AS SELECT `table`.`table`, EXTRACT(YEAR FROM `table`.d) AS y FROM `{0}`.`table` JOIN `table`.`view` ON `table`.`table` = `view`.`view`; \
         CREATE VIEW `v two` AS SELECT `table`.`table`(`table`.`table`) AS f, `table`.d FROM `{0}`.`table` AS `table`; \
         CREATE VIEW `v three` AS SELECT `select`.`table`, `table`.`desc` FROM `table`.`table` JOIN `{0}`.`table` AS `select` ON `select`.`table` = `table`.`table`.`table`;",
        other.name
    );
    let (source, target) = (server.database_named("table", "", &sql), server.none("select"));
    let before = source.all();
    let objects = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE() \
        UNION ALL SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = DATABASE() \
        UNION ALL SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
        UNION ALL SELECT event_name, 'event' FROM information_schema.events WHERE event_schema = DATABASE()";
    let sorted = |of: &Database| {
        let mut lines: Vec<String> = of.sql(objects).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let all = sorted(&source);
    for method in [Method::Native, Method::Tool] {
        let of = |settings: &mut kronos_connectors::mysql::MysqlSettings| {
            settings.method = method;
            settings.tools = vec![server.bin.clone().into()];
        };
        let replace = RestoreOptions::new().with_replace();
        block_on(async {
            let repository = repository().await;
            back_up(&repository, &source.with(of)).await.unwrap();
            bring_back(&repository, &source.with(of), &replace).await.unwrap();
            assert_same(&source.all(), &before, &format!("{method:?}, replaced"));
            bring_back(&repository, &target.with(of), &replace).await.unwrap();
            assert_same(&sorted(&target), &all, &format!("{method:?}, another name"));
            // Its views can be read there, and it comes back to the first name as it was.
            let repository = crate::server::repository().await;
            back_up(&repository, &target.with(of)).await.unwrap();
            bring_back(&repository, &source.with(of), &replace).await.unwrap();
        });
        assert_same(&source.all(), &before, &format!("{method:?}, there and back"));
        assert_nothing_beside(&target, "words");
        assert_nothing_beside(&source, "words");
    }
}
