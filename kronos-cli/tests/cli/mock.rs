//! A made-up database as source and target of the real program, in builds that have it.
#![cfg(feature = "mocks")]
use crate::common::Place;

#[test]
fn a_mock_goes_there_and_back() {
    let place = Place::new();
    let url = |version: u32| format!("mock:shop?size=4MB&streams=4&pages=4096&change=1%&version={version}");
    let report = |version| place.json(&["backup", &url(version), "--to", "repo"])["jobs"][0].clone();
    let (first, second) = (report(1).to_string(), report(2).to_string());
    assert_ne!(first, second);
    let listing = place.json(&["list", "--from", "repo"]);
    let stored = |n: usize| listing["backups"][n]["bytes_stored"].as_u64().unwrap();
    assert!(stored(0) > 4_000_000 && stored(1) < 400_000, "{listing}");
    // The target compares every byte with the one that belongs there.
    let restored = place.json(&["restore", "latest", "--from", "repo", "--to", "mock:copy?streams=0"]);
    assert_eq!(restored["report"]["bytes"], 4_000_000);
}

#[test]
fn a_mock_fails_as_it_is_told() {
    let place = Place::new();
    let ran = place.run(&["backup", "mock:shop?size=4MB&fail=read:1MB:query-failed", "--to", "repo"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the mock fails while it is read"), "{}", ran.err);
    assert!(place.json(&["list", "--from", "repo"])["backups"].as_array().unwrap().is_empty());
    place.ok(&["check", "--read-data", "--from", "repo"]);
}
