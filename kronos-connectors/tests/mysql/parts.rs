//! Parts of a backup, parts of a table, and what stands in the way of a restore.

use std::collections::BTreeSet;

use kronos_core::{BackupOptions, Connector, DumpRequest, ErrorKind, RestoreOptions, RunContext, backup};
use libtest_mimic::Trial;

use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("large_tables_come_in_ranges", ranges),
        on_each("only_one_table_comes_back", only),
        on_each("rows_are_left_out", excluded),
        on_each("what_is_there_is_replaced", replaced),
        on_each("other_things_are_in_the_way", in_the_way),
        on_each("strict_refuses_what_cannot_be_held_still", strict),
        on_each("rows_come_by_insert", inserts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn only_options(pattern: &str) -> RestoreOptions {
    let mut options = RestoreOptions::new();
    options.only = vec![pattern.to_owned()];
    options
}

/// Numbers with gaps and signs, texts, pairs of which the first is nearly always the same.
const LARGE: &str = "
SET SESSION cte_max_recursion_depth = 100000;
CREATE TABLE seed(n INT PRIMARY KEY);
INSERT INTO seed WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s;
CREATE TABLE numbers(id BIGINT PRIMARY KEY, v CHAR(200)); INSERT INTO numbers SELECT (n - 10000) * (n % 7 + 1) * 1000 + n % 1000, MIN(n) FROM seed GROUP BY 1;
CREATE TABLE huge(id BIGINT UNSIGNED PRIMARY KEY, v CHAR(200)); INSERT INTO huge SELECT 18446744073709551615 - n * 3, n FROM seed;
CREATE TABLE texts(id VARCHAR(80) CHARACTER SET utf8mb4 PRIMARY KEY, v CHAR(200)); INSERT INTO texts SELECT CONCAT('Key_', SHA2(n, 256)), n FROM seed;
CREATE TABLE bin(id BINARY(16) PRIMARY KEY, v CHAR(200)); INSERT INTO bin SELECT UNHEX(LEFT(SHA2(n, 256), 32)), n FROM seed;
CREATE TABLE pairs(a INT, b VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin, c INT, v CHAR(200), PRIMARY KEY (a, b, c));
INSERT INTO pairs SELECT IF(n % 50 = 0, n, 7), CONCAT('x', n DIV 5000), n, n FROM seed;
CREATE TABLE dates(id DATETIME(6), n INT, v CHAR(200), PRIMARY KEY (id, n)); INSERT INTO dates SELECT '2020-01-01' + INTERVAL n MINUTE, n, n FROM seed;
CREATE TABLE split(id INT, v CHAR(200), PRIMARY KEY (id)) PARTITION BY HASH(id) PARTITIONS 3; INSERT INTO split SELECT n, n FROM seed;
";

fn ranges(server: &Server) {
    let sql = if server.is_mariadb() {
        LARGE.replace("cte_max_recursion_depth", "max_recursive_iterations")
    } else {
        LARGE.to_owned()
    };
    let source = server.database(&sql);
    source.sql("ANALYZE TABLE numbers, huge, texts, bin, pairs, dates, split");
    let small = |database: &Database| database.with(|settings| settings.range = 256 << 10);
    block_on(async {
        let run = RunContext::new();
        let dump = small(&source).begin_dump(&DumpRequest::default(), &run).await.unwrap();
        let names: Vec<String> = dump.outline().streams.iter().map(|stream| stream.name.clone()).collect();
        dump.abort().await;
        for table in ["numbers", "huge", "texts", "bin", "pairs", "split"] {
            let parts =
                names.iter().filter(|name| name.split('#').next().unwrap().ends_with(&format!("/{table}"))).count();
            assert!((4..200).contains(&parts), "{table}: {parts} ranges");
        }
        let repository = repository().await;
        let first = back_up(&repository, &small(&source)).await.unwrap();
        assert!(first.rows >= Some(120_000), "{:?}", first.rows);
        // What grows at the end has its old ranges as they were.
        source.sql("INSERT INTO numbers SELECT 2000000000 + n, 'new' FROM seed WHERE n < 100");
        let second = back_up(&repository, &small(&source)).await.unwrap();
        assert!(second.rows == first.rows.map(|rows| rows + 99), "{:?} {:?}", first.rows, second.rows);
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_same(&target.all(), &source.all(), "ranges");
    });
}

const SHOP: &str = "
CREATE TABLE orders(id INT AUTO_INCREMENT PRIMARY KEY, customer INT, FOREIGN KEY (customer) REFERENCES customers(id));
CREATE TABLE customers(id INT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE `other one`(id INT PRIMARY KEY);
INSERT INTO customers VALUES (1, 'a'), (2, 'b'); INSERT INTO orders(customer) VALUES (1), (2), (1); INSERT INTO `other one` VALUES (1);
CREATE TRIGGER tr BEFORE INSERT ON customers FOR EACH ROW SET NEW.name = UPPER(NEW.name);
CREATE VIEW v AS SELECT * FROM orders; CREATE PROCEDURE p() SELECT 1;
";

fn shop(server: &Server) -> Database {
    server.database(&format!("SET foreign_key_checks = 0; {SHOP}"))
}

fn tables(database: &Database) -> BTreeSet<String> {
    database.sql("SHOW TABLES").lines().map(str::to_owned).collect()
}

fn only(server: &Server) {
    let (source, target) = (shop(server), server.new_name());
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let name = format!("{}.customers", source.name);
        bring_back(&repository, &target.source(), &only_options(&name)).await.unwrap();
        assert_eq!(tables(&target), BTreeSet::from(["customers".to_owned()]));
        assert_eq!(target.sql("SHOW TRIGGERS").lines().count(), 1);
        // Beside others that are there: they stay, and so does what was newer.
        let name = format!("{}.orders", source.name);
        target.sql("INSERT INTO customers VALUES (3, 'c')");
        let report = bring_back(&repository, &target.source(), &only_options(&name)).await.unwrap();
        assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
        assert_eq!(tables(&target), BTreeSet::from(["customers".to_owned(), "orders".to_owned()]));
        assert_eq!(target.sql("SELECT COUNT(*) FROM customers"), "3");
        assert!(target.sql("SHOW CREATE TABLE orders").contains("REFERENCES `customers` (`id`)"));
        // One that is there is not replaced unasked; asked, only it is.
        target.sql("DELETE FROM orders; INSERT INTO orders(customer) VALUES (3)");
        let refused = bring_back(&repository, &target.source(), &only_options(&name)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        bring_back(&repository, &target.source(), &only_options(&name).with_replace()).await.unwrap();
        assert_eq!(target.sql("SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM customers)"), "3\t3");
        // A table alone lacks what its key leads to.
        let alone = server.new_name();
        let report = bring_back(&repository, &alone.source(), &only_options(&name)).await.unwrap();
        assert!(
            report.outcome.warnings[0].contains("foreign key of orders to customers"),
            "{:?}",
            report.outcome.warnings
        );
        assert!(!alone.sql("SHOW CREATE TABLE orders").contains("REFERENCES"));
    });
}

fn excluded(server: &Server) {
    let (source, target) = (shop(server), server.new_name());
    block_on(async {
        let repository = repository().await;
        let mut options = BackupOptions::new();
        options.exclude = vec!["*.orders".to_owned()];
        let report = backup(&repository, &source.source(), &options, &RunContext::new()).await.unwrap();
        assert!(report.backup.unwrap().warnings.iter().any(|line| line.contains("`orders` are left out")));
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql("SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM customers)"), "0\t2");
    });
}

fn replaced(server: &Server) {
    let (source, target) = (shop(server), server.new_name());
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let expected = source.all();
        server.sql("", &format!("CREATE DATABASE {} CHARACTER SET ascii", target.name));
        target.sql(
            "CREATE TABLE orders(x INT); INSERT INTO orders VALUES (1); CREATE TABLE more(y INT); CREATE VIEW w AS SELECT * FROM more; \
             CREATE TRIGGER tr AFTER INSERT ON more FOR EACH ROW SET @x = 1; CREATE FUNCTION p() RETURNS INT DETERMINISTIC RETURN 1; \
             CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = 1",
        );
        let before = target.all();
        let refused = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_same(&target.all(), &before, "a target that was refused");
        bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
        // Functions that the backup does not have are gone as well.
        assert_same(&target.all(), &expected, "replaced");
        assert!(!server.databases().iter().any(|name| name.starts_with(&format!("{}_kronos", target.name))));
    });
}

fn in_the_way(server: &Server) {
    let (source, target) = (shop(server), server.new_name());
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        server.sql("", &format!("CREATE DATABASE {}", target.name));
        target.sql("CREATE TABLE orders(id INT PRIMARY KEY)");
        let other =
            server.database(&format!("CREATE TABLE o(x INT, FOREIGN KEY (x) REFERENCES {}.orders(id))", target.name));
        let refused =
            bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap_err();
        assert!(refused.to_string().contains("has a foreign key to"), "{refused}");
        other.sql("DROP TABLE o");
        bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
    });
}

fn strict(server: &Server) {
    let source = server.database("CREATE TABLE t(x INT) ENGINE = MyISAM");
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &source.source()).await.unwrap();
        assert!(backup.warnings[0].contains("t (MyISAM)"), "{:?}", backup.warnings);
        let refused = back_up(&repository, &source.with(|settings| settings.strict = true)).await.unwrap_err();
        assert_eq!((refused.kind(), refused.context("tables")), (ErrorKind::Unsupported, Some("t (MyISAM)")));
    });
}

/// As on a server that takes no rows by LOAD DATA LOCAL, which MySQL does not by default.
fn inserts(server: &Server) {
    let (nasty, target) = (crate::fidelity::nasty(server), server.new_name());
    let source = &nasty.main;
    let before = source.all();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let by_insert = target.with(|settings| settings.load = false);
        bring_back(&repository, &by_insert, &RestoreOptions::new()).await.unwrap();
    });
    assert_same(&target.all(), &before, "by INSERT");
}
