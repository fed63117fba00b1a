//! `import` and `from … import …`.

use super::reader::Execution;
use super::statement::Flow;
use super::value::{Module, Placed, Python, Unknown};
use super::{known, path};
use ruff_python_ast::{StmtImport, StmtImportFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many folders above a file are looked into for an absolute import.
const HIGHEST: usize = 6;

/// What an import leads to.
enum Found {
    File(Rc<Module>),
    /// A module that is known by its name.
    Known(String),
    Unknown(Rc<Unknown>),
}

/// `import a.b, c as d`.
pub(super) fn modules(execution: &mut Execution<'_, '_, '_>, statement: &StmtImport) -> Flow {
    let mut flow = Flow::Next;
    for alias in &statement.names {
        let span = execution.span(alias);
        let name = alias.name.as_str();
        let (bound, looked_for) = match &alias.asname {
            Some(bound) => (bound.as_str(), name),
            // Without `as` it is the first package that gets a name.
            None => (name.split('.').next().unwrap_or(name), name.split('.').next().unwrap_or(name)),
        };
        let value = match find(execution, 0, Some(looked_for), span) {
            Found::File(module) => Placed::new(Python::Module(module), span),
            Found::Known(name) => known::named(&name).map_or_else(
                || Placed::from(Execution::unknown(format!("{name} is not followed"), span)),
                |named| Placed::new(named, span),
            ),
            Found::Unknown(why) => {
                flow = raised(&why);
                Placed::from(why)
            }
        };
        execution.bind(bound, value);
    }
    flow
}

/// `from a.b import c, d as e` and `from .base import *`.
pub(super) fn names(execution: &mut Execution<'_, '_, '_>, statement: &StmtImportFrom) -> Flow {
    let span = execution.span(statement);
    let module = statement.module.as_deref();
    let star = statement.names.iter().any(|alias| alias.name.as_str() == "*");
    let found = find(execution, statement.level, module, span);
    if star {
        return import_all(execution, found, span);
    }
    let mut flow = Flow::Next;
    for alias in &statement.names {
        let name = alias.name.as_str();
        let bound = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
        let here = execution.span(alias);
        let value = match &found {
            Found::Known(module) => known::attribute(module, name)
                .map_or_else(|| not_read(&format!("{module}.{name}"), here), |value| Placed::new(value, here)),
            Found::File(file) => from_file(execution, file, statement, name, here),
            // `from . import base`: a package need not have an __init__.py.
            Found::Unknown(why) => match submodule(execution, statement, name, here) {
                Some(module) => Placed::new(Python::Module(module), here),
                None => Placed::from(why.clone()),
            },
        };
        if let Some(why) = value.unknown().filter(|_| matches!(found, Found::Unknown(_))) {
            flow = raised(why);
            if execution.tries > 0 && why.raises.is_some() {
                return flow;
            }
        }
        execution.bind(bound, value);
    }
    flow
}

fn raised(why: &Rc<Unknown>) -> Flow {
    if why.raises.is_some() { Flow::Raise(why.clone()) } else { Flow::MayRaise(why.clone()) }
}

fn not_read(name: &str, span: super::Span) -> Placed {
    Placed::from(Execution::unknown(format!("{name} comes from an import that is not followed"), span))
}

fn from_file(
    execution: &mut Execution<'_, '_, '_>,
    file: &Rc<Module>,
    statement: &StmtImportFrom,
    name: &str,
    span: super::Span,
) -> Placed {
    if let Some(value) = file.names.get(name) {
        return value.clone();
    }
    if let Some(module) = submodule(execution, statement, name, span) {
        return Placed::new(Python::Module(module), span);
    }
    match &file.lost {
        Some(why) => Placed::from(why.clone()),
        None => Placed::from(Execution::raises("ImportError", format!("{name} is not defined there"), span)),
    }
}

/// The module `name` in the package of a `from package import name`.
fn submodule(
    execution: &mut Execution<'_, '_, '_>,
    statement: &StmtImportFrom,
    name: &str,
    span: super::Span,
) -> Option<Rc<Module>> {
    let module = statement.module.as_deref().map_or_else(|| name.to_owned(), |package| format!("{package}.{name}"));
    match find(execution, statement.level, Some(&module), span) {
        Found::File(module) => Some(module),
        Found::Known(_) | Found::Unknown(_) => None,
    }
}

fn import_all(execution: &mut Execution<'_, '_, '_>, found: Found, span: super::Span) -> Flow {
    match found {
        Found::Known(_) => Flow::Next,
        Found::Unknown(why) => {
            let flow = raised(&why);
            if execution.tries == 0 || why.raises.is_none() {
                execution.lose(why);
            }
            flow
        }
        Found::File(file) => {
            if let Some(why) = &file.lost {
                execution.lose(why.clone());
            }
            let listed = file.names.get("__all__").map(|all| all.value.items());
            if let Some(None) = listed {
                execution.lose(Execution::unknown("its names are in an __all__ that is not known", span));
            }
            let listed: Option<Vec<String>> =
                listed.flatten().map(|items| items.iter().filter_map(|item| item.value.display()).collect());
            for (name, value) in &file.names {
                let exported = listed.as_ref().map_or(!name.starts_with('_'), |listed| listed.contains(name));
                if exported {
                    execution.bind(name, value.clone());
                }
            }
            Flow::Next
        }
    }
}

/// The module that `level` dots and `name` lead to.
fn find(execution: &mut Execution<'_, '_, '_>, level: u32, name: Option<&str>, span: super::Span) -> Found {
    let dotted = name.unwrap_or("");
    if level == 0 && known::is_module(dotted) {
        return Found::Known(dotted.to_owned());
    }
    let here = PathBuf::from(path::absolute(&execution.path));
    let Some(folder) = here.parent() else {
        return Found::Unknown(Execution::unknown("the settings have no folder", span));
    };
    let relative = dotted.replace('.', "/");
    let file = if level > 0 {
        let package = folder.ancestors().nth(level as usize - 1);
        package.and_then(|package| file_of(package, &relative))
    } else {
        // Folders within a package are not where Python looks.
        let mut roots = folder.ancestors().take(HIGHEST).filter(|root| !root.join("__init__.py").exists());
        roots.find_map(|root| file_of(root, &relative))
    };
    let dots = ".".repeat(level as usize);
    let Some(file) = file else {
        let reason = format!("{dots}{dotted} is imported, and is not a file beside the settings");
        return Found::Unknown(match level {
            // It may be installed.
            0 => Execution::unknown(reason, span),
            _ => Execution::raises("ModuleNotFoundError", reason, span),
        });
    };
    match execution.reader.import(&file, dotted) {
        Ok(module) => Found::File(module),
        Err(reason) => Found::Unknown(Execution::unknown(reason, span)),
    }
}

fn file_of(folder: &Path, relative: &str) -> Option<PathBuf> {
    let module = folder.join(relative);
    let candidates = [module.join("__init__.py"), folder.join(format!("{relative}.py"))];
    candidates.into_iter().find(|file| !relative.is_empty() && file.is_file()).or_else(|| {
        let package = folder.join("__init__.py");
        (relative.is_empty() && package.is_file()).then_some(package)
    })
}
