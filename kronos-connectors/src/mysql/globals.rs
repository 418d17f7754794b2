//! Users and roles with their rights: one line of JSON for each, read from the server's own words,
//! and what of them a restore makes.

use std::collections::BTreeSet;

use kronos_core::Result;
use mysql_async::Row;
use serde::{Deserialize, Serialize};

use super::connect::{MODE, Session};
use super::error::{corrupt, has_code, internal};
use super::names::{account, ident, literal, plain_literal};
use super::rewrite::{Part, moved, names_database};

/// The server knows no such user, whatever its tables say (MariaDB).
const INEFFECTIVE: u16 = 1133;

/// Accounts that every server has for itself.
const OWN: [&str; 4] = ["mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys"];
/// A role of MariaDB that is always there, and that everyone has.
const EVERYONE: &str = "PUBLIC";
/// What may be asked only by users with certain rights is refused with these.
const DENIED: [u16; 3] = [1044, 1142, 1227];
/// What makes an account; one is as long as the other.
pub(super) const CREATE: [&str; 2] = ["CREATE USER", "CREATE ROLE"];
/// What gives it what it may do, or changes it.
pub(super) const GRANT: [&str; 4] = ["GRANT", "REVOKE", "SET DEFAULT ROLE", "ALTER USER"];
/// No such grant; no such role; no such user.
const GONE: [u16; 6] = [1141, 1269, 1396, 1959, 3162, 3523];

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub user: String,
    pub host: String,
    /// A role of MariaDB; in MySQL a role is a user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub role: bool,
    pub create: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alter: Vec<String>,
    pub grants: Vec<String>,
}

impl Account {
    pub(super) fn is_everyone(&self) -> bool {
        self.role && self.user == EVERYONE
    }

    pub(super) fn sql(&self) -> String {
        if self.is_everyone() {
            EVERYONE.to_owned()
        } else if self.role {
            ident(&self.user)
        } else {
            format!("{}@{}", ident(&self.user), ident(&self.host))
        }
    }
}

/// What MySQL does not say in the words of `SHOW CREATE USER`, or says so that it cannot be read.
async fn amend(session: &mut Session, account: &mut Account) -> Result<()> {
    type Found = (String, Option<String>, Vec<u8>, Vec<u8>, Vec<u8>, Option<u16>);
    let sql = format!(
        "SELECT plugin, HEX(user_attributes->>'$.additional_password'), ssl_cipher, x509_issuer, x509_subject, \
            IF(password_expired = 'Y', password_lifetime, NULL) \
         FROM mysql.user WHERE user = {} AND host = {}",
        literal(&account.user),
        literal(&account.host)
    );
    let (plugin, second, cipher, issuer, subject, days): Found = session.row("ask for a user", &sql).await?;
    for (word, value) in [("CIPHER", cipher), ("ISSUER", issuer), ("SUBJECT", subject)] {
        let value = String::from_utf8_lossy(&value);
        // Nothing in it is escaped.
        let (shown, meant) = (format!("{word} '{value}'"), format!("{word} {}", plain_literal(&value)));
        account.create = account.create.replacen(&shown, &meant, 1);
    }
    let name = account.sql();
    let is_expired = account.create.contains(" PASSWORD EXPIRE ACCOUNT ");
    let again = format!("ALTER USER {name} PASSWORD EXPIRE");
    if let Some(days) = days.filter(|_| is_expired) {
        // Of one that has expired it is not said how long the next will last.
        let lasts = if days == 0 { "NEVER".to_owned() } else { format!("INTERVAL {days} DAY") };
        account.alter.extend([format!("{again} {lasts}"), again.clone()]);
    }
    let Some(old) = second.filter(|second| !second.is_empty()) else { return Ok(()) };
    // Two passwords that are both good: it is made with the older one, and gets the newer one.
    let found = account.create.find(" AS 0x").map(|at| at + " AS 0x".len());
    let unknown = || internal("the password of a user is in words that Kronos does not know");
    let begin = found.ok_or_else(unknown)?;
    let rest = &account.create[begin..];
    let length = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    let new = &rest[..length];
    account.alter.push(format!(
        "ALTER USER {name} IDENTIFIED WITH {} AS 0x{new} RETAIN CURRENT PASSWORD",
        plain_literal(&plugin)
    ));
    if is_expired {
        account.alter.push(again);
    }
    account.create.replace_range(begin..begin + length, &old);
    Ok(())
}

/// Every account, as lines; and what the user should know.
pub(super) async fn read(session: &mut Session) -> Result<(Vec<u8>, Vec<String>)> {
    let sql = if session.server.is_mariadb {
        "SELECT user, host, is_role = 'Y', default_role FROM mysql.user ORDER BY is_role = 'Y' DESC, user, host"
    } else {
        "SELECT user, host, 0, '' FROM mysql.user ORDER BY user, host"
    };
    let found: Result<Vec<(String, String, bool, String)>> = session.rows("list the users", sql).await;
    let found = match found {
        Err(error) if has_code(&error, &DENIED) => {
            let told =
                "users and their rights are not backed up, as the user may not read them: GRANT SELECT ON mysql.*";
            return Ok((Vec::new(), vec![told.to_owned()]));
        }
        found => found?,
    };
    if !session.server.is_mariadb {
        // Hashes have bytes that are no text.
        session.run("prepare the session", "SET SESSION print_identified_with_as_hex = ON").await?;
    }
    let (mut accounts, mut warnings) = (Vec::new(), Vec::new());
    for (user, host, role, default) in found {
        if OWN.contains(&user.as_str()) {
            continue;
        }
        let mut account = Account { user, host, role, create: String::new(), alter: Vec::new(), grants: Vec::new() };
        let name = account.sql();
        account.create = if role {
            format!("CREATE ROLE {name}")
        } else {
            // MariaDB may need a second statement, for how long the password lasts.
            let mut shown = match shown(session, &format!("SHOW CREATE USER {name}")).await {
                Ok(shown) => shown.into_iter(),
                // Dropped since they were listed.
                Err(error) if has_code(&error, &GONE) => continue,
                Err(error) if has_code(&error, &[INEFFECTIVE]) => {
                    warnings.extend(ineffective(session, &account).await?);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let create = shown.next().unwrap_or_default();
            account.alter = shown.collect();
            if create.ends_with(" PASSWORD EXPIRE") {
                // Whatever is said of the user takes it back.
                account.alter.push(format!("ALTER USER {name} PASSWORD EXPIRE"));
            }
            create
        };
        if !session.server.is_mariadb {
            amend(session, &mut account).await?;
        }
        account.grants = match shown(session, &format!("SHOW GRANTS FOR {name}")).await {
            Err(error) if has_code(&error, &GONE) => continue,
            grants => grants?,
        };
        // MariaDB shows those of its roles as well.
        let own = [format!(" TO {name}"), format!(" FOR {name}")];
        account.grants.retain(|grant| own.iter().any(|own| grant.contains(own)));
        if !default.is_empty() && !account.grants.iter().any(|grant| grant.starts_with("SET DEFAULT ROLE")) {
            account.grants.push(format!("SET DEFAULT ROLE {} FOR {name}", ident(&default)));
        }
        accounts.push(account);
    }
    // What has a default role comes after the roles.
    accounts.sort_by_key(|account| account.create.contains(" DEFAULT ROLE "));
    let mut lines = Vec::new();
    for account in &accounts {
        serde_json::to_writer(&mut lines, account).map_err(|e| internal("JSON").with_source(e))?;
        lines.push(b'\n');
    }
    Ok((lines, warnings))
}

/// What is told of an account of which the server knows nothing though its table has it, if it still
/// has it: its host has a name where names are not looked for, or the table was written by hand.
async fn ineffective(session: &mut Session, account: &Account) -> Result<Option<String>> {
    let (user, host) = (literal(&account.user), literal(&account.host));
    let sql = format!("SELECT COUNT(*) FROM mysql.user WHERE user = {user} AND host = {host}");
    let count: u64 = session.value("look for a user", &sql).await?;
    let name = self::account(&account.user, &account.host);
    Ok((count > 0).then(|| {
        format!("the user {name} is not backed up, as nobody can log in as this one: the server knows it not")
    }))
}

async fn shown(session: &mut Session, sql: &str) -> Result<Vec<String>> {
    let rows: Vec<Row> = session.rows("ask for a user's rights", sql).await?;
    // MariaDB has the statement in the only column, MySQL too.
    Ok(rows.iter().filter_map(|row| row.get_opt::<String, _>(0)?.ok()).collect())
}

/// The accounts of a stream.
pub(super) fn parse(text: &str) -> Result<Vec<Account>> {
    let wrong = |e| corrupt("the users of the backup are malformed").with_source(e);
    text.lines().map(|line| serde_json::from_str(line).map_err(wrong)).collect()
}

/// Elsewhere MariaDB before 11 does not know the word.
pub(super) fn is_about_package(sql: &str) -> bool {
    sql.contains(" ON PACKAGE ")
}

/// What of the accounts is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// All of them: the whole server is restored.
    pub all: bool,
    /// Users and hosts that objects name as their definers.
    pub definers: BTreeSet<(String, String)>,
    /// Databases of the backup and the names that they get.
    pub databases: Vec<(String, String)>,
    /// Restore who may do what.
    pub privileges: bool,
}

impl Wanted {
    fn wants(&self, account: &Account) -> bool {
        let is_definer = self.definers.contains(&(account.user.clone(), account.host.clone()));
        let is_granted = |grant: &String| self.databases.iter().any(|(from, _)| is_about(grant, from));
        self.all || is_definer || (self.privileges && account.grants.iter().any(is_granted))
    }
}

/// Whether a right is one in a database.
fn is_about(grant: &str, database: &str) -> bool {
    names_database(grant, database) || names_database(grant, &pattern(database))
}

/// The name of a database as rights have it, where `_` and `%` would be patterns.
fn pattern(database: &str) -> String {
    database.replace('_', "\\_").replace('%', "\\%")
}

/// Accounts that a restore has made.
#[derive(Debug, Default)]
pub(super) struct Made {
    new: Vec<Account>,
    /// Was there before, and gets rights too.
    everyone: Option<Account>,
    /// Roles that belonged to whoever restores them.
    own: Vec<String>,
}

impl Made {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty()
    }

    /// For people.
    pub(super) fn names(&self) -> Vec<String> {
        self.new.iter().map(|made| account(&made.user, &made.host)).collect()
    }
}

/// Makes the accounts that are wanted and not there, without any right.
pub(super) async fn make(session: &mut Session, text: &str, wanted: &Wanted, made: &mut Made) -> Result<()> {
    let (user,): (String,) = session.row("ask who the user is", "SELECT CURRENT_USER()").await?;
    let all = parse(text)?;
    for account in all.iter().filter(|account| wanted.wants(account)) {
        if account.is_everyone() {
            made.everyone = Some(account.clone());
            continue;
        }
        if exists(session, account).await? {
            continue;
        }
        check(&account.create, &CREATE)?;
        let hint = "`--no-owner --no-privileges` leaves users out";
        run(session, account, &account.create).await.map_err(|e| e.with("hint", hint))?;
        made.new.push(account.clone());
    }
    let mine = all.iter().filter(|account| format!("{}@{}", account.user, account.host) == user);
    made.own = mine.flat_map(|account| account.grants.clone()).collect();
    Ok(())
}

/// Gives the new accounts their rights, once what they are rights to is there; gives what could not
/// be given.
pub(super) async fn grant(session: &mut Session, wanted: &Wanted, made: &Made) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let (user,): (String,) = session.row("ask who the user is", "SELECT CURRENT_USER()").await?;
    let (user, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    for account in made.new.iter().chain(&made.everyone) {
        let grants = account.grants.iter().filter(|_| wanted.privileges);
        for grant in grants.chain(&account.alter) {
            check(grant, &GRANT)?;
            let other = wanted.databases.iter().find(|(from, _)| is_about(grant, from));
            let grant = match other {
                Some((from, to)) if from != to => {
                    moved(&moved(grant, from, to, Part::All), &pattern(from), &pattern(to), Part::All)
                }
                // A right in a database that is not restored.
                None if !wanted.all && !is_global(grant) => continue,
                _ => grant.clone(),
            };
            if let Err(error) = run(session, account, &grant).await {
                warnings.push(format!(
                    "a right could not be given to {}: {error}",
                    self::account(&account.user, &account.host)
                ));
            }
        }
    }
    // Who makes a role in MariaDB may hand it on from then on; until all who have it got it, he must.
    for account in &made.new {
        let own = format!(" {} TO {}@{}", account.sql(), ident(user), ident(host));
        if account.role && !made.own.iter().any(|grant| grant.contains(&own)) {
            let sql = format!("REVOKE {} FROM {}@{}", account.sql(), ident(user), ident(host));
            run(session, account, &sql).await?;
        }
    }
    Ok(warnings)
}

/// Whether a right is one in no database: of the whole server, or a role.
fn is_global(grant: &str) -> bool {
    grant.contains(" ON *.* ") || !grant.contains(" ON ")
}

async fn exists(session: &mut Session, account: &Account) -> Result<bool> {
    let sql = format!("SHOW GRANTS FOR {}", account.sql());
    let found: Result<Vec<Row>> = session.rows("look for a user", &sql).await;
    match found {
        Ok(_) => Ok(true),
        // No such grant; a role that is not there.
        Err(error) if has_code(&error, &[1141, 1959, 3523, 3530]) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nothing of a forged backup but what it is said to be.
pub(super) fn check(sql: &str, begins: &[&str]) -> Result<()> {
    if begins.iter().any(|begin| sql.starts_with(begin)) {
        Ok(())
    } else {
        Err(corrupt("a user of the backup is none"))
    }
}

async fn run(session: &mut Session, account: &Account, sql: &str) -> Result<()> {
    let is_about_package = session.server.is_mariadb && is_about_package(sql);
    if is_about_package {
        session.run("prepare the session", "SET SESSION sql_mode = 'ORACLE'").await?;
    }
    let done = session.run("make a user", sql).await;
    if is_about_package {
        session.run("prepare the session", &format!("SET SESSION sql_mode = '{MODE}'")).await?;
    }
    done.map_err(|e| e.with("user", self::account(&account.user, &account.host)))
}

/// Removes accounts that were made.
pub(super) async fn undo(session: &mut Session, made: &Made) -> Result<()> {
    for account in made.new.iter().rev() {
        let kind = if account.role { "ROLE" } else { "USER" };
        session.run("remove a user", &format!("DROP {kind} IF EXISTS {}", account.sql())).await?;
    }
    Ok(())
}
