//! Any row of the shop, from the seed and its number.

use kronos_core::inspect::Value;

use super::dice::{Dice, date};
use super::words::{FIRST, LANGUAGES, LAST, MATERIALS, NOTES, STATUSES, THEMES, THINGS};
use super::{MockTable, MockTestData};

/// The first of January 2024, the first day of the shop.
const OPENED: u64 = 739_191;
/// The first of January 1940.
const ELDEST: u64 = 708_510;

pub(super) fn of(data: MockTestData, table: MockTable) -> Box<dyn Iterator<Item = Vec<Value>>> {
    match table {
        MockTable::Users => Box::new((1..=u64::from(data.users)).map(move |id| user(data.seed, id))),
        MockTable::Products => Box::new((1..=u64::from(data.products)).map(move |id| product(data.seed, id))),
        MockTable::Orders => Box::new((1..=u64::from(data.sold())).map(move |id| order(data, id))),
        MockTable::OrderItems => Box::new((1..=u64::from(data.sold())).flat_map(move |id| {
            (1_u64..).zip(items(data, id)).map(move |(line, item)| {
                vec![int(id), int(line), int(item.product), int(item.quantity), decimal(item.cents)]
            })
        })),
    }
}

fn user(seed: u64, id: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed, 1, id);
    let name = format!("{} {}", dice.pick(&FIRST), dice.pick(&LAST));
    // Whom nobody brought has come by himself; the first of all has.
    let referrer = if id == 1 || dice.one_in(3) { Value::Null } else { int(1 + dice.below(id - 1)) };
    let born = if dice.one_in(8) { Value::Null } else { date(ELDEST + dice.below(24_000)).into() };
    let length = 1 + dice.below(64);
    let avatar = if dice.one_in(2) { Value::Null } else { dice.bytes(length).into() };
    let settings = format!(
        r#"{{"theme": "{}", "language": "{}", "news": {}}}"#,
        dice.pick(&THEMES),
        dice.pick(&LANGUAGES),
        dice.one_in(2)
    );
    vec![
        int(id),
        format!("user{id}@example.com").into(),
        name.into(),
        born,
        referrer,
        // SQLite has no booleans.
        int(u64::from(!dice.one_in(10))),
        avatar,
        settings.into(),
        moment(&mut dice, OPENED).into(),
    ]
}

fn product(seed: u64, id: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed, 2, id);
    let title = format!("{} {}", dice.pick(&MATERIALS), dice.pick(&THINGS));
    let weight = if dice.one_in(4) { Value::Null } else { Value::Float((1 + dice.below(80_000)) as f64 / 1000.0) };
    // What never runs out has more than fits into 32 bits.
    let stock = if dice.one_in(5) { (1 << 40) + dice.below(1 << 40) } else { dice.below(500) };
    vec![int(id), format!("P{id:07}").into(), title.into(), decimal(cents(seed, id)), weight, int(stock)]
}

/// What a product costs. Orders ask for it without the rest.
fn cents(seed: u64, product: u64) -> u64 {
    99 + Dice::new(seed, 5, product).below(50_000)
}

fn order(data: MockTestData, id: u64) -> Vec<Value> {
    let mut dice = Dice::new(data.seed, 3, id);
    let status = dice.pick(&STATUSES);
    let day = OPENED + dice.below(730);
    let shipped = match status {
        "shipped" | "returned" => date(day + 1 + dice.below(14)).into(),
        _ => Value::Null,
    };
    let note = if dice.one_in(3) { dice.pick(&NOTES).into() } else { Value::Null };
    let total = items(data, id).map(|item| item.quantity * item.cents).sum();
    let number = dice.uuid();
    vec![
        int(id),
        number.into(),
        int(1 + dice.below(u64::from(data.users))),
        status.into(),
        moment(&mut dice, day).into(),
        shipped,
        note,
        decimal(total),
    ]
}

struct Item {
    product: u64,
    quantity: u64,
    cents: u64,
}

fn items(data: MockTestData, order: u64) -> impl Iterator<Item = Item> {
    let mut dice = Dice::new(data.seed, 4, order);
    let count = 1 + dice.below(4);
    (0..count).map(move |_| {
        let product = 1 + dice.below(u64::from(data.products));
        Item { product, quantity: 1 + dice.below(5), cents: cents(data.seed, product) }
    })
}

/// A moment of a day.
fn moment(dice: &mut Dice, day: u64) -> String {
    let (hour, minute, second) = (dice.below(24), dice.below(60), dice.below(60));
    format!("{} {hour:02}:{minute:02}:{second:02}.{:03}", date(day), dice.below(1000))
}

fn decimal(cents: u64) -> Value {
    format!("{}.{:02}", cents / 100, cents % 100).into()
}

/// All numbers of the shop are far below the largest.
fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
