//! What is known by its name: a few builtins and modules that settings files use.

use super::value::Python;

/// Everything that an attribute or an import may lead to.
const NAMES: [&str; 24] = [
    "copy",
    "copy.copy",
    "copy.deepcopy",
    "os",
    "os.environ",
    "os.fspath",
    "os.getenv",
    "os.path",
    "os.path.abspath",
    "os.path.basename",
    "os.path.dirname",
    "os.path.join",
    "os.path.normpath",
    "os.path.realpath",
    "pathlib",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "pinyon",
    "pinyon.django",
    "pinyon.django.accelerate",
    "typing",
    "__future__",
];
/// Builtins, which need no import.
const BUILTINS: [&str; 8] = ["bool", "dict", "float", "int", "len", "list", "str", "tuple"];
const MODULES: [&str; 7] = ["copy", "os", "os.path", "pathlib", "pinyon", "pinyon.django", "typing"];

/// Whether a module of this name is known.
pub(super) fn is_module(name: &str) -> bool {
    MODULES.contains(&name) || name == "__future__"
}

/// The thing of this dotted name.
pub(super) fn named(name: &str) -> Option<Python> {
    NAMES.iter().find(|known| **known == name).map(|known| Python::Named(known))
}

/// The builtin of this name.
pub(super) fn builtin(name: &str) -> Option<Python> {
    BUILTINS.iter().find(|known| **known == name).map(|known| Python::Named(known))
}

/// `module.name`.
pub(super) fn attribute(module: &str, name: &str) -> Option<Python> {
    match (module, name) {
        // For type checkers only.
        ("typing", "TYPE_CHECKING") => Some(Python::Bool(false)),
        ("os" | "os.path", "sep") => Some(Python::text("/")),
        _ => named(&format!("{module}.{name}")),
    }
}
