//! Which backups a retention policy keeps. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::manifest::BackupInfo;
use crate::time::Timestamp;

/// What is to be kept. Rules add up: a backup stays if any rule keeps it.
///
/// Hours, days, weeks (from Monday), months and years are those of `time_zone`; of each, the
/// newest backup is kept, and only periods that have a backup count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many.
    pub last: u32,
    /// One for each of so many hours.
    pub hourly: u32,
    /// One for each of so many days.
    pub daily: u32,
    /// One for each of so many weeks.
    pub weekly: u32,
    /// One for each of so many months.
    pub monthly: u32,
    /// One for each of so many years.
    pub yearly: u32,
    /// Everything this young, counted from now.
    pub within: Option<Duration>,
    /// The name of a time zone, such as `Europe/Berlin`. UTC when absent.
    pub time_zone: Option<String>,
}

/// Why a backup is kept, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The backup.
    pub backup: Id,
    /// The rules that keep it, such as `daily`, `held`; empty when it goes.
    pub kept_by: Vec<&'static str>,
}

impl Retention {
    fn has_rules(&self) -> bool {
        [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly].iter().any(|n| *n > 0)
            || self.within.is_some()
    }

    /// Judges the backups of one job, in any order; the verdicts are oldest first.
    ///
    /// A backup whose verification failed uses up no rule and is kept by none but a hold. A damaged
    /// one uses up none either, but is kept where it would be if it were good, for it may heal. The
    /// newest good one always stays. No rule at all is an error, for it would keep one only.
    pub fn judge(&self, backups: &[BackupInfo], now: Timestamp) -> Result<Vec<Verdict>> {
        if !self.has_rules() {
            return Err(Error::new(ErrorKind::Config, "no retention rule was given"));
        }
        let zone = match &self.time_zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|e| {
                Error::new(ErrorKind::Config, "unknown time zone").with("time zone", name).with_source(e)
            })?,
        };
        // A copied backup may have been begun before those that the log has before it.
        let mut backups: Vec<&BackupInfo> = backups.iter().collect();
        backups.sort_by_key(|b| (b.started, b.id));
        let mut kept: BTreeMap<Id, Vec<&'static str>> = BTreeMap::new();
        let sound: Vec<&BackupInfo> = backups.iter().rev().copied().filter(|b| b.verified != Some(false)).collect();
        let good: Vec<&BackupInfo> = sound.iter().copied().filter(|b| !b.damaged).collect();
        for (rule, count, period) in self.rules() {
            // A damaged one may heal: it stays where it would if it were good, and takes the place of none.
            for (pool, damaged) in [(&good, false), (&sound, true)] {
                let mut seen = BTreeSet::new();
                for backup in pool {
                    if seen.len() as u64 >= u64::from(count) {
                        break;
                    }
                    if seen.insert(period(backup, &zone)) && backup.damaged == damaged {
                        kept.entry(backup.id).or_default().push(rule);
                    }
                }
            }
        }
        for backup in &sound {
            if self.within.is_some_and(|within| now.since(backup.started) <= within) {
                kept.entry(backup.id).or_default().push("within");
            }
        }
        if let Some(newest) = good.first() {
            let reasons = kept.entry(newest.id).or_default();
            if reasons.is_empty() {
                reasons.push("newest");
            }
        }
        for backup in backups.iter().filter(|b| b.held) {
            kept.entry(backup.id).or_default().push("held");
        }
        // Without a single good one, the newest is better than nothing.
        if good.is_empty()
            && let Some(newest) = backups.last()
        {
            kept.entry(newest.id).or_default().push("newest");
        }
        let verdict = |b: &&BackupInfo| Verdict { backup: b.id, kept_by: kept.remove(&b.id).unwrap_or_default() };
        Ok(backups.iter().map(verdict).collect())
    }

    #[expect(clippy::type_complexity, reason = "a table of the rules, used once")]
    fn rules(&self) -> [(&'static str, u32, fn(&BackupInfo, &TimeZone) -> (i64, i64)); 6] {
        [
            ("last", self.last, |b, _| {
                (b.started.as_micros(), i64::from(u32::from_be_bytes([b.id.0[0], b.id.0[1], b.id.0[2], b.id.0[3]])))
            }),
            ("hourly", self.hourly, |b, z| (local_seconds(b, z).div_euclid(3600), 0)),
            ("daily", self.daily, |b, z| civil(b, z, |d| (i64::from(d.year()), i64::from(d.day_of_year())))),
            ("weekly", self.weekly, |b, z| {
                civil(b, z, |d| (i64::from(d.iso_week_date().year()), i64::from(d.iso_week_date().week())))
            }),
            ("monthly", self.monthly, |b, z| civil(b, z, |d| (i64::from(d.year()), i64::from(d.month())))),
            ("yearly", self.yearly, |b, z| civil(b, z, |d| (i64::from(d.year()), 0))),
        ]
    }
}

/// Seconds since 1970 on the clocks of the zone.
fn local_seconds(backup: &BackupInfo, zone: &TimeZone) -> i64 {
    let seconds = backup.started.as_micros().div_euclid(1_000_000);
    let offset = jiff::Timestamp::from_second(seconds).map_or(0, |time| zone.to_offset(time).seconds());
    seconds + i64::from(offset)
}

fn civil(backup: &BackupInfo, zone: &TimeZone, of: impl Fn(jiff::civil::Date) -> (i64, i64)) -> (i64, i64) {
    match jiff::Timestamp::from_microsecond(backup.started.as_micros()) {
        Ok(time) => of(zone.to_datetime(time).date()),
        Err(_) => (backup.started.as_micros(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackupKind, Engine};

    fn at(text: &str, n: u8) -> BackupInfo {
        let time = Timestamp::parse(text).unwrap();
        BackupInfo {
            id: Id([n; 16]),
            origin: crate::Origin { repository: Id([0; 16]), backup: Id([n; 16]) },
            job: "a".into(),
            engine: Engine::SQLITE,
            kind: BackupKind::Full,
            parent: None,
            started: time,
            finished: time,
            bytes: 0,
            bytes_read: 0,
            bytes_stored: 0,
            streams: 0,
            rows: None,
            position: None,
            server_version: None,
            tags: BTreeMap::new(),
            warnings: Vec::new(),
            held: false,
            verified: None,
            damaged: false,
        }
    }

    fn kept(policy: &Retention, backups: &[BackupInfo]) -> Vec<u8> {
        let now = Timestamp::parse("2026-03-10T12:00:00Z").unwrap();
        let verdicts = policy.judge(backups, now).unwrap();
        verdicts.iter().filter(|v| !v.kept_by.is_empty()).map(|v| v.backup.0[0]).collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        let backups = [
            at("2024-12-31T23:00:00Z", 1),
            at("2025-06-01T00:00:00Z", 2),
            at("2026-02-28T00:00:00Z", 3),
            at("2026-03-08T23:00:00Z", 4),
            at("2026-03-09T01:00:00Z", 5),
            at("2026-03-10T10:10:00Z", 6),
            at("2026-03-10T10:50:00Z", 7),
        ];
        let policy = |f: fn(&mut Retention)| {
            let mut p = Retention::default();
            f(&mut p);
            p
        };
        assert_eq!(kept(&policy(|p| p.last = 2), &backups), [6, 7]);
        assert_eq!(kept(&policy(|p| p.hourly = 2), &backups), [5, 7]);
        assert_eq!(kept(&policy(|p| p.daily = 3), &backups), [4, 5, 7]);
        assert_eq!(kept(&policy(|p| p.weekly = 2), &backups), [4, 7], "a week begins on Monday, 9 March 2026");
        assert_eq!(kept(&policy(|p| p.monthly = 3), &backups), [2, 3, 7]);
        assert_eq!(kept(&policy(|p| p.yearly = 9), &backups), [1, 2, 7]);
        assert_eq!(kept(&policy(|p| p.within = Some(Duration::from_hours(48))), &backups), [4, 5, 6, 7]);
        let kolkata = Retention { hourly: 9, time_zone: Some("Asia/Kolkata".into()), ..Default::default() };
        assert_eq!(kept(&kolkata, &backups), [1, 2, 3, 4, 5, 6, 7], "there the hour begins at half past");
        let berlin = Retention { yearly: 9, time_zone: Some("Europe/Berlin".into()), ..Default::default() };
        assert_eq!(kept(&berlin, &backups), [2, 7], "in Berlin the first one is of 2025");
    }

    #[test]
    fn failed_ones_do_not_count_and_the_newest_good_one_stays() {
        let mut backups = [at("2026-03-07T00:00:00Z", 1), at("2026-03-08T00:00:00Z", 2), at("2026-03-09T00:00:00Z", 3)];
        backups[2].verified = Some(false);
        assert_eq!(kept(&Retention { last: 1, ..Default::default() }, &backups), [2]);
        backups[0].held = true;
        let soon = Retention { within: Some(Duration::from_secs(1)), ..Default::default() };
        assert_eq!(kept(&soon, &backups), [1, 2]);
        for backup in &mut backups {
            backup.verified = Some(false);
        }
        backups[0].held = false;
        assert_eq!(kept(&soon, &backups), [3]);
    }

    #[test]
    fn the_newest_is_the_one_begun_last_whatever_the_log_says() {
        let backups = [at("2026-03-09T00:00:00Z", 1), at("2026-03-07T00:00:00Z", 2)];
        assert_eq!(kept(&Retention { last: 1, ..Default::default() }, &backups), [1]);
    }

    #[test]
    fn no_rule_is_an_error() {
        assert_eq!(Retention::default().judge(&[], Timestamp::default()).unwrap_err().kind(), ErrorKind::Config);
    }
}
