//! The table of contents of an archive, as `pg_restore --list --verbose` prints it: what has to be
//! restored so that some tables are whole, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// The number of `pg_class`: the catalog of tables.
const TABLES: u32 = 1259;
/// What belongs to a table, and comes with it if all that it needs does.
const BELONGS: [&str; 20] = [
    "INDEX ",
    "CONSTRAINT ",
    "CHECK CONSTRAINT ",
    "FK CONSTRAINT ",
    "TRIGGER ",
    "RULE ",
    "DEFAULT ",
    "SEQUENCE OWNED BY ",
    "SEQUENCE ",
    "COMMENT ",
    "ACL ",
    "DEFAULT ACL ",
    "POLICY ",
    "ROW SECURITY ",
    "STATISTICS ",
    "TABLE ATTACH ",
    "INDEX ATTACH ",
    "SECURITY LABEL ",
    "STATISTICS DATA ",
    REFRESH,
];
/// Fills a materialized view.
const REFRESH: &str = "MATERIALIZED VIEW DATA ";
/// What has rows, or shows those of others: not dragged in by what belongs to a table.
const RELATIONS: [&str; 4] = ["TABLE ", "VIEW ", "MATERIALIZED VIEW ", "FOREIGN TABLE "];

/// One entry: a thing that is restored by one or more statements.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: u32,
    catalog: u32,
    oid: u32,
    /// Kind, schema, name and owner, with blanks between.
    text: String,
    needs: Vec<u32>,
}

impl Entry {
    fn belongs(&self) -> bool {
        BELONGS.iter().any(|kind| self.text.starts_with(kind))
    }

    /// Whether it is said of another entry, whatever that is.
    fn is_remark(&self) -> bool {
        ["COMMENT ", "ACL ", "SECURITY LABEL "].iter().any(|kind| self.text.starts_with(kind))
    }

    fn is_relation(&self) -> bool {
        let is_more_than_one = ["TABLE ATTACH ", REFRESH].iter().any(|kind| self.text.starts_with(kind));
        RELATIONS.iter().any(|kind| self.text.starts_with(kind)) && !is_more_than_one
    }
}

/// A choice among the entries of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    /// The lines for `pg_restore --use-list`, in the archive's order.
    pub list: String,
    /// What belongs to a chosen table and needs another one that is not: foreign keys, above all.
    pub left_out: Vec<String>,
    /// Tables that a chosen view needs and that were not chosen: they come without rows.
    pub empty: Vec<String>,
}

/// What it takes to restore the tables with these numbers.
pub(super) fn choose(listing: &str, tables: &BTreeSet<u32>) -> Choice {
    let entries = parse(listing);
    let by_id: BTreeMap<u32, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let is_table = |e: &&Entry| e.catalog == TABLES && tables.contains(&e.oid) && e.is_relation();
    let mut chosen: BTreeSet<u32> = BTreeSet::new();
    for table in entries.iter().filter(is_table) {
        chosen.extend(closure(table.id, &by_id));
    }
    let mut left_out = BTreeSet::new();
    // What belongs to what belongs to a table comes with it: the comment on its index.
    loop {
        let before = chosen.len();
        for entry in &entries {
            let belongs = entry.belongs();
            let to_chosen =
                entry.needs.iter().filter(|id| chosen.contains(id)).filter_map(|id| by_id.get(id)).any(|needed| {
                    entry.is_remark() || needed.belongs() || (needed.is_relation() && tables.contains(&needed.oid))
                });
            if !belongs || !to_chosen || chosen.contains(&entry.id) {
                continue;
            }
            let needs = closure(entry.id, &by_id);
            let drags = |id: &u32| !chosen.contains(id) && by_id.get(id).is_some_and(|e| e.is_relation());
            if needs.iter().any(drags) {
                left_out.insert(entry.id);
            } else {
                chosen.extend(needs);
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    let is_empty = |e: &&Entry| {
        chosen.contains(&e.id) && e.is_relation() && e.text.starts_with("TABLE ") && !tables.contains(&e.oid)
    };
    let line = |entry: &&Entry| format!("{}; {} {} {}\n", entry.id, entry.catalog, entry.oid, entry.text);
    Choice {
        list: entries.iter().filter(|e| chosen.contains(&e.id)).collect::<Vec<_>>().iter().map(line).collect(),
        left_out: entries
            .iter()
            .filter(|e| left_out.contains(&e.id) && !chosen.contains(&e.id))
            // A part without the whole was asked for.
            .filter(|e| !e.text.starts_with("TABLE ATTACH ") && !e.text.starts_with("INDEX ATTACH "))
            .map(|e| e.text.clone())
            .collect(),
        empty: entries.iter().filter(is_empty).map(|e| e.text.clone()).collect(),
    }
}

/// An entry and all that it needs, directly or not.
fn closure(id: u32, by_id: &BTreeMap<u32, &Entry>) -> BTreeSet<u32> {
    let (mut found, mut open) = (BTreeSet::new(), vec![id]);
    while let Some(id) = open.pop() {
        if let (Some(entry), true) = (by_id.get(&id), found.insert(id)) {
            open.extend(&entry.needs);
        }
    }
    found
}

fn parse(listing: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in listing.lines() {
        if let (Some(needs), Some(last)) =
            (line.trim_start_matches([';', ' ', '\t']).strip_prefix("depends on:"), entries.last_mut())
        {
            last.needs.extend(needs.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        } else if let Some(entry) = entry(line) {
            entries.push(entry);
        }
    }
    // A part of a partitioned table is made as a table of its own, and attached then; and so are its
    // indexes, which need no index of the whole.
    detach(&mut entries, "TABLE ATTACH ", &["TABLE "]);
    detach(&mut entries, "INDEX ATTACH ", &["INDEX ", "CONSTRAINT "]);
    entries
}

/// What is attached to another of its kind does not need it to be made.
fn detach(entries: &mut [Entry], attach: &str, kinds: &[&str]) {
    let is_one = |e: &Entry| kinds.iter().any(|kind| e.text.starts_with(kind)) && !e.text.starts_with(attach);
    let alike: BTreeSet<u32> = entries.iter().filter(|e| is_one(e)).map(|e| e.id).collect();
    let pairs: Vec<BTreeSet<u32>> = entries
        .iter()
        .filter(|e| e.text.starts_with(attach))
        .map(|e| e.needs.iter().copied().filter(|id| alike.contains(id)).collect())
        .collect();
    for entry in entries.iter_mut().filter(|e| alike.contains(&e.id)) {
        for both in pairs.iter().filter(|both| both.contains(&entry.id)) {
            entry.needs.retain(|needed| !both.contains(needed));
        }
    }
}

/// `215; 1259 16387 TABLE app t owner`.
fn entry(line: &str) -> Option<Entry> {
    let (id, rest) = line.split_once("; ")?;
    let mut words = rest.splitn(3, ' ');
    Some(Entry {
        id: id.parse().ok()?,
        catalog: words.next()?.parse().ok()?,
        oid: words.next()?.parse().ok()?,
        text: words.next()?.to_owned(),
        needs: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
;
; Archive created at 2026-11-22
;     dbname: shop
;
; Selected TOC Entries:
;
5; 2615 100 SCHEMA - app me
6; 1247 101 TYPE app mood me
;\tdepends on: 5
7; 1255 102 FUNCTION app touch() me
;\tdepends on: 5
10; 1259 200 TABLE app orders me
;\tdepends on: 6 5
11; 0 0 COMMENT app TABLE orders me
;\tdepends on: 10
12; 1259 201 SEQUENCE app orders_id_seq me
;\tdepends on: 5
13; 2604 202 DEFAULT app orders id me
;\tdepends on: 12 10
20; 1259 300 TABLE app customers me
;\tdepends on: 5
21; 2606 301 CONSTRAINT app customers customers_pkey me
;\tdepends on: 20
22; 2606 203 CONSTRAINT app orders orders_pkey me
;\tdepends on: 10
23; 2620 204 TRIGGER app orders t me
;\tdepends on: 10 7
24; 2606 205 FK CONSTRAINT app orders orders_customer_fkey me
;\tdepends on: 10 20 21
25; 1259 400 VIEW app everything me
;\tdepends on: 10 20
30; 1259 500 TABLE app parts me
;\tdepends on: 5
31; 1259 501 TABLE app parts1 me
;\tdepends on: 30 5
32; 0 0 TABLE ATTACH app parts1 me
;\tdepends on: 31 30
33; 2606 502 CONSTRAINT app parts parts_pkey me
;\tdepends on: 30
34; 2606 503 CONSTRAINT app parts1 parts1_pkey me
;\tdepends on: 31 31 33
35; 0 0 INDEX ATTACH app parts1_pkey me
;\tdepends on: 34 33 33 31 30
";

    #[test]
    fn a_table_comes_with_what_it_needs_and_what_belongs_to_it() {
        let choice = choose(LISTING, &BTreeSet::from([200]));
        let ids: Vec<u32> = choice.list.lines().map(|l| l.split(';').next().unwrap().parse().unwrap()).collect();
        assert_eq!(ids, [5, 6, 7, 10, 11, 12, 13, 22, 23]);
        assert_eq!(choice.left_out, ["FK CONSTRAINT app orders orders_customer_fkey me"]);
    }

    #[test]
    fn a_part_alone_is_a_table_of_its_own() {
        let ids = |tables: &[u32]| {
            let choice = choose(LISTING, &tables.iter().copied().collect());
            choice.list.lines().map(|l| l.split(';').next().unwrap().parse().unwrap()).collect::<Vec<u32>>()
        };
        assert_eq!(ids(&[501]), [5, 31, 34]);
        assert_eq!(ids(&[500, 501]), [5, 30, 31, 32, 33, 34, 35]);
    }

    #[test]
    fn a_foreign_key_comes_when_both_of_its_tables_do() {
        let choice = choose(LISTING, &BTreeSet::from([200, 300]));
        assert!(choice.list.contains("24; ") && choice.list.contains("21; ") && choice.left_out.is_empty());
        assert!(!choice.list.contains("VIEW"));
        assert_eq!(choose(LISTING, &BTreeSet::new()), Choice::default());
    }
}
