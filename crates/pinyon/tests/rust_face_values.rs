//! Values of the typed face: structs through every serializer, Python's values both ways, and bytes that nobody can read.

mod backends;

use backends::{ALIASES, Backends};
use pinyon::settings::{BackendSettings, Format, SerializerKind};
use pinyon::value::pickle;
use pinyon::{Cache, Caches, ErrorKind, Expiry, Item, Timeout};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Book {
    title: String,
    price: f64,
    pages: u32,
    tags: Vec<String>,
    subtitle: Option<String>,
    binding: Binding,
    stock: BTreeMap<String, i64>,
    #[serde(flatten)]
    origin: Origin,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Binding {
    Paperback,
    Hardcover { cloth: bool },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Origin {
    country: String,
    weight: f64,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
enum Loose {
    Number(f64),
    Text(String),
}

fn book() -> Book {
    Book {
        title: "Emma — «é»".to_owned(),
        price: 0.1 + 0.2,
        pages: 474,
        tags: vec!["novel".to_owned(), String::new()],
        subtitle: None,
        binding: Binding::Hardcover { cloth: true },
        stock: BTreeMap::from([("Berlin".to_owned(), -1), ("Oslo".to_owned(), i64::MAX)]),
        origin: Origin { country: "GB".to_owned(), weight: 0.7 },
    }
}

#[test]
fn structs_come_back_from_every_backend_with_every_serializer() {
    let backends = Backends::start();
    for serializer in ["pickle", "json", "msgpack"] {
        let caches = backends.caches(&format!("KEY_PREFIX = '{serializer}'"), &format!("SERIALIZER = '{serializer}'"));
        for alias in ALIASES {
            let cache = caches.get(alias).unwrap().blocking();
            let book = book();
            assert!(cache.set("book", &book, Timeout::Default).unwrap());
            assert_eq!(cache.get::<Book>("book").unwrap().as_ref(), Some(&book), "{alias} {serializer}");
            let paper = Book { binding: Binding::Paperback, ..book };
            cache.set_many([("one", &paper), ("two", &paper)], Timeout::Default).unwrap();
            assert_eq!(cache.get_many::<Book>(&["one", "two"]).unwrap()["two"], paper, "{alias} {serializer}");
            for (key, loose) in [("n", Loose::Number(2.5)), ("t", Loose::Text("text".to_owned()))] {
                cache.set(key, &loose, Timeout::Default).unwrap();
                assert_eq!(cache.get::<Loose>(key).unwrap(), Some(loose), "{alias} {serializer}");
            }
            let json = serde_json::json!({"a": [1, -2, 2.5, null, true, "x", {}]});
            cache.set("json", &json, Timeout::Default).unwrap();
            assert_eq!(cache.get("json").unwrap(), Some(json), "{alias} {serializer}");
            for bytes in [&b""[..], b"\0\xff", b"123"] {
                cache.set("bytes", serde_bytes::Bytes::new(bytes), Timeout::Default).unwrap();
                // JSON has no bytes: they are a list of numbers there.
                let back = cache.get::<serde_bytes::ByteBuf>("bytes").unwrap().unwrap();
                assert_eq!(back.as_ref(), bytes, "{alias} {serializer}");
            }
            for number in [0_i128, -1, i128::from(i64::MIN), i128::from(u64::MAX)] {
                cache.set("number", &number, Timeout::Default).unwrap();
                assert_eq!(cache.get("number").unwrap(), Some(number), "{alias} {serializer}");
            }
            for flag in [true, false] {
                cache.set("flag", &flag, Timeout::Default).unwrap();
                assert_eq!(cache.get("flag").unwrap(), Some(flag), "{alias} {serializer}");
            }
            // Digits are a number only where they were one.
            for text in ["", "5", "-7", "true", "None"] {
                cache.set("text", text, Timeout::Default).unwrap();
                assert_eq!(cache.get::<String>("text").unwrap().as_deref(), Some(text), "{alias} {serializer}");
            }
        }
    }
}

#[test]
fn a_json_number_is_a_plain_number_in_messagepack() {
    let backends = Backends::start();
    let caches = backends.caches("", "SERIALIZER = 'msgpack'");
    let cache = caches.get("redis").unwrap();
    cache.blocking().set("key", &serde_json::json!({"a": 1.5}), Timeout::Default).unwrap();
    let expected = [&b"\x81\xa1a\xcb"[..], &1.5_f64.to_be_bytes()].concat();
    assert_eq!(raw(cache, ":1:key"), (expected, 0));
}

#[test]
fn another_type_than_was_stored_is_an_error_without_the_value() {
    let backends = Backends::start();
    for serializer in ["pickle", "json", "msgpack"] {
        let caches = backends.caches("", &format!("SERIALIZER = '{serializer}'"));
        for alias in ALIASES {
            let cache = caches.get(alias).unwrap().blocking();
            cache.set("secret", &("s3cret", "s3cret"), Timeout::Default).unwrap();
            cache.set("text", "s3cret", Timeout::Default).unwrap();
            for error in [
                cache.get::<Book>("secret").unwrap_err(),
                cache.get::<i64>("secret").unwrap_err(),
                cache.get::<Vec<i64>>("secret").unwrap_err(),
                cache.get_many::<bool>(&["secret"]).unwrap_err(),
                cache.get::<Binding>("text").unwrap_err(),
                cache.get::<f64>("text").unwrap_err(),
            ] {
                assert_eq!((error.kind(), error.alias()), (ErrorKind::Value, Some(alias)), "{serializer}: {error}");
                assert!(!format!("{error} {error:?}").contains("s3cret"), "{alias} {serializer}: {error}");
            }
            cache.set("number", &300, Timeout::Default).unwrap();
            let error = cache.get::<u8>("number").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfRange, "{alias} {serializer}: {error}");
        }
    }
}

/// Puts bytes under a key past the serializer. Memcached's flag for a pickle is 1.
fn put(cache: &Cache, key: &str, bytes: &[u8]) {
    let flags = u32::from(cache.store().backend() == "memcached");
    assert!(cache.store().set(&format!(":1:{key}"), Item { bytes, flags }, Expiry::Never).unwrap());
}

fn raw(cache: &Cache, key: &str) -> (Vec<u8>, u32) {
    let mut found = None;
    cache.store().get(key, &mut |item| found = Some((item.bytes.to_vec(), item.flags))).unwrap();
    found.expect("a value")
}

#[test]
fn bytes_that_cannot_be_read_are_a_miss_that_is_counted() {
    let backends = Backends::start();
    let caches = backends.caches("", "");
    let whole = pickle::to_vec(&book()).unwrap();
    for alias in ALIASES {
        let cache = caches.get(alias).unwrap();
        let blocking = cache.blocking();
        for (number, bytes) in
            [&whole[..whole.len() / 2], &whole[..3], b"", b"\x80\x05garbage", b"\xff\xfe\xfd"].iter().enumerate()
        {
            put(cache, "key", bytes);
            assert_eq!(blocking.get::<Book>("key").unwrap(), None, "{alias} {number}");
            assert!(blocking.get_many::<Book>(&["key"]).unwrap().is_empty(), "{alias} {number}");
            let stats = cache.stats();
            let misses = 2 * (number as u64 + 1);
            assert_eq!((stats.hits, stats.misses, stats.bad_values), (0, misses, misses), "{alias} {number}");
        }
        // The next one who makes the value repairs the entry.
        assert_eq!(blocking.get_or_set("key", Timeout::Default, book).unwrap(), book(), "{alias}");
        assert_eq!(blocking.get::<Book>("key").unwrap(), Some(book()), "{alias}");
    }
}

#[test]
fn bytes_that_cannot_be_read_are_an_error_where_the_settings_want_it() {
    let backends = Backends::start();
    let caches = backends.caches("", "ON_BAD_VALUE = 'raise'");
    let whole = pickle::to_vec(&book()).unwrap();
    for alias in ALIASES {
        let cache = caches.get(alias).unwrap();
        put(cache, "key", &whole[..whole.len() / 2]);
        for error in [
            cache.blocking().get::<Book>("key").unwrap_err(),
            cache.blocking().get_many::<Book>(&["key"]).unwrap_err(),
            cache.blocking().get_or_set("key", Timeout::Default, book).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.alias()), (ErrorKind::BadValue, Some(alias)), "{error}");
        }
        assert_eq!(cache.stats().bad_values, 0, "{alias}");
    }
}

/// Runs Python with `input` on its stdin and returns what it printed.
fn python(script: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which the tests need");
    child.stdin.take().expect("its stdin").write_all(input).expect("its input");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "python3 failed:\n{script}");
    output.stdout
}

#[test]
fn what_python_pickled_is_read_as_rust_types() {
    let script = "import pickle, sys
sys.stdout.buffer.write(pickle.dumps({
    'title': 'Emma — «é»', 'price': 0.1 + 0.2, 'pages': 474, 'tags': ('novel', ''), 'subtitle': None,
    'binding': {'Hardcover': {'cloth': True}}, 'stock': {'Berlin': -1, 'Oslo': 2**63 - 1}, 'country': 'GB', 'weight': 0.7,
}, PROTOCOL))";
    let backends = Backends::start();
    let caches = backends.caches("", "");
    for protocol in 0..=5 {
        let bytes = python(&script.replace("PROTOCOL", &protocol.to_string()), b"");
        for alias in ALIASES {
            let cache = caches.get(alias).unwrap();
            put(cache, "book", &bytes);
            assert_eq!(cache.blocking().get::<Book>("book").unwrap(), Some(book()), "{alias}, protocol {protocol}");
        }
    }
}

#[test]
fn what_rust_wrote_is_read_by_python() {
    let backends = Backends::start();
    let caches = backends.caches("", "");
    let show = "import pickle, sys; print(pickle.load(sys.stdin.buffer))";
    for alias in ALIASES {
        let cache = caches.get(alias).unwrap();
        cache.blocking().set("book", &book(), Timeout::Default).unwrap();
        let (bytes, flags) = raw(cache, ":1:book");
        assert_eq!(flags, u32::from(alias == "memcached"));
        assert_eq!(
            String::from_utf8(python(show, &bytes)).unwrap(),
            "{'title': 'Emma — «é»', 'price': 0.30000000000000004, 'pages': 474, 'tags': ['novel', ''], \
             'subtitle': None, 'binding': {'Hardcover': {'cloth': True}}, \
             'stock': {'Berlin': -1, 'Oslo': 9223372036854775807}, 'country': 'GB', 'weight': 0.7}\n",
            "{alias}"
        );
        cache.blocking().set("number", &-5, Timeout::Default).unwrap();
        assert_eq!(raw(cache, ":1:number").0, b"-5", "{alias}: an integer is digits, as Django stores it");
    }
}

/// Redis and Memcached as seen by a Python program that knows nothing of Pinyon.
const PLAIN_CLIENT: &str = "
import pickle, socket, sys
server, port, action = 'SERVER', PORT, 'ACTION'
connection = socket.create_connection(('127.0.0.1', port), 30)
stream = connection.makefile('rwb')
value = pickle.dumps({'from': 'python', 'numbers': [1, 2.5, 10**10]}, 5)
def ask(*parts):
    stream.write(b''.join(parts)); stream.flush(); return stream.readline()
def bulk(*words):
    return b'*%d\\r\\n' % len(words) + b''.join(b'$%d\\r\\n%s\\r\\n' % (len(word), word) for word in words)
if server == 'redis':
    ask(bulk(b'SELECT', b'1'))
    if action == 'set':
        assert ask(bulk(b'SET', b':1:key', value, b'EX', b'300')) == b'+OK\\r\\n'
    else:
        length = int(ask(bulk(b'GET', b':1:key'))[1:])
        print(pickle.loads(stream.read(length)))
else:
    if action == 'set':
        assert ask(b'set :1:key 1 300 %d\\r\\n' % len(value), value, b'\\r\\n') == b'STORED\\r\\n'
    else:
        flags, length = ask(b'get :1:key\\r\\n').split()[2:4]
        assert flags == b'1', flags
        print(pickle.loads(stream.read(int(length))))
";

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Note {
    from: String,
    numbers: (u8, f64, u64),
}

#[test]
fn a_python_program_and_a_rust_program_share_a_server() {
    let backends = Backends::start();
    let caches = backends.caches("", "");
    for (alias, port) in [("redis", backends.redis.port()), ("memcached", backends.memcached.port())] {
        let script = PLAIN_CLIENT.replace("SERVER", alias).replace("PORT", &port.to_string());
        let cache = caches.get(alias).unwrap().blocking();
        python(&script.replace("ACTION", "set"), b"");
        let expected = Note { from: "python".to_owned(), numbers: (1, 2.5, 10_000_000_000) };
        assert_eq!(cache.get::<Note>("key").unwrap(), Some(expected), "{alias}");
        let note = Note { from: "rust".to_owned(), numbers: (1, 2.5, 10_000_000_000) };
        cache.set("key", &note, Timeout::Default).unwrap();
        let shown = String::from_utf8(python(&script.replace("ACTION", "get"), b"")).unwrap();
        assert_eq!(shown, "{'from': 'rust', 'numbers': (1, 2.5, 10000000000)}\n", "{alias}");
    }
}

#[test]
fn a_python_object_without_a_rust_form_is_an_error_that_names_its_class() {
    let script = "import pickle, sys, types, datetime, decimal
module = types.ModuleType('shop.models'); sys.modules['shop.models'] = sys.modules['shop'] = module
exec('class Book:\\n    def __init__(self): self.title = \"s3cret\"', module.__dict__); module.Book.__module__ = 'shop.models'
sys.stdout.buffer.write(pickle.dumps(VALUE, 5))";
    let backends = Backends::start();
    let caches = backends.caches("", "ON_BAD_VALUE = 'raise'");
    for (value, class) in [
        ("module.Book()", "shop.models.Book"),
        ("{'title': module.Book()}", "shop.models.Book"),
        ("[1, module.Book()]", "shop.models.Book"),
        ("datetime.date(2026, 7, 4)", "datetime.date"),
        ("decimal.Decimal('1.5')", "decimal.Decimal"),
    ] {
        let bytes = python(&script.replace("VALUE", value), b"");
        for alias in ALIASES {
            let cache = caches.get(alias).unwrap();
            put(cache, "key", &bytes);
            let error = cache.blocking().get::<serde_json::Value>("key").unwrap_err();
            assert_eq!((error.kind(), error.alias()), (ErrorKind::Value, Some(alias)), "{value}: {error}");
            assert!(error.message().contains(&format!("class '{class}'")), "{value}: {error}");
            assert_eq!(pickle::python_class(&error), Some(class), "{value}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert!(cache.blocking().show("key").unwrap().unwrap().contains(class), "{value}");
        }
    }
}

#[test]
fn a_pickle_that_would_run_code_is_shown_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let script = format!(
        "import os, pickle, sys
class Bomb:
    def __reduce__(self): return os.system, ('touch {}',)
sys.stdout.buffer.write(pickle.dumps(Bomb(), 5))",
        trace.display()
    );
    let bytes = python(&script, b"");
    let backends = Backends::start();
    let caches = backends.caches("", "");
    for alias in ALIASES {
        let cache = caches.get(alias).unwrap();
        put(cache, "key", &bytes);
        let shown = cache.blocking().show("key").unwrap().unwrap();
        assert!(shown.contains("system('touch "), "{alias}: {shown}");
        assert_eq!(cache.blocking().get::<String>("key").unwrap_err().kind(), ErrorKind::Value, "{alias}");
    }
    assert!(!trace.exists());
}

#[test]
fn every_backend_has_the_serializer_of_its_settings() {
    let backends = Backends::start();
    let caches = backends.caches("", "SERIALIZER = 'msgpack'");
    for alias in ALIASES {
        let serializer = match &caches.settings(alias).unwrap().backend {
            BackendSettings::Memory(memory) => memory.serializer,
            BackendSettings::Redis(redis) => match redis.serializers.as_slice() {
                [Format::BuiltIn(serializer)] => *serializer,
                other => panic!("{other:?} is not one serializer"),
            },
            BackendSettings::Memcached(memcached) => memcached.serializer,
            other => panic!("{other:?} is none of these backends"),
        };
        assert_eq!(serializer, SerializerKind::Msgpack, "{alias}");
    }
}

#[test]
fn what_python_compresses_is_read_and_python_reads_what_we_compress() {
    let backends = Backends::start();
    for (module, name) in [("zlib", "zlib"), ("gzip", "gzip"), ("lzma", "lzma")] {
        let location = format!("redis://127.0.0.1:{}/1", backends.redis.port());
        let options = format!("OPTIONS = {{ COMPRESSOR = ['{name}', 'identity'], SERIALIZER = ['pickle', 'json'] }}");
        let toml = format!("[default]\nBACKEND = 'redis'\nLOCATION = '{location}'\n{options}");
        let caches = Caches::from_toml(&toml).unwrap();
        let cache = caches.get("default").unwrap();
        let expected = vec!["text".to_owned(); 100];
        for dumps in ["pickle.dumps", "(lambda value: json.dumps(value).encode())"] {
            let script = format!(
                "import json, pickle, sys, {module}\nsys.stdout.buffer.write({module}.compress({dumps}(['text'] * 100)))"
            );
            put(cache, "key", &python(&script, b""));
            assert_eq!(cache.blocking().get::<Vec<String>>("key").unwrap().as_ref(), Some(&expected), "{name} {dumps}");
        }
        cache.blocking().set("key", &expected, Timeout::Default).unwrap();
        let (bytes, _) = raw(cache, ":1:key");
        assert!(bytes.len() < 200, "{name}: {} bytes", bytes.len());
        let script = format!(
            "import pickle, sys, {module}\nprint(pickle.loads({module}.decompress(sys.stdin.buffer.read())) == ['text'] * 100)"
        );
        assert_eq!(python(&script, &bytes), b"True\n", "{name}");
        cache.blocking().set("n", &i64::MAX, Timeout::Default).unwrap();
        assert_eq!(raw(cache, ":1:n").0, i64::MAX.to_string().as_bytes());
        put(cache, "key", &bytes[..bytes.len() / 2]);
        assert_eq!(cache.blocking().get::<Vec<String>>("key").unwrap(), None, "{name}");
    }
}
