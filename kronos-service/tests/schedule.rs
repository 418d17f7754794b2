//! When jobs are due: beside a model that goes through time minute by minute, in zones whose clocks
//! jump by an hour, by half an hour, at midnight, or by a whole day.

#![allow(clippy::unwrap_used)]

mod wall;

use std::time::Duration;

use kronos_core::Timestamp;
use kronos_service::schedule::{Blackout, Schedule, ScheduleSettings};
use proptest::prelude::*;
use wall::{Model, at, seconds};

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/St_Johns",
];

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::new(&ScheduleSettings { timezone: zone.to_owned(), ..ScheduleSettings::new(cron) }).expect("a schedule")
}

/// All dues after `from`, up to `to`, by the schedule; it must go forward with each step.
fn dues(schedule: &Schedule, from: i64, to: i64) -> Vec<i64> {
    let mut dues = Vec::new();
    let mut last = at(from);
    while let Some(next) = schedule.next_due(last).filter(|next| *next <= at(to)) {
        assert!(next > last, "{next} is not after {last}");
        dues.push(next.as_micros() / 1_000_000);
        last = next;
    }
    dues
}

fn shown(times: &[i64]) -> Vec<String> {
    times.iter().map(|time| at(*time).to_string()).collect()
}

#[test]
fn a_time_of_day_that_the_clock_jumps_over_is_due_right_after_the_jump() {
    let day = (seconds("2026-03-28T12:00:00Z"), seconds("2026-03-29T22:00:00Z"));
    let due = |cron| shown(&dues(&schedule(cron, "Europe/Berlin"), day.0, day.1));
    assert_eq!(due("30 2 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(due("*/15 2 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(due("0 2,3 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(due("30 2 29 3 *"), ["2026-03-29T01:00:00Z"]);
}

#[test]
fn a_time_of_day_that_the_clock_shows_twice_is_due_once() {
    let day = (seconds("2026-10-24T12:00:00Z"), seconds("2026-10-26T00:00:00Z"));
    let due = |cron| shown(&dues(&schedule(cron, "Europe/Berlin"), day.0, day.1));
    assert_eq!(due("30 2 * * *"), ["2026-10-25T00:30:00Z"]);
    assert_eq!(due("*/30 2 * * *"), ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"]);
    // Also for who begins to look between the two.
    let next = schedule("30 2 * * *", "Europe/Berlin").next_due(at(seconds("2026-10-25T01:15:00Z")));
    assert_eq!(next, Some(at(seconds("2026-10-26T01:30:00Z"))));
}

#[test]
fn what_runs_in_every_hour_follows_real_time() {
    for zone in ["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata"] {
        let year = (seconds("2026-01-01T00:00:00Z"), seconds("2027-01-01T00:00:00Z"));
        let all = dues(&schedule("*/15 * * * *", zone), year.0, year.1);
        assert!(all.windows(2).all(|two| two[1] - two[0] == 900), "{zone}");
    }
}

#[test]
fn a_day_that_a_zone_leaves_out_has_its_run_right_after_it() {
    let week = (seconds("2011-12-28T00:00:00Z"), seconds("2012-01-02T00:00:00Z"));
    let due = shown(&dues(&schedule("0 12 * * *", "Pacific/Apia"), week.0, week.1));
    // The 30th of December was left out between 10:00Z and 10:00Z.
    let expected = ["2011-12-28T22:00:00Z", "2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"];
    assert_eq!(due[..4], expected);
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (low..=high).prop_map(|value| value.to_string()),
        1 => (2..=7_u8).prop_map(|step| format!("*/{step}")),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => prop::collection::btree_set(low..=high, 2..4)
            .prop_map(|values| values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 6), field(1, 28), field(1, 12), field(0, 7))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

fn blackouts() -> impl Strategy<Value = Vec<Blackout>> {
    let days = prop::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..6);
    let window = (days, 0..24_u8, 0..60_u8, 1..12_u8).prop_map(|(days, hour, minute, length)| Blackout {
        days: days.into_iter().map(str::to_owned).collect(),
        from: format!("{hour:02}:{minute:02}"),
        to: format!("{:02}:{minute:02}", (hour + length) % 24),
    });
    prop::collection::vec(window, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_due_is_lost_and_none_is_double(cron in expression(), zone in 0..ZONES.len(), day in 0..365_i64, year in 2010..2040_i64) {
        let from = seconds(&format!("{year}-01-01T00:00:00Z")) + day * 86_400;
        let to = from + 10 * 86_400;
        let real = dues(&schedule(&cron, ZONES[zone]), from, to);
        let model = Model::new(&cron, ZONES[zone]).dues(from, to);
        prop_assert_eq!(shown(&real), shown(&model), "{} in {}", cron, ZONES[zone]);
    }

    #[test]
    fn where_a_search_begins_does_not_matter(cron in expression(), zone in 0..ZONES.len(), offset in 0..(365 * 86_400_000_000_i64)) {
        let schedule = schedule(&cron, ZONES[zone]);
        let after = at(seconds("2026-01-01T00:00:00Z")).plus(Duration::from_micros(offset.unsigned_abs()));
        if let Some(next) = schedule.next_due(after) {
            prop_assert!(next > after);
            let between = after.plus(next.since(after) / 2);
            prop_assert_eq!(schedule.next_due(between), Some(next));
            prop_assert_eq!(schedule.next_due(Timestamp::from_micros(next.as_micros() - 1)), Some(next));
        }
    }

    #[test]
    fn runs_begin_in_the_order_in_which_they_are_due(
        cron in expression(), zone in 0..ZONES.len(), jitter in 0..100_000_u64, windows in blackouts(), day in 0..365_i64,
    ) {
        let settings = ScheduleSettings {
            timezone: ZONES[zone].to_owned(),
            jitter: Duration::from_secs(jitter),
            blackout: windows,
            ..ScheduleSettings::new(cron)
        };
        let schedule = Schedule::new(&settings).expect("a schedule");
        let mut due = at(seconds("2026-01-01T00:00:00Z") + day * 86_400);
        let mut before = due;
        for _ in 0..50 {
            let Some(next) = schedule.next_due(due) else { break };
            let begins = schedule.begins("shop", next);
            prop_assert!(begins >= next && begins >= before, "{} begins at {}, the one before at {}", next, begins, before);
            prop_assert_eq!(begins, schedule.begins("shop", next));
            prop_assert_eq!(begins, schedule.defer(begins), "it begins in a window");
            (due, before) = (next, begins);
        }
    }

    #[test]
    fn what_is_pending_is_all_that_should_have_begun(
        cron in expression(), jitter in 0..10_000_u64, windows in blackouts(), long in 1..(40 * 86_400_i64), tolerance in 0..7_200_u64,
    ) {
        let settings = ScheduleSettings { jitter: Duration::from_secs(jitter), blackout: windows, ..ScheduleSettings::new(cron) };
        let schedule = Schedule::new(&settings).expect("a schedule");
        let from = seconds("2026-03-01T00:00:00Z");
        let (now, tolerance) = (at(from + long), Duration::from_secs(tolerance));
        let pending = schedule.pending("shop", at(from), now, tolerance);
        let begun: Vec<i64> = dues(&schedule, from, from + long).into_iter().filter(|due| schedule.begins("shop", at(*due)) <= now).collect();
        let (late, timely): (Vec<i64>, Vec<i64>) = begun.iter().partition(|due| now.since(schedule.begins("shop", at(**due))) > tolerance);
        for (span, dues) in [(pending.late, &late), (pending.timely, &timely)] {
            prop_assert_eq!(span.map(|span| (span.first, span.last)), dues.first().map(|first| (at(*first), at(dues[dues.len() - 1]))));
            if begun.len() < 10_000 {
                prop_assert_eq!(span.map_or(0, |span| span.count), dues.len() as u64);
            }
        }
    }
}

#[test]
fn jitter_is_of_the_job_and_the_time() {
    let settings = ScheduleSettings { jitter: Duration::from_mins(30), ..ScheduleSettings::new("0 3 * * *") };
    let schedule = Schedule::new(&settings).expect("a schedule");
    let due = at(seconds("2026-03-01T03:00:00Z"));
    let jobs: Vec<_> = (0..50).map(|job| schedule.begins(&format!("job {job}"), due)).collect();
    assert!(jobs.iter().all(|begins| begins.since(due) < Duration::from_mins(30)));
    assert!(jobs.windows(2).any(|two| two[0] != two[1]));
    // Written down: another version must not move it.
    assert_eq!(schedule.begins("shop", due).to_string(), "2026-03-01T03:24:32.709858Z");
}

#[test]
fn a_very_long_time_away_is_dealt_with_quickly() {
    let schedule = schedule("* * * * *", "Europe/Berlin");
    let now = at(seconds("2026-03-01T00:00:30Z"));
    let began = std::time::Instant::now();
    let pending = schedule.pending("shop", at(seconds("2016-03-01T00:00:00Z")), now, Duration::from_secs(30));
    assert_eq!(pending.timely.map(|span| span.last), Some(at(seconds("2026-03-01T00:00:00Z"))));
    let late = pending.late.expect("ten years of minutes");
    assert_eq!((late.first, late.last), (at(seconds("2016-03-01T00:01:00Z")), at(seconds("2026-02-28T23:59:00Z"))));
    assert_eq!(late.without_last().map(|span| span.last), Some(at(seconds("2026-02-28T23:58:00Z"))));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
