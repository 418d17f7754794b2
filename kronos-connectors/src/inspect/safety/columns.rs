//! Whether an expression looks at the row, and whether two are the same.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator as Op, Expr, Ident, ObjectNamePart, Query, UnaryOperator, Visit, Visitor};

use super::literal::{Literal, is_number};
use super::restrict::Tables;

/// The search for a column of the changed table.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub tables: &'a Tables,
    /// The expression is in a query of its own: only columns with the table's name count.
    pub within: bool,
}

impl Columns<'_> {
    pub(super) fn any(&self, expr: &Expr) -> bool {
        let mut search = Search { columns: self, depth: usize::from(self.within) };
        expr.visit(&mut search).is_break()
    }
}

struct Search<'a> {
    columns: &'a Columns<'a>,
    depth: usize,
}

impl Visitor for Search<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let tables = self.columns.tables;
        let looks = match expr {
            Expr::Identifier(ident) => self.depth == 0 && !ident.value.starts_with('@'),
            Expr::CompoundIdentifier(parts) => {
                let table = parts.len().checked_sub(2).and_then(|at| parts.get(at)).map(lower);
                match table {
                    Some(table) if self.depth == 0 => {
                        !table.starts_with('@') && (tables.changed.contains(&table) || !tables.beside.contains(&table))
                    }
                    Some(table) => tables.changed.contains(&table),
                    None => false,
                }
            }
            _ => false,
        };
        if looks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

pub(super) fn lower(ident: &Ident) -> String {
    ident.value.to_lowercase()
}

pub(super) fn part_name(part: &ObjectNamePart) -> String {
    part.as_ident().map(lower).unwrap_or_default()
}

/// Whether two expressions have the same value for each row.
pub(super) fn same(one: &Expr, other: &Expr) -> bool {
    let (one, other) = (bare(one), bare(other));
    match (name(one), name(other)) {
        (Some(one), Some(other)) => {
            let shorter = one.len().min(other.len());
            one.iter()
                .rev()
                .take(shorter)
                .zip(other.iter().rev())
                .all(|(one, other)| one.value.eq_ignore_ascii_case(&other.value))
        }
        // Names are the same in any case; that texts in it may then differ errs on the side of caution.
        (None, None) => one == other || one.to_string().to_lowercase() == other.to_string().to_lowercase(),
        _ => false,
    }
}

fn name(expr: &Expr) -> Option<&[Ident]> {
    match expr {
        Expr::Identifier(ident) => Some(std::slice::from_ref(ident)),
        Expr::CompoundIdentifier(parts) => Some(parts),
        _ => None,
    }
}

/// Without what changes nothing: parentheses, `+ 0`, `* 1`, `|| ''`.
fn bare(mut expr: &Expr) -> &Expr {
    let is_empty = |side: &Expr| matches!(Literal::of(side), Some(Literal::Text(text)) if text.is_empty());
    loop {
        expr = match expr {
            Expr::Nested(inner)
            | Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner }
            | Expr::Cast { expr: inner, .. }
            | Expr::Collate { expr: inner, .. } => inner,
            Expr::BinaryOp { left, op: Op::Plus | Op::Minus, right } if is_number(right, 0.0) => left,
            Expr::BinaryOp { left, op: Op::Plus, right } if is_number(left, 0.0) => right,
            Expr::BinaryOp { left, op: Op::Multiply | Op::Divide, right } if is_number(right, 1.0) => left,
            Expr::BinaryOp { left, op: Op::Multiply, right } if is_number(left, 1.0) => right,
            Expr::BinaryOp { left, op: Op::StringConcat, right } if is_empty(right) => left,
            Expr::BinaryOp { left, op: Op::StringConcat, right } if is_empty(left) => right,
            other => return other,
        };
    }
}

/// Whether an expression has the same value for all rows, though it names a column: `id * 0`.
pub(super) fn is_flat(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { left, op: Op::Multiply | Op::BitwiseAnd, right } => {
            is_number(left, 0.0) || is_number(right, 0.0)
        }
        Expr::BinaryOp { left, op: Op::Modulo, right } => is_number(right, 1.0) || same(left, right),
        Expr::BinaryOp { left, op: Op::Minus | Op::Divide | Op::BitwiseXor | Op::PGBitwiseXor, right } => {
            same(left, right)
        }
        Expr::Nested(inner) => is_flat(inner),
        _ => false,
    }
}

/// Whether `||` is somewhere in an expression.
pub(super) fn has_bars(expr: &Expr) -> bool {
    struct Bars;
    impl Visitor for Bars {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::BinaryOp { op: Op::StringConcat, .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Bars).is_break()
}
