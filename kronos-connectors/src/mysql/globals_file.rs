//! Users and rights as a script for the servers' client.

use kronos_core::Result;

use super::connect::MODE;
use super::globals::{Account, CREATE, GRANT, check, is_about_package, parse};

/// The accounts of a stream as statements. Those that are there already, as the one who loads it, are
/// not made again.
pub(super) fn script(text: &str) -> Result<String> {
    let accounts = parse(text)?;
    let plain = format!("SET SESSION sql_mode = '{MODE}';\n");
    let mut script = format!("SET NAMES utf8mb4;\n{plain}");
    let (mut roles, users): (Vec<_>, Vec<_>) =
        accounts.iter().filter(|account| !account.is_everyone()).partition(|account| account.role);
    for user in &users {
        script.push_str(&create(user, None)?);
    }
    let mut made = users;
    while !roles.is_empty() {
        // First those whose administrator is there, or will never be.
        let is_ready = |role: &&Account| administrator(role, &made).is_some() || administrator(role, &roles).is_none();
        let next = roles.iter().position(is_ready).unwrap_or_default();
        let role = roles.remove(next);
        script.push_str(&create(role, administrator(role, &made))?);
        made.push(role);
    }
    for sql in accounts.iter().flat_map(|account| account.grants.iter().chain(&account.alter)) {
        check(sql, &GRANT)?;
        if is_about_package(sql) {
            script.extend(["SET SESSION sql_mode = 'ORACLE';\n", sql, ";\n", &plain]);
        } else {
            script.extend([sql, ";\n"]);
        }
    }
    Ok(script)
}

fn create(account: &Account, administrator: Option<&Account>) -> Result<String> {
    check(&account.create, &CREATE)?;
    let (kind, rest) = account.create.split_at(CREATE[0].len());
    let administrator = administrator.map_or_else(String::new, |other| format!(" WITH ADMIN {}", other.sql()));
    Ok(format!("{kind} IF NOT EXISTS{rest}{administrator};\n"))
}

/// Who may hand on a role of MariaDB. It would be whoever makes it, if nobody is named.
fn administrator<'a>(role: &Account, among: &[&'a Account]) -> Option<&'a Account> {
    let grant = |other: &Account| format!("GRANT {} TO {} WITH ADMIN OPTION", role.sql(), other.sql());
    among.iter().copied().find(|other| other.grants.contains(&grant(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_after_who_may_hand_them_on() {
        let role = |name: &str, grants: &str| {
            format!(
                "{{\"user\":\"{name}\",\"host\":\"\",\"role\":true,\"create\":\"CREATE ROLE `{name}`\",\"grants\":[{grants}]}}\n"
            )
        };
        let text = role("a", "")
            + &role("b", "\"GRANT `a` TO `b` WITH ADMIN OPTION\"")
            + &role("PUBLIC", "\"GRANT USAGE ON *.* TO PUBLIC\"");
        let script = script(&text).unwrap();
        let (b, a) = ("CREATE ROLE IF NOT EXISTS `b`;\n", "CREATE ROLE IF NOT EXISTS `a` WITH ADMIN `b`;\n");
        assert!(script.contains(&format!("{b}{a}GRANT `a` TO `b`")) && !script.contains("`PUBLIC`"), "{script}");
        let forged = "{\"user\":\"x\",\"host\":\"\",\"create\":\"DROP USER x\",\"grants\":[]}\n";
        assert!(super::script(forged).is_err());
    }
}
