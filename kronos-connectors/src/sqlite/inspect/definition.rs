//! What SQLite keeps only in the text of a table's definition: checks and generated expressions.

use std::collections::HashMap;

use kronos_core::inspect::{Constraint, ConstraintKind};
use sqlparser::ast::{ColumnOption, Statement, TableConstraint};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

/// Empty where the text is not understood: it is shown as a whole as well.
#[derive(Debug, Default)]
pub(super) struct Definition {
    pub checks: Vec<Constraint>,
    /// Expressions by the names of their columns in lower case.
    pub generated: HashMap<String, String>,
}

impl Definition {
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let Ok(statements) = Parser::parse_sql(&SQLiteDialect {}, text) else { return found };
        let Some(Statement::CreateTable(table)) = statements.into_iter().next() else { return found };
        let check = |name: Option<String>, expression: &dyn std::fmt::Display| Constraint {
            name,
            kind: ConstraintKind::Check,
            definition: format!("CHECK ({expression})"),
        };
        for constraint in &table.constraints {
            if let TableConstraint::Check(constraint) = constraint {
                let name = constraint.name.as_ref().map(|name| name.value.clone());
                found.checks.push(check(name, &constraint.expr));
            }
        }
        for column in &table.columns {
            for option in &column.options {
                match &option.option {
                    ColumnOption::Check(constraint) => {
                        let name = option.name.as_ref().map(|name| name.value.clone());
                        found.checks.push(check(name, &constraint.expr));
                    }
                    ColumnOption::Generated { generation_expr: Some(expression), .. } => {
                        found.generated.insert(column.name.value.to_lowercase(), expression.to_string());
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_expressions_come_out_of_the_text() {
        let found = Definition::of(
            "CREATE TABLE t (a INTEGER CHECK (a > 0), B TEXT GENERATED ALWAYS AS (a * 2) STORED, \
             CONSTRAINT c CHECK (a < 9))",
        );
        assert_eq!(found.checks.len(), 2);
        assert_eq!(found.checks[0].name.as_deref(), Some("c"));
        assert_eq!(found.generated.get("b").map(String::as_str), Some("a * 2"));
        assert!(Definition::of("CREATE VIRTUAL TABLE t USING fts5(x)").checks.is_empty());
    }
}
