//! Our pickle against CPython's: whatever it writes we read, and what we write is what it writes.
//!
//! `python3` must be on the PATH. Each test starts one interpreter and talks to it in lines.

use pinyon::ErrorKind;
use pinyon::value::pickle;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs `script` with `lines` as its input; returns its output, a line for each.
fn python(script: &str, lines: &[String]) -> Vec<String> {
    let mut child = Command::new("python3")
        .args(["-c", &format!("{PRELUDE}\n{script}")])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 must be installed to run this test");
    let mut stdin = child.stdin.take().expect("the input is piped");
    let input = lines.iter().fold(String::new(), |all, line| all + line + "\n");
    // A thread writes, so that neither side waits for the other to read.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python3 runs to its end");
    assert!(output.status.success(), "the oracle failed");
    writer.join().expect("the writer ends").expect("python3 reads its input");
    let answers: Vec<String> = String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len());
    answers
}

const PRELUDE: &str = r"
import collections, datetime, decimal, enum, json, math, pickle, sys, uuid

class Plain:
    def __init__(self, **attributes): self.__dict__.update(attributes)
class Text(str): pass
class Numbers(list): pass
class Mapping(dict): pass
class Slotted:
    __slots__ = ('a',)
class Keyword:
    def __new__(cls, *, a): return super().__new__(cls)
    def __getnewargs_ex__(self): return (), {'a': 1}
class Color(enum.Enum):
    RED = 1

def slotted():
    made = Slotted(); made.a = 1
    return made

def each(answer):
    for line in sys.stdin:
        print(answer(line.rstrip('\n')))
";

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// The value of each expression as Python prints it, and its pickles by protocol 0 to 5 from both of CPython's picklers.
fn pickles(expressions: &[&str]) -> Vec<(String, Vec<Vec<u8>>)> {
    let lines: Vec<String> = expressions.iter().map(|&line| line.to_owned()).collect();
    let script = r"
def answer(line):
    value = eval(line)
    dumps = [pickle.dumps(value, protocol).hex() for protocol in range(6)]
    dumps += [pickle._dumps(value, protocol).hex() for protocol in range(6)]
    return json.dumps([repr(value), dumps])
each(answer)";
    let answers = python(script, &lines).into_iter().map(|line| {
        let (repr, dumps): (String, Vec<String>) = serde_json::from_str(&line).expect("the oracle's answer");
        (repr, dumps.iter().map(|dump| from_hex(dump)).collect())
    });
    answers.collect()
}

#[test]
fn plain_values_of_every_protocol_are_shown_as_python_shows_them() {
    let expressions = [
        "None",
        "True",
        "False",
        "[0, 1, -1, 255, 256, 65535, 65536, 2**31-1, 2**31, -2**31, -2**31-1]",
        "[2**63-1, 2**63, -2**63, -2**63-1, 2**64, 2**70, -2**70, 2**128, 10**400, -10**700]",
        "[0.0, -0.0, 1.0, 1.5, -2.25, 0.1, 1e15, 1e16, 1.5e16, 123456789012345678.0, 1e22, 1e-4, 1e-5, 1.5e-7]",
        "[5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]",
        "''",
        "'abc'",
        "'it\\'s'",
        "'\"it\\'s\"'",
        "'tab\\t newline\\n return\\r nul\\0 del\\x7f escape\\x1b backslash\\\\ \\\\u0041'",
        "'h\\xe9llo \\u65e5\\u672c \\U0001f600 \\u2028 \\u200b'",
        "'x' * 255 + 'y'",
        "'x' * 70000",
        "b''",
        "b'abc'",
        "bytes(range(256))",
        "b'x' * 300",
        "b'y' * 70000",
        "bytearray(b'')",
        "bytearray(b'abc\\x00\\xff')",
        "[]",
        "[1]",
        "[[], [[]], [[[1]]]]",
        "list(range(2500))",
        "()",
        "(1,)",
        "(1, 2)",
        "(1, 2, 3)",
        "(1, 2, 3, 4)",
        "((), ((),))",
        "{}",
        "{'a': 1}",
        "{'a': [1, 2.5, None], 'b': {'c': ()}, 3: True, None: 'x', (1, 2): b'z'}",
        "{str(number): number for number in range(2001)}",
        "set()",
        "{1}",
        "{1, 2, 3, 4}",
        "set(range(1500))",
        "frozenset()",
        "frozenset({1, 2, 3})",
        "[frozenset({frozenset({1})}), {frozenset(), 2}]",
        "(lambda shared: [shared, shared, {'k': shared}])([1, 'two'])",
        "(lambda shared: [shared] * 300)('a string that is shared')",
        "[str(number) * 3 for number in range(300)] * 2",
        "datetime.datetime(2026, 1, 2, 3, 4, 5)",
        "datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)",
        "datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)",
        "datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5)))",
        "datetime.date(2026, 11, 22)",
        "datetime.time(23, 59, 58, 7)",
        "datetime.time(1, 2)",
        "datetime.timedelta(0)",
        "datetime.timedelta(days=-3, seconds=4, microseconds=5)",
        "datetime.timezone.utc",
    ];
    for (expression, (repr, dumps)) in expressions.iter().zip(pickles(&expressions)) {
        for (index, dump) in dumps.iter().enumerate() {
            let value = pickle::read(dump).unwrap_or_else(|error| panic!("{expression}, dump {index}: {error}"));
            assert_eq!(value.to_string(), repr, "{expression}, dump {index}");
        }
    }
}

#[test]
fn objects_of_every_protocol_are_shown_by_class_arguments_and_state() {
    let cases = [
        ("Plain()", "__main__.Plain()"),
        ("Plain(id=1, name='x')", "<__main__.Plain {'id': 1, 'name': 'x'}>"),
        ("decimal.Decimal('1.50')", "decimal.Decimal('1.50')"),
        ("uuid.UUID('12345678-1234-5678-9234-567812345678')", "uuid.UUID('12345678-1234-5678-9234-567812345678')"),
        ("uuid.UUID(int=5)", "uuid.UUID('00000000-0000-0000-0000-000000000005')"),
        ("collections.OrderedDict(a=1, b=[2])", "{'a': 1, 'b': [2]}"),
        ("collections.OrderedDict()", "{}"),
        ("collections.defaultdict(list, a=[1])", "collections.defaultdict(list, {'a': [1]})"),
        ("collections.Counter('aab')", "collections.Counter({'a': 2, 'b': 1})"),
        ("Color.RED", "__main__.Color(1)"),
        ("range(1, 5)", "range(1, 5, 1)"),
        ("1+2j", "complex(1.0, 2.0)"),
        ("Plain", "__main__.Plain"),
        ("[len, int, collections.OrderedDict]", "[len, int, collections.OrderedDict]"),
    ];
    let expressions: Vec<&str> = cases.iter().map(|(expression, _)| *expression).collect();
    for ((expression, expected), (_, dumps)) in cases.iter().zip(pickles(&expressions)) {
        for (index, dump) in dumps.iter().enumerate() {
            let value = pickle::read(dump).unwrap_or_else(|error| panic!("{expression}, dump {index}: {error}"));
            assert_eq!(value.to_string(), *expected, "{expression}, dump {index}");
        }
    }
}

#[test]
fn every_object_without_a_rust_form_names_its_class() {
    let cases = [
        ("Plain(id=1)", "__main__.Plain"),
        ("Text('abc')", "__main__.Text"),
        ("Numbers([1, 2])", "__main__.Numbers"),
        ("Mapping(a=1)", "__main__.Mapping"),
        ("Color.RED", "__main__.Color"),
        ("decimal.Decimal('1.5')", "decimal.Decimal"),
        ("datetime.date(2026, 1, 2)", "datetime.date"),
        ("[[Plain(id=1)]]", "__main__.Plain"),
        ("len", "builtins.len"),
    ];
    let expressions: Vec<&str> = cases.iter().map(|(expression, _)| *expression).collect();
    for ((expression, class), (_, dumps)) in cases.iter().zip(pickles(&expressions)) {
        for (index, dump) in dumps.iter().enumerate() {
            let error = pickle::from_slice::<Value>(dump).expect_err(expression);
            assert_eq!(error.kind(), ErrorKind::Value, "{expression}, dump {index}: {error}");
            assert_eq!(pickle::python_class(&error), Some(*class), "{expression}, dump {index}: {error}");
        }
    }
}

/// Forms that older protocols refuse, or spell as calls of calls.
#[test]
fn new_style_objects_are_read() {
    let script = "each(lambda line: ' '.join(pickle.dumps(eval(line), protocol).hex() for protocol in range(4, 6)))";
    let cases = [
        ("slotted()", "<__main__.Slotted (None, {'a': 1})>"),
        ("Keyword(a=1)", "__main__.Keyword(a=1)"),
        ("collections.deque([1, 2])", "collections.deque([1, 2])"),
    ];
    let lines: Vec<String> = cases.iter().map(|(expression, _)| (*expression).to_owned()).collect();
    for ((expression, expected), answer) in cases.iter().zip(python(script, &lines)) {
        for (index, dump) in answer.split(' ').enumerate() {
            let value = pickle::read(&from_hex(dump)).expect(expression);
            assert_eq!(value.to_string(), *expected, "dump {index}");
        }
    }
}

#[derive(Serialize)]
struct Book {
    id: u32,
    title: String,
    price: Option<f64>,
    tags: Vec<String>,
}

#[derive(Serialize)]
enum Event {
    Opened,
    Sold(u32),
    Moved(u32, &'static str),
    Renamed { from: &'static str },
}

fn dumped<T: Serialize + ?Sized>(expression: &str, value: &T) -> (String, Vec<u8>) {
    (expression.to_owned(), pickle::to_vec(value).expect(expression))
}

#[test]
fn what_we_write_is_byte_for_byte_what_cpython_writes() {
    let numbers = |count: u32| (0..count).collect::<Vec<u32>>();
    let dict = |count: u32| (0..count).map(|number| (number, number * 1000)).collect::<BTreeMap<u32, u32>>();
    let texts = |count: usize, width: usize| {
        let digits = (0..count).map(|number| number.to_string());
        digits.map(|digits| "0".repeat(width - digits.len()) + &digits).collect::<Vec<_>>()
    };
    let book = |id| Book { id, title: format!("title {id}"), price: Some(9.5), tags: vec![format!("tag {id}")] };
    let mut cases = vec![
        dumped("None", &()),
        dumped("True", &true),
        dumped("False", &false),
        dumped("''", ""),
        dumped("'abc'", "abc"),
        dumped("'\\u65e5\\U0001f600'", "日😀"),
        dumped("[]", &numbers(0)),
        dumped("[0]", &numbers(1)),
        dumped("{}", &dict(0)),
        dumped("{0: 0}", &dict(1)),
        dumped("()", &[0_u8; 0]),
        dumped("(1,)", &(1,)),
        dumped("(1, 'ab')", &(1, "ab")),
        dumped("(1, 2, (3, 4, 5), (6, 7, 8, 9), 10)", &(1, 2, (3, 4, 5), (6, 7, 8, 9), 10)),
        dumped("['a', 'a', '', '', '\\xe9', '\\xe9']", &["a", "a", "", "", "é", "é"].to_vec()),
        dumped(
            "[b'', b'', b'a', b'a', b'ab']",
            &[&b""[..], b"", b"a", b"a", b"ab"].map(serde_bytes::Bytes::new).to_vec(),
        ),
        dumped("[1.5, -0.0, math.inf, 1e300]", &[1.5, -0.0, f64::INFINITY, 1e300].to_vec()),
        dumped("'Opened'", &Event::Opened),
        dumped("{'Sold': 7}", &Event::Sold(7)),
        dumped("{'Moved': (7, 'shelf')}", &Event::Moved(7, "shelf")),
        dumped("{'Renamed': {'from': 'draft'}}", &Event::Renamed { from: "draft" }),
        dumped("{'id': 7, 'title': 'title 7', 'price': 9.5, 'tags': ['tag 7']}", &book(7)),
        dumped(
            "[{'id': i, 'title': 'title %d' % i, 'price': 9.5, 'tags': ['tag %d' % i]} for i in range(2000)]",
            &(0..2000).map(book).collect::<Vec<_>>(),
        ),
        // A reference to the 256th value or a later one is written in another way.
        dumped(
            "([{'id': i, 'title': 'title %d' % i, 'price': None, 'tags': []} for i in range(300)], {'Sold': 1}, {'Sold': 2})",
            &(
                (0..300).map(|id| Book { price: None, tags: vec![], ..book(id) }).collect::<Vec<_>>(),
                Event::Sold(1),
                Event::Sold(2),
            ),
        ),
    ];
    for number in [
        0,
        1,
        255,
        256,
        65535,
        65536,
        -1,
        -128,
        -129,
        -65536,
        i128::from(i32::MAX),
        i128::from(i32::MIN),
        i128::from(i32::MAX) + 1,
        i128::from(i32::MIN) - 1,
        1 << 39,
        -(1 << 39),
        -(1 << 39) - 1,
        i128::from(i64::MAX),
        i128::from(i64::MIN),
        i128::from(u64::MAX),
        i128::from(i64::MIN) - 1,
        i128::MAX,
        i128::MIN,
        -(1 << 119),
    ] {
        cases.push(dumped(&number.to_string(), &number));
    }
    cases.push(dumped(&u128::MAX.to_string(), &u128::MAX));
    for length in [254, 255, 256, 65_400, 65_535, 65_536, 65_537, 200_000] {
        let text = "x".repeat(length);
        cases.push(dumped(&format!("'x' * {length}"), &text));
        cases.push(dumped(&format!("b'x' * {length}"), serde_bytes::Bytes::new(text.as_bytes())));
        cases.push(dumped(&format!("(1, 'x' * {length}, 2, 'tail')"), &(1, &text, 2, "tail")));
        cases.push(dumped(&format!("['x' * {length}]"), &vec![&text]));
    }
    for count in [2, 999, 1000, 1001, 1999, 2000, 2001, 20_000, 50_000] {
        cases.push(dumped(&format!("list(range({count}))"), &numbers(count)));
        cases.push(dumped(&format!("{{i: i * 1000 for i in range({count})}}"), &dict(count)));
    }
    for (count, width) in [(300, 10), (5000, 30), (100, 1000), (20, 60_000), (5, 70_000), (40, 16_384)] {
        let expression = format!("[str(i).rjust({width}, '0') for i in range({count})]");
        cases.push(dumped(&expression, &texts(count, width)));
    }
    let lines: Vec<String> = cases.iter().map(|(expression, _)| expression.clone()).collect();
    let answers = python("each(lambda line: pickle.dumps(eval(line), 5).hex())", &lines);
    for ((expression, ours), theirs) in cases.iter().zip(answers) {
        let theirs = from_hex(&theirs);
        let place = ours.iter().zip(&theirs).position(|(our, their)| our != their);
        assert!(
            *ours == theirs,
            "{expression}: {} bytes here, {} there, first difference at {place:?}",
            ours.len(),
            theirs.len()
        );
    }
}

/// What JSON can say, with text and numbers of many sizes.
fn any_json() -> impl Strategy<Value = Value> {
    let characters =
        |most| proptest::collection::vec(any::<char>(), 0..most).prop_map(|text| text.into_iter().collect::<String>());
    let text = prop_oneof![8 => characters(20), 1 => (0_usize..40_000).prop_map(|length| "é".repeat(length))];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u32..64, any::<i64>()).prop_map(|(shift, number)| Value::from(number >> shift)),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no infinities", |number| number.is_finite())
            .prop_map(|number| json!(number)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 100, 12, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            proptest::collection::btree_map(characters(8), inner, 0..12)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn random_values_go_to_python_and_back() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = any_json();
    let values: Vec<Value> =
        (0..1000).map(|_| strategy.new_tree(&mut runner).expect("a value can be made").current()).collect();
    let lines: Vec<String> = values
        .iter()
        .map(|value| format!("{}\t{value}", to_hex(&pickle::to_vec(value).expect("JSON can be pickled"))))
        .collect();
    // Equal by repr: there True is not 1 and 1.0 is not 1. What comes out of loads has no two places that share an
    // object, so dumping it again must give our bytes.
    let script = r"
def answer(line):
    ours, text = line.split('\t', 1)
    ours = bytes.fromhex(ours)
    value, expected = pickle.loads(ours), json.loads(text)
    if repr(value) != repr(expected):
        return 'other value'
    if pickle.dumps(value, 5) != ours:
        return 'other bytes'
    return ' '.join(pickle.dumps(expected, protocol).hex() for protocol in range(6))
sys.stdin.reconfigure(encoding='utf-8', newline='\n')
each(answer)";
    for (value, answer) in values.iter().zip(python(script, &lines)) {
        assert!(!answer.starts_with("other"), "{answer}: {value}");
        for (protocol, dump) in answer.split(' ').enumerate() {
            let read: Value = pickle::from_slice(&from_hex(dump)).expect("what Python wrote");
            assert_eq!(read, *value, "protocol {protocol}");
        }
    }
}

#[test]
fn a_django_safe_string_is_text_and_a_model_is_named() {
    // The names are made here, so that no Django is needed: a pickle holds nothing else of them.
    let script = r"
import types
def module(name, **members):
    made = types.ModuleType(name); made.__dict__.update(members); sys.modules[name] = made
    for member in members.values():
        member.__module__ = name; member.__qualname__ = member.__name__
class SafeString(str): __slots__ = ()
def model_unpickle(model): return Model()
class Model:
    def __reduce__(self): return model_unpickle, (('shop', 'Book'),), {'id': 7}
for parent in ('django', 'django.utils', 'django.db', 'django.db.models'): module(parent)
module('django.utils.safestring', SafeString=SafeString)
module('django.db.models.base', model_unpickle=model_unpickle)
each(lambda line: ' '.join(pickle.dumps(eval(line), protocol).hex() for protocol in range(2, 6)))";
    let answers = python(script, &["SafeString('<b>bold</b>')".to_owned(), "Model()".to_owned()]);
    for dump in answers[0].split(' ') {
        assert_eq!(pickle::from_slice::<String>(&from_hex(dump)).expect("text"), "<b>bold</b>");
    }
    for dump in answers[1].split(' ') {
        let dump = from_hex(dump);
        assert_eq!(pickle::read(&dump).expect("a model").to_string(), "<shop.Book {'id': 7}>");
        let error = pickle::from_slice::<Value>(&dump).expect_err("a model has no Rust form");
        assert_eq!(pickle::python_class(&error), Some("shop.Book"));
    }
}

#[test]
fn dicts_of_the_standard_library_are_read_as_dicts() {
    let expressions = [
        "collections.OrderedDict(a=1, b=2)",
        "collections.defaultdict(int, a=1, b=2)",
        "collections.Counter(a=1, b=2)",
    ];
    for (_, dumps) in pickles(&expressions) {
        for dump in dumps {
            let read: BTreeMap<String, u8> = pickle::from_slice(&dump).expect("a dict");
            assert_eq!(read, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        }
    }
}
