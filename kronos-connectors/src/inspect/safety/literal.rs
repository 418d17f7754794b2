//! Values that stand in a statement as they are.

use sqlparser::ast::{BinaryOperator as Op, Expr, UnaryOperator, Value};

/// A value that is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

/// Numbers of more digits are not told apart.
const DIGITS: usize = 15;

impl Literal {
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Nested(inner) => Self::of(inner),
            Expr::Value(value) => Self::of_value(&value.value),
            Expr::UnaryOp { op, expr } => match (op, Self::of(expr)?) {
                (UnaryOperator::Minus, Self::Number(number)) => Some(Self::Number(-number)),
                (UnaryOperator::Plus, Self::Number(number)) => Some(Self::Number(number)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Boolean(value) => Some(Self::Bool(*value)),
            Value::Number(digits, _) if digits.len() <= DIGITS => digits.parse().ok().map(Self::Number),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(Self::Text(text.clone())),
            _ => None,
        }
    }

    /// What a comparison gives, if that is the same by any collation. With NULL, it does not hold.
    pub(super) fn compare(&self, op: &Op, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => match op {
                Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => Some(false),
                _ => None,
            },
            (Self::Number(one), Self::Number(other)) => {
                let order = one.partial_cmp(other)?;
                match op {
                    Op::Eq | Op::Spaceship => Some(order.is_eq()),
                    Op::NotEq => Some(order.is_ne()),
                    Op::Lt => Some(order.is_lt()),
                    Op::LtEq => Some(order.is_le()),
                    Op::Gt => Some(order.is_gt()),
                    Op::GtEq => Some(order.is_ge()),
                    _ => None,
                }
            }
            (Self::Bool(one), Self::Bool(other)) => match op {
                Op::Eq | Op::Spaceship => Some(one == other),
                Op::NotEq => Some(one != other),
                _ => None,
            },
            (Self::Text(one), Self::Text(other)) => {
                // Collations ignore case, accents and blanks at the end.
                let is_plain = |text: &str| text.chars().all(|char| char.is_ascii_alphanumeric());
                let differ = is_plain(one) && is_plain(other) && !one.eq_ignore_ascii_case(other);
                match op {
                    Op::Eq | Op::Spaceship if differ => Some(false),
                    Op::NotEq if one == other => Some(false),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Whether a number is a bound that all usual keys and amounts are within.
pub(super) fn bounds_nothing(op: &Op, bound: &Expr) -> bool {
    let largest = f64::from(i32::MAX);
    match (op, Literal::of(bound)) {
        (Op::Gt | Op::GtEq, Some(Literal::Number(number))) => number <= 1.0,
        (Op::Lt | Op::LtEq, Some(Literal::Number(number))) => number >= largest,
        (Op::Gt | Op::GtEq, Some(Literal::Text(text))) => text.is_empty(),
        // A number too long to be looked at.
        (_, None) => matches!(bound, Expr::Value(value) if matches!(&value.value, Value::Number(..))),
        _ => false,
    }
}

/// Whether an expression is this number.
pub(super) fn is_number(expr: &Expr, number: f64) -> bool {
    Literal::of(expr).and_then(|literal| literal.compare(&Op::Eq, &Literal::Number(number))) == Some(true)
}
