//! Whether a WHERE restricts: constants, tautologies and columns of other tables leave every row in.
//!
//! Where it is not sure that a condition looks at the row, it counts as one that does not.

use std::collections::HashSet;

use sqlparser::ast::{BinaryOperator as Op, Expr, InTarget, SetExpr, TableFactor, UnaryOperator, Value};

use super::columns::{Columns, has_bars, is_flat, part_name, same};
use super::dialect::Language;
use super::literal::{Literal, bounds_nothing, is_number};

/// What a condition says of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    /// It holds for all of them, or nobody knows before it runs, but for all of them alike.
    Every,
    /// It may well hold for all of them.
    Most,
    /// It picks some.
    Some,
    /// It holds for none.
    No,
}

/// The tables that a condition is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// The changed one, by all its names, in lower case.
    pub changed: HashSet<String>,
    /// Those beside it.
    pub beside: HashSet<String>,
}

#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub language: Language,
    pub tables: &'a Tables,
}

/// More than that are not compared with each other.
const COMPARED: usize = 64;

impl Condition<'_> {
    /// What a whole WHERE says.
    pub(super) fn of(&self, selection: &Expr) -> Truth {
        // For MySQL it is OR, and binds otherwise than it is parsed, unless a mode says that it joins texts.
        if self.language == Language::MySql && has_bars(selection) { Truth::Every } else { self.truth(selection) }
    }

    fn truth(&self, expr: &Expr) -> Truth {
        match expr {
            Expr::Nested(inner) | Expr::IsTrue(inner) => self.truth(inner),
            Expr::Value(value) => self.of_value(&value.value),
            Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::BangNot, expr } => not(self.truth(expr)),
            Expr::IsFalse(inner) => not(self.truth(inner)),
            Expr::IsNull(inner) => self.picks(inner),
            Expr::IsNotNull(inner) | Expr::IsNotTrue(inner) | Expr::IsNotFalse(inner) => self.wide(inner),
            Expr::BinaryOp { left, op: Op::And, right } => and(self.truth(left), self.truth(right)),
            Expr::BinaryOp { op: Op::Or, .. } => self.any_of(expr),
            Expr::BinaryOp { left, op, right } => self.compared(expr, left, op, right),
            Expr::IsNotDistinctFrom(left, right) => self.compared(expr, left, &Op::Spaceship, right),
            Expr::IsDistinctFrom(left, right) => self.compared(expr, left, &Op::NotEq, right),
            Expr::In { expr, target, negated, .. } => self.one_of(expr, target, *negated),
            Expr::Between { expr: value, negated, low, high } => {
                if !negated && same(value, low) && same(value, high) {
                    return Truth::Every;
                }
                let is_wide = *negated || bounds_nothing(&Op::GtEq, low) && bounds_nothing(&Op::LtEq, high);
                if is_wide { self.wide(expr) } else { self.picks(expr) }
            }
            Expr::Like { negated, pattern, .. }
            | Expr::ILike { negated, pattern, .. }
            | Expr::SimilarTo { negated, pattern, .. }
            | Expr::RLike { negated, pattern, .. } => self.like(expr, pattern, *negated),
            Expr::Exists { subquery, negated } => {
                let selection = match subquery.body.as_ref() {
                    SetExpr::Select(select) => select.selection.as_ref(),
                    _ => None,
                };
                let columns = Columns { tables: self.tables, within: true };
                let picks = selection.is_some_and(|inner| columns.any(inner) && self.truth(inner) == Truth::Some);
                if !picks {
                    Truth::Every
                } else if *negated {
                    Truth::Most
                } else {
                    Truth::Some
                }
            }
            // A value that stands for a condition.
            _ if self.language == Language::Postgres && !matches!(expr, Expr::Case { .. }) => self.picks(expr),
            _ => self.wide(expr),
        }
    }

    fn looks(&self, expr: &Expr) -> bool {
        Columns { tables: self.tables, within: false }.any(expr)
    }

    fn picks(&self, expr: &Expr) -> Truth {
        if self.looks(expr) { Truth::Some } else { Truth::Every }
    }

    fn wide(&self, expr: &Expr) -> Truth {
        if self.looks(expr) { Truth::Most } else { Truth::Every }
    }

    fn of_value(&self, value: &Value) -> Truth {
        match Literal::of_value(value) {
            Some(Literal::Null | Literal::Bool(false)) => Truth::No,
            Some(Literal::Number(number)) if number == 0.0 && self.language != Language::Postgres => Truth::No,
            _ => Truth::Every,
        }
    }

    fn compared(&self, expr: &Expr, left: &Expr, op: &Op, right: &Expr) -> Truth {
        match op {
            Op::NotEq | Op::Lt | Op::Gt if left == right && is_name(left) => return Truth::No,
            _ if is_flat(left) || is_flat(right) => return Truth::Every,
            Op::Eq | Op::Spaceship | Op::LtEq | Op::GtEq | Op::Is if same(left, right) => return Truth::Every,
            _ if self.may_be_texts(left, op, right) => return Truth::Every,
            _ => {}
        }
        if let (Some(one), Some(other)) = (Literal::of(left), Literal::of(right)) {
            return if one.compare(op, &other) == Some(false) { Truth::No } else { Truth::Every };
        }
        match op {
            _ if !self.looks(left) && !self.looks(right) => Truth::Every,
            Op::Eq | Op::Spaceship | Op::Is => {
                // A text that is no number is equal to 0.
                let is_zero = |side: &Expr| is_number(side, 0.0);
                if self.language == Language::MySql && (is_zero(left) || is_zero(right)) {
                    Truth::Most
                } else {
                    Truth::Some
                }
            }
            Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                let is_wide = bounds_nothing(op, right) || bounds_nothing(&turned(op), left);
                if is_wide { Truth::Most } else { Truth::Some }
            }
            Op::Match
            | Op::Regexp
            | Op::Glob
            | Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch => self.like(expr, right, false),
            // What is not a comparison stands for a condition.
            Op::NotEq | Op::IsNot | Op::Xor | Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
                Truth::Most
            }
            _ => self.picks(expr),
        }
    }

    /// In SQLite a double-quoted name that is no column is a text.
    fn may_be_texts(&self, left: &Expr, op: &Op, right: &Expr) -> bool {
        let text = |side: &Expr| match side {
            Expr::Identifier(ident) if ident.quote_style == Some('"') => Some((true, ident.value.clone())),
            other => match Literal::of(other)? {
                Literal::Text(text) => Some((false, text)),
                _ => None,
            },
        };
        let (Some((one, left)), Some((other, right))) = (text(left), text(right)) else { return false };
        self.language == Language::Sqlite
            && (one || other)
            && Literal::Text(left).compare(op, &Literal::Text(right)) != Some(false)
    }

    fn one_of(&self, value: &Expr, target: &InTarget, negated: bool) -> Truth {
        if negated {
            return self.wide(value);
        }
        match target {
            InTarget::List(list) if list.iter().any(|item| same(value, item)) => Truth::Every,
            InTarget::Subquery(query) => {
                let is_whole = match query.body.as_ref() {
                    SetExpr::Select(select) => {
                        let reads_changed = select.from.iter().any(|from| match &from.relation {
                            TableFactor::Table { name, .. } => {
                                name.0.last().is_some_and(|part| self.tables.changed.contains(&part_name(part)))
                            }
                            _ => false,
                        });
                        let is_free = select
                            .selection
                            .as_ref()
                            .is_none_or(|inner| self.truth(inner) != Truth::Some && self.truth(inner) != Truth::No);
                        reads_changed && is_free && query.limit_clause.is_none()
                    }
                    SetExpr::Table(_) => true,
                    _ => false,
                };
                if is_whole { Truth::Every } else { self.picks(value) }
            }
            _ => self.picks(value),
        }
    }

    fn like(&self, expr: &Expr, pattern: &Expr, negated: bool) -> Truth {
        let is_open = match Literal::of(pattern) {
            Some(Literal::Text(text)) => {
                text.chars().all(|char| matches!(char, '%' | '_' | '*' | '.' | '^' | '$' | '?' | '(' | ')' | '|'))
            }
            Some(_) => false,
            // A pattern that only the server will know.
            None => true,
        };
        if is_open || negated { self.wide(expr) } else { self.picks(expr) }
    }

    fn any_of(&self, expr: &Expr) -> Truth {
        let mut parts = Vec::new();
        let mut left = vec![expr];
        while let Some(part) = left.pop() {
            match part {
                Expr::BinaryOp { left: one, op: Op::Or, right: other } => left.extend([one.as_ref(), other]),
                Expr::Nested(inner) => left.push(inner),
                other => parts.push(other),
            }
        }
        let all = parts.iter().map(|part| self.truth(part)).reduce(or).unwrap_or(Truth::Every);
        if all == Truth::No || all == Truth::Every {
            return all;
        }
        let is_plain =
            |part: &Expr| matches!(part, Expr::BinaryOp { op: Op::Eq, .. } | Expr::In { negated: false, .. });
        let plain = parts.iter().filter(|part| is_plain(part)).count();
        if parts.len() - plain > COMPARED {
            return Truth::Most;
        }
        let others: Vec<&Expr> = parts.iter().copied().filter(|part| !is_plain(part)).collect();
        let are_all = others.iter().enumerate().any(|(at, one)| {
            others[at + 1..].iter().any(|other| complete(one, other))
                || parts.iter().any(|other| is_plain(other) && complete(one, other))
        });
        if are_all { Truth::Every } else { all }
    }
}

fn is_name(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// Whether one of two conditions always holds, or may: each row is on one side of a bound or the other.
fn complete(one: &Expr, other: &Expr) -> bool {
    match (one, other) {
        (Expr::Nested(one), other) | (other, Expr::Nested(one)) => complete(one, other),
        (Expr::UnaryOp { op: UnaryOperator::Not, expr }, other)
        | (other, Expr::UnaryOp { op: UnaryOperator::Not, expr }) => same(expr, other),
        (Expr::IsNull(one), Expr::IsNotNull(other))
        | (Expr::IsNotNull(one), Expr::IsNull(other))
        | (Expr::IsTrue(one), Expr::IsNotTrue(other))
        | (Expr::IsNotTrue(one), Expr::IsTrue(other))
        | (Expr::IsFalse(one), Expr::IsNotFalse(other))
        | (Expr::IsNotFalse(one), Expr::IsFalse(other)) => same(one, other),
        (Expr::Like { expr: one, negated, .. }, Expr::Like { expr: other, negated: not, .. })
        | (Expr::In { expr: one, negated, .. }, Expr::In { expr: other, negated: not, .. })
        | (Expr::Between { expr: one, negated, .. }, Expr::Between { expr: other, negated: not, .. }) => {
            negated != not && same(one, other)
        }
        (Expr::BinaryOp { left, op, right }, Expr::BinaryOp { left: left2, op: op2, right: right2 }) => {
            let down = |op: &Op| matches!(op, Op::Lt | Op::LtEq);
            let up = |op: &Op| matches!(op, Op::Gt | Op::GtEq);
            let other_op = if same(left, left2) {
                op2.clone()
            } else if same(left, right2) {
                turned(op2)
            } else if same(right, right2) {
                return complete_turned(op, op2);
            } else {
                return false;
            };
            let values = (right, if same(left, left2) { right2 } else { left2 });
            match (op, &other_op) {
                (Op::Eq, Op::NotEq) | (Op::NotEq, Op::Eq) => same(values.0, values.1),
                (Op::NotEq, Op::NotEq) => !same(values.0, values.1),
                (one, other) => down(one) && up(other) || up(one) && down(other),
            }
        }
        _ => false,
    }
}

fn complete_turned(op: &Op, op2: &Op) -> bool {
    matches!(
        (op, op2),
        (Op::Lt | Op::LtEq, Op::Gt | Op::GtEq) | (Op::Gt | Op::GtEq, Op::Lt | Op::LtEq) | (Op::NotEq, Op::NotEq)
    )
}

/// The operator with its sides exchanged.
fn turned(op: &Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::LtEq => Op::GtEq,
        Op::Gt => Op::Lt,
        Op::GtEq => Op::LtEq,
        other => other.clone(),
    }
}

fn not(truth: Truth) -> Truth {
    match truth {
        // It may be that nobody knows, and then the opposite is not known either.
        Truth::Every | Truth::No => Truth::Every,
        Truth::Most => Truth::Some,
        Truth::Some => Truth::Most,
    }
}

fn and(one: Truth, other: Truth) -> Truth {
    match (one, other) {
        (Truth::No, _) | (_, Truth::No) => Truth::No,
        (Truth::Some, _) | (_, Truth::Some) => Truth::Some,
        (Truth::Most, _) | (_, Truth::Most) => Truth::Most,
        _ => Truth::Every,
    }
}

fn or(one: Truth, other: Truth) -> Truth {
    match (one, other) {
        (Truth::Every, _) | (_, Truth::Every) => Truth::Every,
        (Truth::Most, _) | (_, Truth::Most) => Truth::Most,
        (Truth::Some, _) | (_, Truth::Some) => Truth::Some,
        _ => Truth::No,
    }
}
