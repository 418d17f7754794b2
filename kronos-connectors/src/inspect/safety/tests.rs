//! A few of each kind; the many are in `tests/safety`.

use kronos_core::Engine;
use kronos_core::inspect::Severity;

use super::{Kind, judge, read};

const SQL: [Engine; 3] = [Engine::POSTGRES, Engine::MYSQL, Engine::SQLITE];

#[test]
fn what_nests_deeply_ends_well() {
    let n = 100_000;
    let texts = [
        format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}", "(".repeat(n)),
        format!("SELECT 1 WHERE 1=1{}", " AND 1=1".repeat(n)),
        format!("DELETE FROM t WHERE a=1{}", " OR a=1".repeat(900)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n / 4)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_200)),
        format!("SELECT {}1", "NOT ".repeat(n)),
        format!("SELECT {}1", "- ".repeat(n)),
        format!("SELECT 1{}", "+1".repeat(1_900)),
        format!("SELECT 1{}", "::int".repeat(1_200)),
        format!("SELECT {}1{}", "CASE WHEN 1=1 THEN ".repeat(n / 10), " END".repeat(n / 10)),
        format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
        format!("SELECT * FROM a{}", " JOIN a ON 1=1".repeat(600)),
        format!("SELECT a{}", "[1]".repeat(n)),
        format!("SELECT a{}", ".b".repeat(n / 10)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(n / 10)),
        format!("{}SELECT 1", "WITH a AS (".repeat(n / 10)),
        format!("SELECT '{}'", "x".repeat(1 << 20)),
        "/*".repeat(n),
    ];
    for engine in SQL {
        for text in &texts {
            let verdict = judge(&engine, text);
            assert_eq!(verdict.statements, 1, "{engine} {}", &text[..40]);
        }
    }
}

#[test]
fn the_end_of_a_text_is_found_by_its_tokens() {
    for engine in SQL {
        for (text, body) in [
            ("SELECT 1", "SELECT 1"),
            (" SELECT 1 ; ; ", " SELECT 1"),
            (";;SELECT 1;", "SELECT 1"),
            ("SELECT ';' -- ; x", "SELECT ';'"),
            ("SELECT 'ü;' /* ; */ ;\n-- ;\n", "SELECT 'ü;'"),
            ("SELECT 1 -- x\n;", "SELECT 1"),
            ("SELECT\t'a\nb',\r\n 2;", "SELECT\t'a\nb',\r\n 2"),
        ] {
            let read = read(&engine, text);
            assert_eq!(read.body, body, "{engine}");
            assert!(read.limitable && read.kind == Kind::Query && read.verdict.is_safe(), "{engine} {text} {read:?}");
        }
    }
}

#[test]
fn a_limit_is_only_added_to_what_has_none() {
    let cases = [
        ("SELECT * FROM t", true),
        ("SELECT 1 UNION SELECT 2", true),
        ("WITH a AS (SELECT 1) SELECT * FROM a ORDER BY 1", true),
        ("SELECT * FROM (SELECT 1 LIMIT 1) x", true),
        ("SELECT * FROM t LIMIT 1", false),
        ("SELECT 1 UNION SELECT 2 LIMIT 1", false),
        ("INSERT INTO t VALUES (1)", false),
        ("EXPLAIN SELECT 1", false),
        ("SELECT 1; SELECT 2", false),
        ("SELECT 1 FROM", false),
    ];
    for engine in SQL {
        for (text, limitable) in cases {
            assert_eq!(read(&engine, text).limitable, limitable, "{engine} {text}");
        }
    }
    for (text, limitable) in [
        ("SELECT * FROM t FOR UPDATE", false),
        ("SELECT * FROM t OFFSET 1", false),
        ("SELECT * FROM t FETCH FIRST 1 ROW ONLY", false),
        ("SELECT * INTO x FROM t", false),
        ("TABLE t", true),
        ("VALUES (1), (2)", true),
        ("(SELECT 1)", true),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", false),
    ] {
        assert_eq!(read(&Engine::POSTGRES, text).limitable, limitable, "{text}");
    }
    assert!(!read(&Engine::SQLITE, "VALUES (1)").limitable);
    assert!(!read(&Engine::SQLITE, "SELECT 1 UNION VALUES (1)").limitable);
    assert!(!read(&Engine::MYSQL, "SELECT * FROM t LOCK IN SHARE MODE").limitable);
    assert!(!read(&Engine::MYSQL, "SELECT * FROM t LIMIT 1, 2").limitable);
}

#[test]
fn transactions_are_seen() {
    for engine in SQL {
        for text in
            ["BEGIN", "COMMIT;", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE SAVEPOINT a", "begin immediate"]
        {
            assert!(read(&engine, text).controls_transaction, "{engine} {text}");
        }
        assert!(!read(&engine, "SELECT 1").controls_transaction);
    }
    for text in [
        "SET TRANSACTION READ WRITE",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "END",
        "ABORT",
        "START TRANSACTION",
    ] {
        assert!(read(&Engine::POSTGRES, text).controls_transaction, "{text}");
    }
    for text in ["SET autocommit = 0", "XA START 'x'", "SET SESSION TRANSACTION READ WRITE"] {
        assert!(read(&Engine::MYSQL, text).controls_transaction, "{text}");
    }
}

#[test]
fn an_unknown_engine_is_dangerous() {
    let verdict = judge(&Engine::new("other").unwrap(), "SELECT 1");
    assert_eq!(verdict.severity, Severity::High);
}
