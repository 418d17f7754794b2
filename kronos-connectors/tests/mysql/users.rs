//! Users, roles and rights; what a user with few rights can do, and what he is told; TLS.

use kronos_connectors::mysql::{Consistency, MysqlSettings, MysqlSource, TlsMode};
use kronos_core::{ConnectionStatus, Connector, ErrorKind, RestoreOptions, Secret};
use libtest_mimic::Trial;

use crate::server::{Database, Server, back_up, block_on, bring_back, fresh, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("users_and_rights_come_back", accounts),
        on_each("definers_are_kept_or_left_out", definers),
        on_each("few_rights_are_told_beforehand", preflight),
        on_each("without_the_right_to_lock", without_lock),
        on_each("tls_in_every_mode", tls),
        on_each("by_socket", socket),
        on_each("wrong_passwords_are_told", wrong),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const PASSWORD: &str = "pw'1\\x";

/// Accounts that are dropped at the end.
struct Accounts<'a>(&'a Server, Vec<String>);

impl Accounts<'_> {
    fn drop_all(&self) {
        for name in &self.1 {
            let _ = self.0.try_sql("", format!("DROP USER IF EXISTS {name}").as_bytes());
            let _ = self.0.try_sql("", format!("DROP ROLE IF EXISTS {name}").as_bytes());
        }
    }
}

impl Drop for Accounts<'_> {
    fn drop(&mut self) {
        self.drop_all();
    }
}

fn make(server: &Server, name: &str) -> String {
    server.sql("", &format!("CREATE USER {name}@'%' IDENTIFIED BY 'pw\\'1\\\\x'"));
    format!("{name}@'%'")
}

fn as_user(database: &Database, name: &str, change: impl FnOnce(&mut MysqlSettings)) -> MysqlSource {
    database.with(|settings| {
        name.clone_into(&mut settings.user);
        settings.password = Some(Secret::new(PASSWORD));
        change(settings);
    })
}

fn accounts(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let source = server.database("CREATE TABLE t(x INT, y INT); CREATE PROCEDURE p() SELECT 1");
    let (user, role, other) = (fresh("u"), fresh("r"), fresh("o"));
    let made = Accounts(server, vec![make(server, &user), role.clone(), make(server, &other)]);
    let name = source.name.replace('_', "\\_");
    server.sql(
        "",
        &format!(
            "CREATE ROLE {role}; GRANT SELECT, INSERT ON `{name}`.* TO {role}; GRANT {role} TO {user}@'%'; \
             GRANT PROCESS ON *.* TO {user}@'%'; GRANT UPDATE (y), SELECT ON `{}`.t TO {user}@'%' WITH GRANT OPTION; \
             GRANT EXECUTE ON PROCEDURE `{}`.p TO {user}@'%'; ALTER USER {user}@'%' WITH MAX_USER_CONNECTIONS 7;",
            source.name, source.name
        ),
    );
    let set = if server.is_mariadb() {
        format!("SET DEFAULT ROLE {role} FOR {user}@'%'")
    } else {
        format!("SET DEFAULT ROLE {role} TO {user}@'%'")
    };
    server.sql("", &set);
    let shown = |database: &str| {
        let names = [format!("{user}@'%'"), if server.is_mariadb() { role.clone() } else { format!("{role}@'%'") }];
        let grants = names.iter().map(|name| server.sql("", &format!("SHOW GRANTS FOR {name}")));
        let create = server.sql("", &format!("SET SESSION sql_mode = ''; SHOW CREATE USER {user}@'%'"));
        let all = grants.chain([create]).collect::<Vec<_>>().join("\n");
        all.replace(&database.replace('_', "\\\\_"), "?")
            .replace(&database.replace('_', "\\_"), "?")
            .replace(database, "?")
    };
    let before = shown(&source.name);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        made.drop_all();
        let target = server.new_name();
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
        assert_eq!(shown(&target.name), before);
        // The other has no rights in the database.
        let users = server.sql("", "SELECT user FROM mysql.user");
        assert!(!users.contains(&other), "{users}");
        // With the same password as before.
        let report = as_user(&target, &user, |_| ()).test_connection().await.unwrap();
        assert_eq!(report.status, ConnectionStatus::Connected, "{report:?}");
        // A failure takes them away again.
        made.drop_all();
        let again = server.new_name();
        let mut options = RestoreOptions::new();
        options.privileges = false;
        bring_back(&repository, &again.source(), &options).await.unwrap();
        assert!(!server.sql("", "SELECT user FROM mysql.user").contains(&user));
    });
}

fn definers(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let user = fresh("definer");
    let made = Accounts(server, vec![make(server, &user)]);
    let source = server.database(&format!(
        "CREATE TABLE t(x INT); CREATE DEFINER={user}@'%' VIEW v AS SELECT x FROM t; CREATE DEFINER={user}@'%' PROCEDURE p() SELECT 1; \
         CREATE DEFINER={user}@'%' TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.x = 1"
    ));
    let definers = |database: &Database| {
        database.sql(&format!(
            "SELECT definer FROM information_schema.views WHERE table_schema = '{0}' UNION ALL SELECT definer FROM information_schema.routines \
             WHERE routine_schema = '{0}' UNION ALL SELECT definer FROM information_schema.triggers WHERE trigger_schema = '{0}'",
            database.name
        ))
    };
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        made.drop_all();
        let kept = server.new_name();
        bring_back(&repository, &kept.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(definers(&kept), vec![format!("{user}@%"); 3].join("\n"));
        let mut options = RestoreOptions::new();
        options.owners = false;
        let own = server.new_name();
        bring_back(&repository, &own.source(), &options).await.unwrap();
        assert!(definers(&own).lines().all(|definer| definer.starts_with("root@")), "{}", definers(&own));
    });
}

/// Rights that one can do without, and a word of what is worse then.
const MARIADB: &[(&str, &str)] = &[
    ("RELOAD ON *.*", "commits are not held back, and one connection reads everything"),
    ("BINLOG MONITOR ON *.*", "the position in the binary log is not known when commits are held back"),
    ("BINLOG ADMIN ON *.*", "stay locked against ALTER TABLE"),
];
const MYSQL: &[(&str, &str)] = &[
    ("RELOAD ON *.*", "the backup of a server that commits all the time fails"),
    ("REPLICATION CLIENT ON *.*", "the position in the binary log is not known when commits are held back"),
    ("BACKUP_ADMIN ON *.*", "a table that is altered while the backup goes on makes it fail"),
    ("SELECT ON `performance_schema`.`log_status`", "positions cannot be compared"),
];

fn preflight(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let user = fresh("few");
    let _made = Accounts(server, vec![make(server, &user)]);
    let source = server.database("CREATE TABLE t(x INT) ENGINE = MyISAM");
    server.sql("", &format!("GRANT SELECT ON {}.* TO {user}@'%'", source.name));
    block_on(async {
        let found = as_user(&source, &user, |_| ()).preflight().await.unwrap();
        let expected = ["SHOW VIEW", "TRIGGER", "EVENT"].map(|right| format!("GRANT {right} ON `{}`.*: ", source.name));
        assert_eq!(found.missing.len(), 3, "{found:?}");
        assert!(expected.iter().zip(&found.missing).all(|(expected, line)| line.starts_with(expected)), "{found:?}");
        let noted = |text: &str| found.notes.iter().any(|note| note.contains(text));
        assert!(noted("its engine is MyISAM") && noted("GRANT SELECT ON `mysql`.*"), "{found:?}");
        let (own, others) = if server.is_mariadb() { (MARIADB, MYSQL) } else { (MYSQL, MARIADB) };
        for (grant, why) in own {
            let line = found.notes.iter().find(|note| note.starts_with(&format!("GRANT {grant}: ")));
            assert!(line.is_some_and(|line| line.contains(why)), "{grant}: {found:?}");
        }
        for (grant, why) in others {
            let is_own = own.iter().any(|(of_own, _)| of_own == grant);
            assert!(is_own || !noted(grant), "{grant}: {found:?}");
            assert!(own.iter().any(|(_, of_own)| of_own == why) || !noted(why), "{why}: {found:?}");
        }
        // Each is the statement that gives it, and who has got them all is told of none.
        for line in found.notes.iter().chain(&found.missing).filter(|line| line.starts_with("GRANT ")) {
            server.sql("", &format!("{} TO {user}@'%'", line.split(": ").next().unwrap()));
        }
        let found = as_user(&source, &user, |_| ()).preflight().await.unwrap();
        let left: Vec<_> = found.notes.iter().chain(&found.missing).filter(|line| line.starts_with("GRANT ")).collect();
        assert!(left.is_empty(), "{left:?}");
        let found = source.source().preflight().await.unwrap();
        assert!(found.missing.is_empty(), "{found:?}");
    });
}

fn without_lock(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let user = fresh("nolock");
    let _made = Accounts(server, vec![make(server, &user)]);
    let source = server
        .database("CREATE TABLE t(x INT PRIMARY KEY); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT x FROM t");
    server.sql("", &format!("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {}.* TO {user}@'%'", source.name));
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &as_user(&source, &user, |_| ())).await.unwrap();
        assert_eq!(backup.position.is_some(), server.is_mariadb(), "{backup:?}");
        assert!(
            backup.warnings.iter().any(|line| line.contains("users and their rights are not backed up")),
            "{:?}",
            backup.warnings
        );
        let alone = backup.warnings.iter().find(|line| line.contains("one connection reads everything")).unwrap();
        assert_eq!(alone.contains("the position in the binary log is not known"), !server.is_mariadb(), "{alone}");
        let error =
            back_up(&repository, &as_user(&source, &user, |s| s.consistency = Consistency::Lock)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql("SELECT * FROM v"), "1");
    });
}

fn tls(server: &Server) {
    let variable = |name: &str| crate::server::variable(server.name, name).unwrap();
    let database = server.database("CREATE TABLE t(x INT)");
    let try_it = |user: &str, change: &dyn Fn(&mut MysqlSettings)| {
        let source = database.with(|settings| {
            user.clone_into(&mut settings.user);
            change(settings);
        });
        let report = block_on(source.test_connection()).unwrap();
        assert!(!format!("{source:?}{report:?}").contains(&server.password));
        report
    };
    let works = |user: &str, change: &dyn Fn(&mut MysqlSettings)| {
        let report = try_it(user, change);
        assert_eq!(report.status, ConnectionStatus::Connected, "{report:?}");
    };
    let fails = |user: &str, change: &dyn Fn(&mut MysqlSettings)| {
        let report = try_it(user, change);
        assert_ne!(report.status, ConnectionStatus::Connected, "{report:?}");
    };
    works("tls_only", &|_| ());
    works("tls_only", &|s| s.tls.mode = TlsMode::Require);
    fails("tls_only", &|s| s.tls.mode = TlsMode::Disable);
    works("root", &|s| s.tls.mode = TlsMode::Disable);
    let trusted = |mode: TlsMode, ca: &'static str| {
        let ca = variable(ca);
        move |s: &mut MysqlSettings| {
            s.tls.mode = mode;
            s.tls.ca = Some(ca.clone().into());
        }
    };
    works("tls_only", &trusted(TlsMode::VerifyCa, "CA"));
    works("tls_only", &trusted(TlsMode::VerifyFull, "CA"));
    fails("tls_only", &trusted(TlsMode::VerifyCa, "WRONG_CA"));
    fails("tls_only", &trusted(TlsMode::VerifyFull, "WRONG_CA"));
    fails("tls_only", &|s| s.tls.mode = TlsMode::VerifyFull);
    let (certificate, key) = (variable("CERT"), variable("KEY"));
    works("certified", &|s| {
        trusted(TlsMode::VerifyFull, "CA")(s);
        s.tls.certificate = Some(certificate.clone().into());
        s.tls.key = Some(key.clone().into());
    });
    fails("certified", &trusted(TlsMode::VerifyFull, "CA"));
}

fn socket(server: &Server) {
    let database = server.database("CREATE TABLE t(x INT)");
    let path = crate::server::variable(server.name, "SOCKET").unwrap();
    let report = block_on(database.with(|settings| settings.host = Some(path)).test_connection()).unwrap();
    assert_eq!(report.status, ConnectionStatus::Connected, "{report:?}");
}

fn wrong(server: &Server) {
    let database = server.database("CREATE TABLE t(x INT)");
    let source = database.with(|settings| settings.password = Some(Secret::new("not it")));
    block_on(async {
        let error = source.databases().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(!format!("{error:?}").contains("not it"));
        let none = server.source(["no such database"]).databases().await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
        let nobody = database.with(|settings| settings.port = 1);
        assert_eq!(nobody.test_connection().await.unwrap().status, ConnectionStatus::Disconnected);
    });
}
