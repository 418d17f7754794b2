//! How a page of a listing goes wrong.

use super::state::State;
use crate::storage::{Key, ObjectMeta};

/// How many entries a page of an earlier listing has.
const PAGE: usize = 1000;
/// How many of the entries an incomplete page lacks.
const LACKING: f64 = 0.25;

/// Makes of a good page what the caller gets to see.
pub(super) fn spoil(
    state: &mut State,
    prefix: Option<&Key>,
    after: Option<&Key>,
    page: Vec<ObjectMeta>,
) -> Vec<ObjectMeta> {
    let mut page = page;
    if state.prng.chance(state.plan.stale_list) && !state.past_listings.is_empty() {
        let which = state.prng.index(state.past_listings.len());
        page = part_of(&state.past_listings[which], prefix, after);
        state.count("stale list");
    }
    if state.prng.chance(state.plan.incomplete_list) && !page.is_empty() {
        page.retain(|_| !state.prng.chance(LACKING));
        state.count("incomplete list");
    }
    if state.prng.chance(state.plan.reordered_list) && page.len() > 1 {
        state.prng.shuffle(&mut page);
        state.count("reordered list");
    }
    page
}

fn part_of(all: &[ObjectMeta], prefix: Option<&Key>, after: Option<&Key>) -> Vec<ObjectMeta> {
    let below = prefix.map(|p| format!("{p}/")).unwrap_or_default();
    all.iter()
        .filter(|m| m.key.as_str().starts_with(&below) && after.is_none_or(|after| m.key > *after))
        .take(PAGE)
        .cloned()
        .collect()
}
