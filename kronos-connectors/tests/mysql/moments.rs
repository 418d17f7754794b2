//! Writers beside a backup: it is of one moment, and the position in the binary log is exactly that one.

use std::process::{Child, Stdio};
use std::time::Duration;

use kronos_connectors::mysql::{Consistency, Method, MysqlSettings, MysqlSource};
use kronos_core::{BackupInfo, Event, Observer, RestoreOptions, RunContext};
use libtest_mimic::Trial;

use crate::server::{Database, Server, assert_same, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("a_backup_is_of_one_moment", one_moment),
        on_each("without_the_lock_it_would_not_be", no_moment),
        on_each("compared_positions_give_one_moment", compared),
        on_each("the_binary_log_goes_on_from_the_position", |server| replayed(server, Method::Native)),
        on_each("the_binary_log_goes_on_from_the_position_of_a_program", |server| replayed(server, Method::Tool)),
        on_each("a_long_statement_is_not_waited_for_without_end", long_statement),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Transfers between tables: the sum never changes, and each has a number of its own. Writers have rows of
/// their own: one that waited for another's would keep MySQL from holding commits back, which keeps that
/// other one from ending.
const TRANSFERS: &str = "
CREATE TABLE stop(n INT);
CREATE TABLE moves(id INT AUTO_INCREMENT PRIMARY KEY, a INT, b INT);
DELIMITER //
CREATE PROCEDURE transfer(seed INT, writer INT)
BEGIN
    DECLARE a INT; DECLARE b INT;
    REPEAT
        SET seed = (seed * 1103515245 + 12345) % 2147483648;
        SET a = seed DIV 8 % 33 * 3 + writer, b = seed DIV 1024 % 33 * 3 + writer;
        START TRANSACTION;
        INSERT INTO moves(a, b) VALUES (a, b);
        UPDATE t0 SET v = v - 1, n = n + 1 WHERE id = a;
        UPDATE t1 SET v = v + 1, n = n + 1 WHERE id = b;
        UPDATE t2 SET v = v - 2 WHERE id = b;
        UPDATE t3 SET v = v + 2 WHERE id = a;
        COMMIT;
    UNTIL (SELECT COUNT(*) FROM stop) > 0 END REPEAT;
END //
DELIMITER ;
";
/// Zero in every state between two transactions.
const SUM: &str = "SELECT (SELECT SUM(v) FROM t0) + (SELECT SUM(v) FROM t1) + (SELECT SUM(v) FROM t2) + (SELECT SUM(v) FROM t3) - 40000, \
    (SELECT SUM(n) FROM t0) - (SELECT COUNT(*) FROM moves)";

/// Writers that end when the test does.
struct Writers {
    database: Database,
    clients: Vec<Child>,
}

impl Writers {
    fn start(server: &Server) -> Self {
        let tables = (0..4).map(|n| {
            let rows: Vec<String> = (0..100).map(|id| format!("({id}, 100, 0)")).collect();
            format!("CREATE TABLE t{n}(id INT PRIMARY KEY, v INT, n INT); INSERT INTO t{n} VALUES {};", rows.join(", "))
        });
        let database = server.database(&(tables.collect::<String>() + TRANSFERS));
        let client = |seed: u32| {
            let mut client = server.program("client");
            client
                .arg(format!("--database={}", database.name))
                .arg(format!("--execute=CALL transfer({seed}, {})", seed % 3));
            client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let clients = (1..4).map(client).collect();
        // They are at work.
        while database.sql("SELECT COUNT(*) > 20 FROM moves") != "1" {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { database, clients }
    }

    fn stop(&mut self) {
        self.database.sql("INSERT INTO stop VALUES (1)");
        for client in &mut self.clients {
            let _ = client.wait();
        }
        self.clients.clear();
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for client in &mut self.clients {
            let _ = client.kill();
            let _ = client.wait();
        }
        let name = &self.database.name;
        let sql = format!("SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE db = '{name}'");
        let kills = self.database.server.sql("", &sql);
        let _ = self.database.server.try_sql("", kills.as_bytes());
    }
}

fn with(database: &Database, consistency: Consistency) -> MysqlSource {
    database.with(|settings| {
        settings.consistency = consistency;
        settings.lock_timeout = Duration::from_secs(30);
    })
}

/// Backs up and restores; gives what the sums differ by.
fn difference(writers: &Writers, consistency: Consistency) -> (BackupInfo, String) {
    let target = writers.database.server.new_name();
    block_on(async {
        let repository = repository().await;
        let backup = crate::server::back_up(&repository, &with(&writers.database, consistency)).await.unwrap();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        (backup, target.sql(SUM))
    })
}

fn one_moment(server: &Server) {
    let writers = Writers::start(server);
    for _ in 0..5 {
        let (backup, sum) = difference(&writers, Consistency::Lock);
        assert_eq!(sum, "0\t0");
        assert!(backup.position.unwrap().contains(" gtid "));
    }
}

/// What the other tests would miss if the lock did nothing.
fn no_moment(server: &Server) {
    let writers = Writers::start(server);
    let torn = (0..20).any(|_| difference(&writers, Consistency::Nothing).1 != "0\t0");
    assert!(torn, "20 backups without a lock were all of one moment: the writers are too slow to prove anything");
}

fn compared(server: &Server) {
    let writers = Writers::start(server);
    let target = server.new_name();
    block_on(async {
        let repository = repository().await;
        let mut made = 0;
        for _ in 0..20 {
            // MySQL, when it is busy, may say nothing equal before and after snapshots are opened.
            match crate::server::back_up(&repository, &with(&writers.database, Consistency::Positions)).await {
                Ok(backup) => assert!(backup.position.unwrap().contains("gtid ")),
                Err(error) => {
                    assert!(!server.is_mariadb() && error.kind() == kronos_core::ErrorKind::Conflict, "{error}");
                    continue;
                }
            }
            made += 1;
            if made > 5 {
                break;
            }
            bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
            assert_eq!(target.sql(SUM), "0\t0");
        }
        assert!(made > 0, "nothing was compared");
    });
}

/// File and offset of a position.
fn place(position: &str) -> (String, u64) {
    let (file, offset) = position.split(' ').next().unwrap().split_once(':').unwrap();
    (file.to_owned(), offset.parse().unwrap())
}

/// Nothing is missing and nothing comes twice, when the log is replayed onto the restored copy.
fn replayed(server: &Server, method: Method) {
    let mut writers = Writers::start(server);
    let (target, name) = (server.new_name(), writers.database.name.clone());
    block_on(async {
        let repository = repository().await;
        let change = |settings: &mut MysqlSettings| {
            settings.consistency = Consistency::Lock;
            settings.lock_timeout = Duration::from_secs(30);
            settings.method = method;
            settings.tools = vec![server.bin.clone().into()];
        };
        let backup = crate::server::back_up(&repository, &writers.database.with(change)).await.unwrap();
        std::thread::sleep(Duration::from_millis(50));
        // The log may go on in other files.
        server.sql("", "FLUSH BINARY LOGS");
        std::thread::sleep(Duration::from_millis(50));
        writers.stop();
        let status = if server.is_mariadb() { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let end = server.sql("", status);
        let (last, stop) = (end.split('\t').next().unwrap().to_owned(), end.split('\t').nth(1).unwrap().to_owned());
        bring_back(&repository, &target.with(change), &RestoreOptions::new()).await.unwrap();
        let before: u64 = target.sql("SELECT COUNT(*) FROM moves").parse().unwrap();

        assert!(backup.position.as_deref().unwrap().contains("gtid ") || method == Method::Tool);
        let (first, offset) = place(backup.position.as_deref().unwrap());
        let logs = server.sql("", "SHOW BINARY LOGS");
        let files: Vec<&str> = logs.lines().filter_map(|line| line.split('\t').next()).collect();
        let files = files.iter().filter(|file| **file >= first.as_str() && **file <= last.as_str());
        let mut reader = server.program("binlog");
        reader
            .arg("--read-from-remote-server")
            .arg(format!("--start-position={offset}"))
            .arg(format!("--stop-position={stop}"));
        // One chooses before it rewrites, the other after.
        let chosen = if server.is_mariadb() { &name } else { &target.name };
        reader.arg(format!("--rewrite-db={name}->{}", target.name)).arg(format!("--database={chosen}"));
        if !server.is_mariadb() {
            reader.arg("--skip-gtids");
        }
        let events = reader.args(files).output().unwrap();
        assert!(events.status.success(), "{}", String::from_utf8_lossy(&events.stderr));
        server.try_sql("", &events.stdout).unwrap();
        let moves = "SELECT COUNT(*) FROM moves";
        let after: u64 = target.sql(moves).parse().unwrap();
        assert!(after > before, "nothing was replayed: {before} {after}");
        assert_same(&target.all(), &writers.database.all(), "what was replayed");
        assert_eq!(target.sql(SUM), "0\t0");
    });
}

#[derive(Debug, Default)]
struct Notes(std::sync::Mutex<Vec<String>>);

impl Observer for Notes {
    fn on_event(&self, event: &Event) {
        if let Event::Notice { message } = event {
            self.0.lock().unwrap().push(message.clone());
        }
    }
}

/// The server is not frozen behind someone's long query: the backup goes another way, or gives up.
fn long_statement(server: &Server) {
    let database = server.database("CREATE TABLE t(id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let mut client = server.program("client");
    client.arg(format!("--database={}", database.name)).arg("--execute=SELECT SLEEP(12) FROM t");
    let mut client = client.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let notes = std::sync::Arc::new(Notes::default());
    block_on(async {
        let repository = repository().await;
        let source = database.with(|settings| settings.lock_timeout = Duration::from_secs(1));
        let run = RunContext::new().with_observer(notes.clone());
        let begun = std::time::Instant::now();
        kronos_core::backup(&repository, &source, &kronos_core::BackupOptions::new(), &run).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(9 * 3), "{:?}", begun.elapsed());
        // Nobody waits for what the backup has asked for.
        let begun = std::time::Instant::now();
        database.sql("SELECT * FROM t; INSERT INTO t VALUES (2)");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    });
    let _ = client.kill();
    let _ = client.wait();
    let told = notes.0.lock().unwrap().join("\n");
    assert!(told.contains("commits were"), "{told}");
}
