//! What stands behind a statement, and cannot be seen in it: views, functions, operators and casts that
//! someone made under the names of the engine's own. The session that only reads refuses what they do.

use kronos_core::ErrorKind;
use kronos_core::inspect::{Inspect, Query};

use crate::engines::{Engine, Fixture};

/// Each of them is safe as far as can be seen, so that nobody is asked.
pub(crate) async fn what_is_not_seen_is_refused_by_the_database(fixture: &Fixture) {
    let (made, asked): (&[&str], &[&str]) = match fixture.engine {
        Engine::Postgres => (
            &[
                "CREATE FUNCTION writer() RETURNS integer LANGUAGE plpgsql AS \
                    $$ BEGIN INSERT INTO log VALUES (1); RETURN 1; END $$",
                "CREATE VIEW behind AS SELECT writer() AS x",
                "CREATE FUNCTION lower(integer) RETURNS integer LANGUAGE sql AS 'SELECT writer()'",
                // Of a later version's own.
                "CREATE FUNCTION uuidv7() RETURNS integer LANGUAGE sql AS 'SELECT writer()'",
                "CREATE FUNCTION plus(text, integer) RETURNS integer LANGUAGE sql AS 'SELECT writer()'",
                "CREATE OPERATOR + (LEFTARG = text, RIGHTARG = integer, FUNCTION = plus)",
                "CREATE TYPE mood AS ENUM ('good')",
                "CREATE TABLE moods (m mood)",
                "INSERT INTO moods VALUES ('good')",
                "CREATE FUNCTION shown(mood) RETURNS json LANGUAGE sql AS 'SELECT to_json(writer())'",
                "CREATE CAST (mood AS json) WITH FUNCTION shown(mood)",
            ],
            &[
                "SELECT * FROM behind",
                "SELECT count(x) FROM behind",
                "SELECT lower(1)",
                "SELECT uuidv7()",
                "SELECT name + 1 FROM customers",
                // The value is made JSON by the cast.
                "SELECT to_json(m) FROM moods",
                "SELECT m::json FROM moods",
                "EXPLAIN ANALYZE SELECT * FROM behind",
            ],
        ),
        Engine::Mariadb | Engine::Mysql => (
            &[
                "CREATE FUNCTION writer() RETURNS integer DETERMINISTIC MODIFIES SQL DATA \
                    BEGIN INSERT INTO log VALUES (1); RETURN 1; END",
                "CREATE VIEW behind AS SELECT writer() AS x",
            ],
            &["SELECT * FROM behind", "SELECT COUNT(x) FROM behind WHERE x > 0"],
        ),
        // What someone made are views alone, and the file's own schema is not trusted with more.
        Engine::Sqlite | Engine::Mock => {
            (&["CREATE VIEW behind AS SELECT load_extension('x')"], &["SELECT * FROM behind"])
        }
    };
    fixture.write("CREATE TABLE log (x integer)").await;
    for statement in made {
        fixture.write(statement).await;
    }
    for statement in asked {
        let verdict = fixture.database.judge(statement);
        assert!(verdict.is_safe(), "{statement}: {verdict}");
        let error = fixture.database.execute_query(&Query::new(*statement)).await.unwrap_err();
        let expected = match fixture.engine {
            Engine::Sqlite => [ErrorKind::PermissionDenied, ErrorKind::InvalidQuery],
            _ => [ErrorKind::PermissionDenied; 2],
        };
        assert!(expected.contains(&error.kind()), "{statement}: {error:?}");
        let mut transaction = fixture.database.begin(None, false).await.unwrap();
        let error = transaction.execute(&Query::new(*statement)).await.unwrap_err();
        assert!(expected.contains(&error.kind()), "{statement}: {error:?}");
    }
    assert_eq!(fixture.read("SELECT count(*) FROM log").await, "[[0]]");
    // They do it where they may, so what was refused is what they do.
    if fixture.engine != Engine::Sqlite {
        for statement in asked {
            fixture.write(statement).await;
        }
        let written = fixture.read("SELECT count(*) FROM log").await;
        assert!(written != "[[0]]", "nothing writes");
    }
}
