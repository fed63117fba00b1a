//! Follows statements as far as it is certain what they do.

use super::reader::Execution;
use super::value::{Definition, Placed, Python, Unknown};
use super::{container, expression, import, operator};
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtFor, StmtIf, StmtTry};
use std::rc::Rc;

/// Where it goes on after a statement.
pub(super) enum Flow {
    Next,
    /// An exception was raised, certainly.
    Raise(Rc<Unknown>),
    /// An exception may have been raised.
    MayRaise(Rc<Unknown>),
}

/// Follows statements one after the other. Within a `try` they end at an exception; elsewhere an exception would end
/// Python, and here it leaves a value that is not known, and the rest is read.
pub(super) fn body(execution: &mut Execution<'_, '_, '_>, statements: &[Stmt]) -> Flow {
    let mut rest = statements;
    while let Some((statement, after)) = rest.split_first() {
        rest = after;
        if !execution.step() {
            let why = Execution::unknown("there is too much to follow", execution.span(statement));
            execution.lose(why);
            return Flow::Next;
        }
        match one(execution, statement) {
            Flow::Raise(why) if execution.tries > 0 => return Flow::Raise(why),
            Flow::MayRaise(why) if execution.tries > 0 => {
                let why = match &why.raises {
                    None if why.reason.starts_with(MAY_RAISE) => why,
                    _ => Execution::unknown(format!("{MAY_RAISE}: {}", why.reason), why.span),
                };
                perhaps(execution, rest, &why);
                return Flow::MayRaise(why);
            }
            _ => {}
        }
    }
    Flow::Next
}

/// Why something that follows an unknown call in a `try` is not known.
const MAY_RAISE: &str = "it depends on an exception that may be raised";

/// Follows a body that may not run at all, or only in part.
fn perhaps(execution: &mut Execution<'_, '_, '_>, statements: &[Stmt], why: &Rc<Unknown>) {
    let tries = std::mem::take(&mut execution.tries);
    execution.doubts.push(why.clone());
    body(execution, statements);
    execution.doubts.pop();
    execution.tries = tries;
}

fn one(execution: &mut Execution<'_, '_, '_>, statement: &Stmt) -> Flow {
    match statement {
        Stmt::Assign(assign) => {
            let value = expression::evaluate(execution, &assign.value);
            let flow = flow_of(&value);
            if matches!(flow, Flow::Raise(_)) && execution.tries > 0 {
                return flow;
            }
            for target in &assign.targets {
                container::assign(execution, target, value.clone());
            }
            flow
        }
        Stmt::AnnAssign(assign) => {
            let Some(value) = &assign.value else { return Flow::Next };
            let value = expression::evaluate(execution, value);
            let flow = flow_of(&value);
            container::assign(execution, &assign.target, value);
            flow
        }
        Stmt::AugAssign(assign) => {
            let target = expression::evaluate(execution, &assign.target);
            let value = expression::evaluate(execution, &assign.value);
            let result = match (&target.value, &value.value) {
                // In place: what has another name sees it too.
                (Python::Dict(_) | Python::List(_), _) => container::augment(execution, &target, assign.op, &value),
                _ => operator::binary(assign.op, &target, &value, execution.span(statement)),
            };
            let flow = flow_of(&result);
            container::assign(execution, &assign.target, result);
            flow
        }
        Stmt::Expr(statement) => flow_of(&expression::evaluate(execution, &statement.value)),
        Stmt::Delete(delete) => {
            for target in &delete.targets {
                container::delete(execution, target);
            }
            Flow::Next
        }
        Stmt::If(branch) => follow_if(execution, branch),
        Stmt::For(branch) => follow_for(execution, branch),
        Stmt::Try(branch) => follow_try(execution, branch),
        Stmt::While(branch) => {
            let why = Execution::unknown("it depends on a while loop, which is not run", execution.span(statement));
            perhaps(execution, &branch.body, &why);
            perhaps(execution, &branch.orelse, &why);
            Flow::Next
        }
        Stmt::Match(branch) => {
            let why =
                Execution::unknown("it depends on a match statement, which is not run", execution.span(statement));
            for case in &branch.cases {
                perhaps(execution, &case.body, &why);
            }
            Flow::Next
        }
        Stmt::With(with) => {
            for item in &with.items {
                let value = expression::evaluate(execution, &item.context_expr);
                if let Some(target) = &item.optional_vars {
                    let why = Execution::unknown("a context manager is not run", value.span);
                    container::assign(execution, target, Placed::from(why));
                }
            }
            body(execution, &with.body)
        }
        Stmt::Import(statement) => import::modules(execution, statement),
        Stmt::ImportFrom(statement) => import::names(execution, statement),
        Stmt::FunctionDef(function) => {
            let definition = define(execution, &function.name, &function.body);
            let placed = Placed::new(Python::Defined(Rc::new(definition)), execution.span(&function.name));
            execution.bind(&function.name, placed);
            Flow::Next
        }
        Stmt::ClassDef(class) => {
            let definition = define(execution, &class.name, &class.body);
            let span = execution.span(&class.name);
            let why = Execution::unknown(format!("the body of class {} is not run", definition.name), span);
            container::changed_by(execution, &definition, &why);
            execution.bind(&class.name, Placed::new(Python::Defined(Rc::new(definition)), span));
            Flow::Next
        }
        Stmt::Raise(_) => {
            let span = execution.span(statement);
            match execution.doubt() {
                None => Flow::Raise(Execution::raises("Exception", "an exception is raised here", span)),
                Some(_) => Flow::Next,
            }
        }
        Stmt::TypeAlias(_)
        | Stmt::Return(_)
        | Stmt::Assert(_)
        | Stmt::Global(_)
        | Stmt::Nonlocal(_)
        | Stmt::Pass(_)
        | Stmt::Break(_)
        | Stmt::Continue(_)
        | Stmt::IpyEscapeCommand(_) => Flow::Next,
    }
}

fn flow_of(value: &Placed) -> Flow {
    match value.unknown() {
        Some(why) if why.raises.is_some() => Flow::Raise(why.clone()),
        Some(why) => Flow::MayRaise(why.clone()),
        None => Flow::Next,
    }
}

fn follow_if(execution: &mut Execution<'_, '_, '_>, branch: &StmtIf) -> Flow {
    let mut tests = vec![(Some(&*branch.test), &branch.body)];
    tests.extend(branch.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body)));
    let mut doubt: Option<Rc<Unknown>> = None;
    for (test, statements) in tests {
        let truth = match test {
            None => Some(true),
            Some(test) => {
                let value = expression::evaluate(execution, test);
                let truth = value.value.truth();
                if truth.is_none() {
                    let span = execution.span(test);
                    let reason = match value.unknown() {
                        Some(why) => format!("it depends on a condition that is not known: {}", why.reason),
                        None => "it depends on a condition that is not known".to_owned(),
                    };
                    doubt.get_or_insert_with(|| Execution::unknown(reason, span));
                }
                truth
            }
        };
        match (truth, &doubt) {
            (Some(false), _) => {}
            (Some(true), None) => return body(execution, statements),
            (Some(true), Some(why)) => {
                let why = why.clone();
                perhaps(execution, statements, &why);
                return Flow::Next;
            }
            (None, why) => {
                if let Some(why) = why.clone() {
                    perhaps(execution, statements, &why);
                }
            }
        }
    }
    Flow::Next
}

fn follow_for(execution: &mut Execution<'_, '_, '_>, branch: &StmtFor) -> Flow {
    let items = expression::evaluate(execution, &branch.iter);
    let span = execution.span(branch);
    let mut jumps = Jumps(false);
    for statement in &branch.body {
        jumps.visit_stmt(statement);
    }
    let known = items.value.items().filter(|_| !jumps.0 && !branch.is_async);
    let Some(known) = known else {
        let why = items.unknown().map(|why| format!(": {}", why.reason)).unwrap_or_default();
        let why = Execution::unknown(format!("it depends on a loop that cannot be followed{why}"), span);
        container::assign(execution, &branch.target, Placed::from(why.clone()));
        perhaps(execution, &branch.body, &why);
        perhaps(execution, &branch.orelse, &why);
        return Flow::Next;
    };
    for item in known {
        container::assign(execution, &branch.target, item);
        match body(execution, &branch.body) {
            Flow::Next | Flow::MayRaise(_) => {}
            raised @ Flow::Raise(_) => return raised,
        }
    }
    body(execution, &branch.orelse)
}

/// Whether a loop is left early.
struct Jumps(bool);

impl<'a> Visitor<'a> for Jumps {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.0 |= matches!(statement, Stmt::Break(_) | Stmt::Continue(_));
        visitor::walk_stmt(self, statement);
    }
}

fn follow_try(execution: &mut Execution<'_, '_, '_>, branch: &StmtTry) -> Flow {
    execution.tries += 1;
    let flow = body(execution, &branch.body);
    execution.tries -= 1;
    let flow = match flow {
        Flow::Next => body(execution, &branch.orelse),
        Flow::MayRaise(why) => {
            for ExceptHandler::ExceptHandler(handler) in &branch.handlers {
                perhaps(execution, &handler.body, &why);
            }
            perhaps(execution, &branch.orelse, &why);
            Flow::Next
        }
        Flow::Raise(why) => {
            let handler = branch.handlers.iter().find_map(|ExceptHandler::ExceptHandler(handler)| {
                let caught = handler.type_.as_deref().is_none_or(|class| catches(class, why.raises.unwrap_or("")));
                caught.then_some(&handler.body)
            });
            match handler {
                Some(handler) => body(execution, handler),
                None => Flow::Raise(why),
            }
        }
    };
    match body(execution, &branch.finalbody) {
        Flow::Next => flow,
        other => other,
    }
}

/// Whether `except class` catches an exception of this name.
fn catches(class: &Expr, raised: &str) -> bool {
    match class {
        Expr::Tuple(tuple) => tuple.elts.iter().any(|class| catches(class, raised)),
        Expr::Name(name) => {
            let bases: &[&str] = match raised {
                "KeyError" | "IndexError" => &["LookupError"],
                "ModuleNotFoundError" => &["ImportError"],
                _ => &[],
            };
            name.id == raised || bases.contains(&name.id.as_str()) || matches!(&*name.id, "Exception" | "BaseException")
        }
        _ => false,
    }
}

fn define(execution: &Execution<'_, '_, '_>, name: &str, body: &[Stmt]) -> Definition {
    let mut mentions = Mentions::default();
    for statement in body {
        mentions.visit_stmt(statement);
    }
    Definition { name: format!("{}.{name}", execution.module), mentions: mentions.names, globals: mentions.globals }
}

#[derive(Default)]
struct Mentions {
    names: Vec<String>,
    globals: Vec<String>,
}

impl<'a> Visitor<'a> for Mentions {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Global(global) = statement {
            self.globals.extend(global.names.iter().map(ToString::to_string));
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression {
            self.names.push(name.id.to_string());
        }
        visitor::walk_expr(self, expression);
    }
}
