//! CACHES from a Django settings.py, which is read and never run.
#![cfg(feature = "settings-py")]

use pinyon::settings::BackendSettings;
use pinyon::{Caches, Expiry, Settings, Version};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/settings_py").join(name)
}

fn read(text: &str) -> Settings {
    Settings::from_python(text, "/site/shop/settings.py").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The KEY_PREFIX that `expression` makes, as the plainest way to see a value.
fn value(expression: &str) -> String {
    let settings = read(&format!(
        "import os, copy\nimport os.path as p\nfrom pathlib import Path\nONE = 1\nNAME = 'shop'\nITEMS = ['a', 'b']\n\
         TABLE = {{'a': 1, 'b': {{'c': 'd'}}}}\nBASE_DIR = Path(__file__).parent.parent\n\
         CACHES = {{'default': {{'BACKEND': 'memory', 'KEY_PREFIX': str({expression})}}}}\n"
    ));
    assert!(settings.notes.is_empty(), "{expression}: {:?}", settings.notes);
    settings.caches[0].key_prefix.clone()
}

/// Why KEY_PREFIX is not known after `statements` that assign it to X.
fn unknown(statements: &str) -> String {
    let text = format!("X = 'x'\n{statements}\nCACHES = {{'default': {{'BACKEND': 'memory', 'KEY_PREFIX': X}}}}");
    let settings = read(&text);
    assert!(settings.caches.is_empty(), "{statements}: known as {:?}", settings.caches[0].key_prefix);
    assert_eq!(settings.notes[0].alias.as_deref(), Some("default"));
    settings.notes[0].to_string()
}

/// The aliases that are known after `statements`, and what is said about the others.
fn aliases(statements: &str) -> (Vec<String>, String) {
    match Settings::from_python(statements, "/site/settings.py") {
        Ok(settings) => (
            settings.caches.iter().map(|cache| cache.alias.clone()).collect(),
            settings.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        ),
        Err(error) => (Vec::new(), error.to_string()),
    }
}

#[test]
fn a_site_of_one_file_is_read_as_django_would_have_it() {
    let settings = Settings::from_path(sample("plain.py")).unwrap();
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    let aliases: Vec<&str> = settings.caches.iter().map(|cache| cache.alias.as_str()).collect();
    assert_eq!(aliases, ["default", "files", "sessions", "pages"]);
    let default = settings.get("default").unwrap();
    assert_eq!((default.timeout, default.key_prefix.as_str()), (Expiry::In(Duration::from_secs(900)), "shop-2"));
    let BackendSettings::Redis(redis) = &default.backend else { panic!("{default:?}") };
    assert_eq!(
        (redis.servers[0].to_string().as_str(), redis.timeout),
        ("redis://127.0.0.1:6379/1", Duration::from_millis(500))
    );
    let files = settings.get("files").unwrap();
    let BackendSettings::File(file) = &files.backend else { panic!("{files:?}") };
    assert_eq!(file.directory, sample("").parent().unwrap().canonicalize().unwrap().join("var/cache"));
    assert_eq!(files.timeout, Expiry::Never);
    let sessions = settings.get("sessions").unwrap();
    assert_eq!(sessions.key_prefix, "shop-sessions");
    let BackendSettings::Memcached(memcached) = &sessions.backend else { panic!("{sessions:?}") };
    assert_eq!(memcached.servers[0].to_string(), "127.0.0.1:11211");
    let pages = settings.get("pages").unwrap();
    assert!(matches!(&pages.backend, BackendSettings::Memory(memory) if memory.name == "pages"));
    assert_eq!(pages.version, Version::Number(-1));
}

#[test]
fn settings_that_import_their_base_are_read_with_it() {
    let settings = Settings::from_path(sample("site/production.py")).unwrap();
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    let default = settings.get("default").unwrap();
    assert_eq!(default.timeout, Expiry::In(Duration::from_secs(20)));
    let BackendSettings::Redis(redis) = &default.backend else { panic!("{default:?}") };
    assert_eq!(redis.servers[0].to_string(), "redis://cache.example:6379/3");
    assert_eq!(settings.get("named").unwrap().key_function.as_deref(), Some("names.make_key"));
}

#[test]
fn a_mistake_in_a_file_that_is_imported_is_shown_there() {
    let error = Settings::from_path(sample("site/mistaken.py")).unwrap_err();
    let location = error.location().unwrap();
    assert!(location.file.as_ref().unwrap().ends_with("site/mistaken_base.py"), "{location}");
    assert_eq!((location.span.line, location.span.column), (5, 21));
    assert!(error.to_string().contains("mistaken_base.py, line 5, column 21"), "{error}");
}

#[test]
fn what_only_python_knows_is_left_out_with_its_line_and_its_reason() {
    let settings = Settings::from_path(sample("dynamic.py")).unwrap();
    let known: Vec<&str> = settings.caches.iter().map(|cache| cache.alias.as_str()).collect();
    assert_eq!(known, ["whole"]);
    let notes: Vec<String> = settings.notes.iter().map(|note| format!("{}: {}", note.location.span, note)).collect();
    for (note, (line, alias, reason)) in notes.iter().zip([
        (10, "default", "env.cache() is not run"),
        (11, "half", "TIMEOUT is not known: env.int() is not run"),
        (16, "changed", "it depends on a condition that is not known"),
        (14, "unset", "os_environ_is_not_imported is not defined"),
    ]) {
        assert!(note.starts_with(&format!("line {line},")) && note.contains(alias) && note.contains(reason), "{note}");
    }
    assert_eq!(notes.len(), 4);
    // The alias itself says so too, to whoever asks for it.
    let error = Caches::from(settings).get("half").unwrap_err().to_string();
    assert!(error.contains("cache 'half': it is left out, because TIMEOUT is not known"), "{error}");
}

#[test]
fn every_mistake_has_its_place() {
    let error = Settings::from_path(sample("wrong.py")).unwrap_err();
    let places: Vec<_> = error.parts().iter().map(|e| e.location().unwrap().span).map(|s| (s.line, s.column)).collect();
    assert_eq!(places, [(6, 20), (10, 77)]);
    assert!(error.parts()[1].hint().unwrap().contains("'TIMEOUT'"));
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn expressions_are_what_python_makes_of_them() {
    for (expression, expected) in [
        ("60 * 15", "900"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2 ** 10 - 1", "1023"),
        ("1 / 4", "0.25"),
        ("1.5 + ONE", "2.5"),
        ("'a' 'b'", "ab"),
        ("'a' + NAME", "ashop"),
        ("f'{NAME}-{ONE + 1}-{{}}' '!'", "shop-2-{}!"),
        ("'%s/%d%%' % (NAME, 5)", "shop/5%"),
        ("'%(n)s' % {'n': NAME}", "shop"),
        ("'{}-{0}-{n}'.format(NAME, n=1)", "shop-shop-1"),
        ("'-'.join(ITEMS)", "a-b"),
        ("ITEMS[-1]", "b"),
        ("TABLE['b']['c']", "d"),
        ("TABLE.get('z', 'none')", "none"),
        ("{**TABLE, 'a': 2}['a']", "2"),
        ("(TABLE | {'a': 3})['a']", "3"),
        ("dict(a=NAME)['a']", "shop"),
        ("dict([('a', 1)], b=2)['b']", "2"),
        ("'yes' if ONE == 1 and not None else 'no'", "yes"),
        ("'' or NAME", "shop"),
        ("0 < ONE <= 1", "True"),
        ("'a' in TABLE and 'z' not in ITEMS", "True"),
        ("None", "None"),
        ("int(' 42 ')", "42"),
        ("float('1.50')", "1.5"),
        ("len(ITEMS) + len('é')", "3"),
        ("bool('')", "False"),
        ("' A b '.strip().lower().replace('b', 'c').upper()", "A C"),
        ("'redis://h'.removeprefix('redis://')", "h"),
        ("'a,b'.split(',')[1]", "b"),
        ("BASE_DIR", "/site"),
        ("BASE_DIR / 'var' / 'x'", "/site/var/x"),
        ("Path(__file__).parents[1].joinpath('y').name", "y"),
        ("Path('/a//b/./c').stem", "c"),
        ("os.path.join(os.path.dirname(os.path.dirname(__file__)), 'z')", "/site/z"),
        ("p.abspath(p.join(p.dirname(__file__), '..', 'q'))", "/site/q"),
        ("os.environ.get('PINYON_NOT_SET', NAME)", "shop"),
        ("os.environ.get('PINYON_NOT_SET')", "None"),
        ("os.getenv('PINYON_NOT_SET', default='d')", "d"),
        ("os.environ['CARGO_PKG_NAME']", "pinyon"),
        ("'CARGO_PKG_NAME' in os.environ", "True"),
        ("copy.deepcopy(TABLE)['b']['c']", "d"),
        ("(y := NAME)", "shop"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn a_change_through_one_name_is_seen_through_the_other() {
    let (known, notes) = aliases(
        "ONE = {'BACKEND': 'memory'}\nCACHES = {'default': ONE, 'copy': dict(ONE), 'star': {**ONE}}\n\
         ONE['BACKEND'] = secret()\n",
    );
    assert_eq!(known, ["copy", "star"]);
    assert!(notes.contains("cache 'default'") && notes.contains("secret() is not run"), "{notes}");
}

#[test]
fn statements_are_followed_where_it_is_certain_what_they_do() {
    for (statements, expected) in [
        ("if 1 > 2:\n  X = 'no'\nelif not X:\n  X = 'no'\nelse:\n  X = 'yes'", "yes"),
        ("for name in ('a', 'b'):\n  X += name", "xab"),
        ("for k, v in {'a': 'b'}.items():\n  X = k + v", "ab"),
        ("try:\n  X = os.environ['PINYON_NOT_SET']\nexcept KeyError:\n  X = 'handled'", "handled"),
        ("try:\n  from .local import *\nexcept (ImportError, OSError):\n  pass\nelse:\n  X = 'no'", "x"),
        ("try:\n  X = 'fine'\nexcept ValueError:\n  X = 'no'\nfinally:\n  X += '!'", "fine!"),
        ("X: str = 'typed'", "typed"),
        ("X, Y = 'first', 'second'", "first"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  X = 'no'", "x"),
        ("D = {'a': 1}\nD |= {'a': 'merged'}\nX = D['a']", "merged"),
        ("D = {'a': 'popped'}\nX = D.pop('a')\nX += str(len(D))", "popped0"),
        ("def f():\n  global X\n  X = 'never called'", "x"),
        ("with unknown():\n  X = 'within'", "within"),
    ] {
        let text = format!(
            "import os\nX = 'x'\n{statements}\nCACHES = {{'default': {{'BACKEND': 'memory', 'KEY_PREFIX': X}}}}"
        );
        let settings = read(&text);
        assert_eq!(
            settings.caches.first().map(|cache| cache.key_prefix.as_str()),
            Some(expected),
            "{text}: {:?}",
            settings.notes
        );
    }
}

#[test]
fn what_depends_on_the_unknown_is_never_guessed() {
    for (statements, reason) in [
        ("X = compute()", "compute() is not run"),
        ("import sys\nif sys.argv:\n  X = 'maybe'", "a condition that is not known"),
        ("if compute():\n  pass\nelse:\n  X = 'maybe'", "a condition that is not known"),
        ("X = 'a' + compute()", "compute() is not run"),
        ("X = f'{compute()}'", "compute() is not run"),
        ("while compute():\n  X = 'maybe'", "while loop"),
        ("for x in compute():\n  X = x", "compute() is not run"),
        ("for x in (1, 2):\n  if x:\n    X = str(x)\n    break", "a loop that cannot be followed"),
        ("try:\n  compute()\n  X = 'maybe'\nexcept Exception:\n  X = 'else'", "an exception that may be raised"),
        ("try:\n  from secrets_of_the_site import X\nexcept ImportError:\n  pass", "is imported"),
        ("from secrets_of_the_site import *", "is imported"),
        ("from .missing import *", ".missing is imported"),
        ("globals()['X'] = 'y'", "globals() is not run"),
        ("exec('X = 1')", "exec() is not run"),
        ("def f():\n  global X\n  X = 'y'\nf()", "f() is not run"),
        ("D = {'a': 'b'}\nchange(D)\nX = D['a']", "change() is not run"),
        ("D = {'a': 'b'}\nD.unheard_of()\nX = D['a']", "D.unheard_of() is not run"),
        ("D = {'a': 'b'}\nD[compute()] = 'c'\nX = D['a']", "compute() is not run"),
        ("D = {'a': 'b'}\nD.update(compute())\nX = D['a']", "compute() is not run"),
        ("D = {'a': 'b', **compute()}\nX = D['a']", "compute() is not run"),
        ("D = {'a': 'b'}\nif compute():\n  E = D\n  E['a'] = 'c'\nX = D['a']", "a condition"),
        ("import os\nX = os.environ['PINYON_NOT_SET']", "the environment variable PINYON_NOT_SET is not set"),
        ("import os\nX = os.getcwd()", "os.getcwd() is not run"),
        ("X = 10 ** 100", "not worked out"),
        ("X = 'a' * 3", "not worked out"),
        ("X = f'{3.14159:.2f}'", "not worked out"),
        ("X = [x for x in 'abc']", "a comprehension is not run"),
        ("del X", "X is deleted"),
        ("match 1:\n  case 1:\n    X = 'y'", "match statement"),
    ] {
        let note = unknown(statements);
        assert!(note.contains(reason), "{statements}: {note}");
        assert!(note.contains("/site/shop/settings.py, line "), "{note}");
    }
}

#[test]
fn caches_that_are_not_known_at_all_are_an_error_with_the_line() {
    for (text, reason, line) in [
        ("\nCACHES = compute()", "compute() is not run", 2),
        ("from secrets_of_the_site import *", "is imported", 1),
        ("CACHES = {}\nif compute():\n  CACHES = {'default': {}}", "a condition", 2),
        ("CACHES = {'default': {'BACKEND': 'memory'}}\nconfigure(CACHES)", "configure() is not run", 2),
    ] {
        let error = Settings::from_python(text, "/site/settings.py").unwrap_err();
        assert!(error.is_config() && error.to_string().contains(reason), "{error}");
        assert_eq!(error.location().unwrap().span.line, line, "{error}");
    }
}

#[test]
fn without_caches_there_is_djangos_default_and_a_note() {
    let settings = read("DEBUG = True\n");
    assert!(matches!(settings.get("default").unwrap().backend, BackendSettings::Memory(_)));
    assert!(settings.notes[0].to_string().contains("CACHES is not assigned"), "{:?}", settings.notes);
}

#[test]
fn what_is_not_python_is_an_error_with_line_and_column_and_does_not_quote_the_line() {
    let error = Settings::from_python("PASSWORD = 'hunter2\nCACHES = {}", "settings.py").unwrap_err();
    assert!(error.is_config() && error.location().unwrap().span.line == 1, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn a_text_that_is_nested_without_end_is_an_error() {
    let deep = 50_000;
    for text in [
        format!("CACHES = {}", "[".repeat(deep)),
        format!("CACHES = {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("CACHES = {}1", "-".repeat(deep)),
        format!("CACHES = {}1", "not ".repeat(deep)),
        format!("CACHES = a{}", ".a".repeat(deep)),
        format!("CACHES = 1{}", " + 1".repeat(deep)),
        format!("CACHES = f{}", "()".repeat(deep)),
        format!("CACHES = {}1", "lambda a, b: ".repeat(deep)),
        format!("CACHES = {}1", "1 if 1 else ".repeat(deep)),
        format!("CACHES = {}1{}", "f'{".repeat(deep), "}'".repeat(deep)),
        (0..3_000).map(|depth| format!("{}if 1:\n", " ".repeat(depth))).collect::<Vec<_>>().concat(),
    ] {
        assert!(Settings::from_python(&text, "settings.py").unwrap_err().is_config());
    }
    // Values that grow without end, and a dictionary within itself.
    let mut doubling = String::from("X = 'aaaaaaaa'\n");
    doubling.push_str(&"X = X + X\n".repeat(60));
    assert!(unknown(&doubling).contains("not worked out"));
    let mut shared = String::from("X = ['a']\n");
    shared.push_str(&"X = [X, X]\n".repeat(60));
    assert!(unknown(&shared).contains("more in it than is read"));
    assert!(unknown("X = {}\nX['x'] = X").contains("more in it than is read"));
}

#[test]
fn an_ordinary_depth_is_no_problem() {
    let nested = format!("X = {}'a'{}", "[".repeat(20), "]".repeat(20));
    let lines: Vec<String> = (0..500).map(|index| format!("    'key{index}': ('a' + 'b', not {index}),\n")).collect();
    let long = lines.concat();
    assert_eq!(
        aliases(&format!("{nested}\nY = {{\n{long}}}\nCACHES = {{'default': {{'BACKEND': 'memory'}}}}")).0,
        ["default"]
    );
}

proptest! {
    #[test]
    fn no_text_panics(
        text in any::<String>(),
        looks_like in prop::collection::vec(
            "(CACHES|X|if |else:|try:|except |for |in |from \\. import \\*|lambda |f'\\{|\\}'|'|\"\"\"|\\[|\\]|\\{|\\}|\\(|\\)|=|:|,|\\*\\*|\\.|%|\\+|/|\n| |\n  |1|os|'a'|not |#|é|\\\\|==|\\|=)",
            0..60,
        ),
    ) {
        for text in [text, looks_like.concat()] {
            let _ = Settings::from_python(&text, "/site/settings.py");
        }
    }

    #[test]
    fn no_statements_panic(lines in prop::collection::vec(prop::sample::select(vec![
        "X = {}", "X = [1]", "X = 'a'", "X = Y", "Y = X", "X['a'] = Y", "X[0] = X", "X += Y", "X |= Y", "X.update(Y)",
        "X.append(X)", "X.pop('a')", "del X['a']", "del X", "X = X['a']", "f(X)", "for Z in X:\n  Y = Z", "if X:\n  Y = 1",
        "if f():\n  X['a'] = 1", "try:\n  X = Y['q']\nexcept KeyError:\n  X = 3", "X = {**X, 'b': Y}", "X, Y = Y, X",
        "X = '%s' % Y", "X = f'{Y}'", "CACHES = X", "CACHES = {'default': X}", "CACHES['default'] = Y", "X = dict(X)",
        "X = (X, Y)", "X = X.copy()", "X.setdefault('a', Y)", "X.extend(Y)", "Y = X == Y", "Y = X in Y", "X = X * 2 ** 62",
        "X = -X", "X = X // 0", "X = 1 % 0", "import copy\nX = copy.deepcopy(X)",
    ]), 0..25)) {
        let _ = Settings::from_python(&lines.join("\n"), "/site/settings.py");
    }
}
