//! A walk through a parsed statement: each part says what it does, however deep it lies.

use std::ops::ControlFlow;

use kronos_core::inspect::{Effect, Severity};
use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, FunctionArgumentClause, FunctionArguments, ObjectName,
    OrderByExpr, OrderBySort, Query, Select, SelectFlavor, SetExpr, Statement, TableFactor, Visitor,
};

use super::columns::part_name;
use super::dialect::Language;
use super::found::{Found, shown};
use super::{functions, statement};

/// The walk, with what it has found.
#[derive(Debug)]
pub(super) struct Walk {
    pub language: Language,
    pub found: Found,
    /// How many EXPLAIN are around, which only plan.
    plans: usize,
    /// Words that stand apart from a parenthesis, in MySQL.
    apart: Vec<String>,
}

impl Walk {
    pub(super) fn new(language: Language, apart: Vec<String>) -> Self {
        Self { language, found: Found::default(), plans: 0, apart }
    }

    /// A call that is none of MySQL's own function, but of what someone made under its name, if there is
    /// something between it and its parenthesis.
    fn call(&mut self, name: &str) {
        if functions::must_not_stand_apart(name) && self.apart.iter().any(|apart| apart == name) {
            self.found.add(
                Severity::Medium,
                Effect::Unknown,
                format!("{} apart from its parenthesis may be a function that someone made", shown(name)),
            );
        }
    }

    /// Whether the statements at this place run.
    pub(super) fn runs(&self) -> bool {
        self.plans == 0
    }

    fn foreign(&mut self, what: &str) {
        self.found.not_understood(format!("{what} is of another language"));
    }

    fn known_type(&mut self, data_type: &DataType) {
        if self.language != Language::Postgres {
            return;
        }
        let mut inner = data_type;
        while let DataType::Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::Parenthesis(element),
        ) = inner
        {
            inner = element;
        }
        if let DataType::Custom(name, _) = inner
            && !functions::is_own_type(name)
        {
            let name = shown(&name.to_string());
            self.found.add(
                Severity::Medium,
                Effect::Unknown,
                format!("a value is made one of the type {name}, which is not known"),
            );
        }
    }

    fn operator(&mut self, operator: &BinaryOperator) {
        match operator {
            BinaryOperator::Assignment => {
                self.found.add(Severity::Medium, Effect::Session, "a variable of the session is set");
            }
            BinaryOperator::PGCustomBinaryOperator(_) | BinaryOperator::Custom(_) => {
                let text = shown(&operator.to_string());
                self.found.add(
                    Severity::Medium,
                    Effect::Unknown,
                    format!("the operator {text} is not known to only read"),
                );
            }
            _ => {}
        }
    }

    fn into(&mut self, select: &Select) {
        let Some(into) = &select.into else { return };
        match self.language {
            Language::Postgres if self.runs() => {
                self.found.add(
                    Severity::Low,
                    Effect::Defines,
                    format!("SELECT creates a table: {}", shown(&into.to_string())),
                );
            }
            Language::Postgres => {}
            Language::MySql => {
                self.found.add(Severity::Medium, Effect::Session, "SELECT sets a variable of the session");
            }
            Language::Sqlite => self.foreign("SELECT INTO"),
        }
    }
}

impl Visitor for Walk {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        statement::judge(self, statement);
        if statement::only_plans(statement) {
            self.plans += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if statement::only_plans(statement) {
            self.plans -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            self.found.add(Severity::Medium, Effect::Session, "SELECT locks the rows it reads");
        }
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            self.foreign("a part of a query");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let is_foreign = select.top.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.flavor != SelectFlavor::Standard;
        if is_foreign {
            self.foreign("a part of SELECT");
        }
        if self.language == Language::MySql && !select.optimizer_hints.is_empty() {
            self.found.add(Severity::Medium, Effect::Session, "a hint may set variables");
        }
        self.into(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        // Functions that stand as tables.
        let name = relation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
        if self.language == Language::Sqlite
            && let Some(name) = name
            && (name.starts_with("pragma_") || functions::commands_server(self.language, &name))
        {
            functions::judge(self.language, relation, false, &mut self.found);
        }
        if self.language == Language::Postgres && functions::is_of_files(relation) {
            let name = shown(&relation.to_string());
            self.found.add(Severity::Critical, Effect::Administers, format!("{name} reads files of the server"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args, with_hints, version, json_path, .. } => {
                if let Some(args) = args {
                    functions::judge(self.language, name, args.args.is_empty(), &mut self.found);
                    if args.settings.is_some() {
                        self.foreign("a part of FROM");
                    }
                }
                if !with_hints.is_empty() || version.is_some() && self.language != Language::MySql || json_path.is_some() {
                    self.foreign("a part of FROM");
                }
            }
            TableFactor::Function { name, args, .. } => {
                functions::judge(self.language, name, args.is_empty(), &mut self.found);
            }
            TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. }
            // Its expression is walked through.
            | TableFactor::TableFunction { .. } => {}
            TableFactor::JsonTable { .. } if self.language == Language::MySql => {}
            _ => self.found.add(Severity::Medium, Effect::Unknown, "a part of FROM is not known to only read"),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_order_by_expr(&mut self, order: &OrderByExpr) -> ControlFlow<()> {
        if let Some(OrderBySort::Using(operator)) = &order.options.sort {
            let text = shown(&operator.to_string());
            self.found.add(Severity::Medium, Effect::Unknown, format!("the operator {text} is not known to only read"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let bare = match &function.args {
                    FunctionArguments::None => true,
                    FunctionArguments::List(list) => list.args.is_empty(),
                    FunctionArguments::Subquery(_) => false,
                };
                functions::judge(self.language, &function.name, bare, &mut self.found);
                if let [name] = function.name.0.as_slice() {
                    self.call(&part_name(name).to_lowercase());
                }
                if let FunctionArguments::List(list) = &function.args {
                    for clause in &list.clauses {
                        if let FunctionArgumentClause::JsonReturningClause(returning) = clause {
                            self.known_type(&returning.data_type);
                        }
                    }
                }
                if function.uses_odbc_syntax || function.parameters != FunctionArguments::None {
                    self.foreign("a call");
                }
            }
            Expr::Trim { .. } => self.call("trim"),
            Expr::Extract { .. } => self.call("extract"),
            Expr::Position { .. } => self.call("position"),
            Expr::Substring { .. } => ["substr", "substring", "mid"].into_iter().for_each(|name| self.call(name)),
            Expr::BinaryOp { op, .. } => self.operator(op),
            Expr::AnyOp { compare_op, .. } | Expr::AllOp { compare_op, .. } => self.operator(compare_op),
            Expr::Cast { data_type, .. } | Expr::Convert { data_type: Some(data_type), .. } => {
                self.known_type(data_type);
                self.call("cast");
            }
            Expr::TypedString(typed) => self.known_type(&typed.data_type),
            // For PostgreSQL it may be the name of a type.
            Expr::Prefixed { .. } if self.language == Language::Postgres => self.foreign("a text with a prefix"),
            Expr::JsonAccess { .. }
            | Expr::Prior(_)
            | Expr::OuterJoin(_)
            | Expr::Lambda(_)
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Struct { .. } => self.foreign("an expression"),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether LIMIT and OFFSET may follow a query.
pub(super) fn is_limitable(language: Language, query: &Query) -> bool {
    query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty()
        && is_limitable_body(language, &query.body, true)
}

fn is_limitable_body(language: Language, body: &SetExpr, is_last: bool) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none() && select.top.is_none(),
        SetExpr::SetOperation { left, right, .. } => {
            let right = match right.as_ref() {
                // In its parentheses it keeps to itself.
                SetExpr::Query(query) => {
                    language != Language::Sqlite && matches!(query.body.as_ref(), SetExpr::Select(_))
                }
                other => is_limitable_body(language, other, is_last),
            };
            right && !writes(left)
        }
        // SQLite has no LIMIT after VALUES.
        SetExpr::Values(_) => language != Language::Sqlite || !is_last,
        SetExpr::Query(_) | SetExpr::Table(_) => language == Language::Postgres,
        _ => false,
    }
}

/// A chain may be as long as a text.
fn writes(mut body: &SetExpr) -> bool {
    loop {
        match body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => return true,
            SetExpr::SetOperation { left, right, .. } => {
                if matches!(
                    right.as_ref(),
                    SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
                ) {
                    return true;
                }
                body = left;
            }
            SetExpr::Select(select) => return select.into.is_some(),
            _ => return false,
        }
    }
}
