//! The commands on real servers.

mod program;
#[path = "../../pinyon/tests/servers/mod.rs"]
mod servers;

use pinyon::{Caches, Expiry, Item};
use program::{command, pinyon, run, settings, text};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// A Redis and a Memcached, each with its URL.
fn both() -> [(servers::Server, String); 2] {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let urls = [format!("redis://127.0.0.1:{}/1", redis.port()), format!("memcached://127.0.0.1:{}", memcached.port())];
    let [redis_url, memcached_url] = urls;
    [(redis, redis_url), (memcached, memcached_url)]
}

#[test]
fn every_command_works_on_redis_and_on_memcached() {
    for (_server, url) in &both() {
        let say = |arguments: &[&str]| run(command(["--url", url]).args(arguments));
        assert_eq!(say(&["set", "text", "5"]).said(), "stored\n");
        assert_eq!(say(&["get", "text"]).said(), "'5'\n", "text stays text");
        assert_eq!(say(&["set", "n", "40", "--int", "--timeout", "never"]).said(), "stored\n");
        assert_eq!(say(&["incr", "n"]).said(), "41\n");
        assert_eq!(say(&["incr", "n", "9"]).said(), "50\n");
        assert_eq!(say(&["incr", "n", "-8"]).said(), "42\n");
        assert_eq!(say(&["get", "n"]).said(), "42\n");
        assert_eq!(say(&["ttl", "n"]).said(), "never\n");
        assert_eq!(say(&["touch", "n", "--timeout", "1000"]).said(), "touched\n");
        let left: u32 = say(&["ttl", "n"]).said().trim().parse().unwrap();
        assert!((900..=1000).contains(&left), "{left}");
        let json = r#"{"a": [1, 2.5, null, true, "x"], "b": {}}"#;
        assert_eq!(say(&["set", "d", json, "--json"]).said(), "stored\n");
        assert_eq!(say(&["get", "d"]).said(), "{'a': [1, 2.5, None, True, 'x'], 'b': {}}\n");
        assert_eq!(say(&["set", "d", "two", "--key-version", "2"]).said(), "stored\n");
        assert_eq!(say(&["get", "d", "--key-version", "2"]).said(), "'two'\n");
        assert_eq!(say(&["delete", "text", "n", "none"]).said(), "deleted 2 of 3\n");
        assert!(say(&["get", "n"]).failed(1).contains("has no key 'n' (looked for ':1:n')"));
        assert!(say(&["touch", "n"]).failed(1).contains("has no key"));
        assert!(say(&["incr", "n"]).failed(1).contains("has no key"));
        assert_eq!(say(&["set", "gone", "x", "--timeout", "0"]).status, 0);
        assert_eq!(say(&["get", "gone"]).status, 1);
        assert!(say(&["incr", "d"]).failed(1).contains("cache 'default', incr"));
        assert_eq!(say(&["clear"]).status, 2);
        assert_eq!(say(&["get", "d"]).status, 0, "a refused clear removes nothing");
        assert_eq!(say(&["clear", "--yes"]).said(), "cleared\n");
        assert_eq!(say(&["get", "d"]).status, 1);
        assert!(say(&["check"]).said().contains("All 1 answer."));
    }
}

#[test]
fn check_tells_version_memory_and_entries() {
    let [(_redis, redis), (_memcached, memcached)] = both();
    assert_eq!(pinyon(["set", "k", "v", "--url", &redis]).status, 0);
    let said = pinyon(["check", "--json", "--url", &redis]).json();
    let server = &said["caches"][0]["servers"][0];
    assert_eq!((&said["ok"], &server["server"], &server["entries"]), (&true.into(), &redis.into(), &1.into()));
    assert!(server["version"].as_str().unwrap().contains(|c: char| c.is_ascii_digit()), "{server}");
    assert!(server["memory_used"].as_u64().unwrap() > 0 && server["round_trip_ms"].as_f64().unwrap() > 0.0);
    assert!(server["memory_limit"].is_null() && server["error"].is_null());
    let server = &pinyon(["check", "--json", "--url", &memcached]).json()["caches"][0]["servers"][0];
    assert_eq!(server["memory_limit"], 64 << 20);
}

#[test]
fn a_value_is_shown_whoever_wrote_it_and_never_executed() {
    let [(_redis, redis), (_memcached, memcached)] = both();
    // pickle.dumps of datetime.date(2026, 7, 4) and of an object whose __reduce__ calls os.system('x').
    let date = b"\x80\x05\x95 \0\0\0\0\0\0\0\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94C\x04\x07\xea\x07\x04\x94\x85\x94R\x94.";
    let system =
        b"\x80\x05\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94.";
    for (url, flags) in [(&redis, 0), (&memcached, 1)] {
        let caches = Caches::from_url(url).unwrap();
        let store = caches.get("default").unwrap().store();
        for (key, bytes) in [("date", &date[..]), ("system", &system[..]), ("cut", &system[..20])] {
            store.set(&format!(":1:{key}"), Item { bytes, flags }, Expiry::Never).unwrap();
        }
        assert_eq!(pinyon(["get", "date", "--url", url]).said(), "datetime.date(2026, 7, 4)\n");
        assert_eq!(pinyon(["get", "system", "--url", url]).said(), "posix.system('x')\n");
        let cut = pinyon(["get", "cut", "--url", url]).said();
        assert!(cut.contains("unreadable pickle, 20 bytes"), "{cut}");
    }
}

#[test]
fn json_keeps_its_form_with_every_serializer() {
    let redis = servers::redis().start();
    for (serializer, expected) in [
        ("pickle", "{'a': 1, 'b': 2.5, 'c': [10000000000]}\n"),
        ("json", "{\"a\":1,\"b\":2.5,\"c\":[10000000000]}\n"),
        ("msgpack", "{'a': 1, 'b': 2.5, 'c': [10000000000]}\n"),
    ] {
        let url = format!("redis://127.0.0.1:{}/2?SERIALIZER={serializer}", redis.port());
        let json = r#"{"a": 1, "b": 2.5, "c": [10000000000]}"#;
        assert_eq!(pinyon(["set", "k", json, "--json", "--url", &url]).said(), "stored\n");
        assert_eq!(pinyon(["get", "k", "--url", &url]).said(), expected, "{serializer}");
    }
}

#[test]
fn compressed_values_are_written_and_shown() {
    let redis = servers::redis().start();
    let url = format!("redis://127.0.0.1:{}/2?COMPRESSOR=zstd", redis.port());
    let long = "text ".repeat(100);
    assert_eq!(pinyon(["set", "k", &long, "--url", &url]).said(), "stored\n");
    assert_eq!(pinyon(["get", "k", "--url", &url]).said(), format!("'{long}'\n"));
    let plain = url.replace("?COMPRESSOR=zstd", "");
    assert!(pinyon(["get", "k", "--url", &plain]).said().starts_with("<zstd, "));
}

#[test]
fn check_does_not_mind_formats_in_python() {
    let redis = servers::redis().start();
    let folder = tempfile::tempdir().unwrap();
    let options = "OPTIONS = { SERIALIZER = 'shop.Own', COMPRESSOR = ['zlib', 'shop.Brotli'] }";
    let location = format!("LOCATION = 'redis://127.0.0.1:{}'", redis.port());
    let toml = format!("[default]\nBACKEND = 'redis'\n{location}\n{options}");
    let file = settings(folder.path(), "caches.toml", &toml);
    let table = pinyon(["check", "--settings", text(&file)]).said();
    for warning in ["SERIALIZER 'shop.Own' is Python code", "COMPRESSOR 'shop.Brotli' is Python code"] {
        assert!(table.contains(&format!("warning: cache 'default': {warning}")), "{table}");
    }
}

#[test]
fn a_value_that_is_too_large_and_a_key_that_memcached_cannot_take_are_clear_failures() {
    let memcached = servers::memcached().item_size("1k").argument("-o").argument("slab_chunk_max=512").start();
    let url = format!("memcached://127.0.0.1:{}", memcached.port());
    let value = "v".repeat(100_000);
    let complaint = pinyon(["set", "k", &value, "--url", &url]).failed(1);
    assert!(complaint.contains("refused the value") && complaint.contains("hint: It may be too large"), "{complaint}");
    assert!(!complaint.contains("vvv"), "{complaint}");
    let complaint = pinyon(["get", "two words", "--url", &url]).failed(1);
    assert!(complaint.contains("characters that will cause errors if used with memcached"), "{complaint}");
}

#[test]
fn a_wrong_password_and_the_wrong_kind_of_server_are_told_apart() {
    let redis = servers::redis().password("right").start();
    let port = redis.port();
    let complaint = pinyon(["get", "k", "--url", &format!("redis://:s3cret@127.0.0.1:{port}")]).failed(1);
    assert!(complaint.contains("hint: ") && !complaint.contains("s3cret"), "{complaint}");
    let said = pinyon(["check", "--json", "--url", &format!("redis://:s3cret@127.0.0.1:{port}")]).json();
    assert_eq!(said["caches"][0]["servers"][0]["error"]["kind"], "Auth");
    let memcached = servers::memcached().start();
    let said = pinyon(["check", "--json", "--url", &format!("redis://127.0.0.1:{}", memcached.port())]).json();
    assert_eq!(said["caches"][0]["servers"][0]["error"]["kind"], "Protocol");
}

/// Runs the program on a terminal, types `answer`, and returns its exit status and what the terminal showed.
fn on_terminal(command: &mut Command, answer: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&ours).expect("its other end");
    unlockpt(&ours).expect("its other end");
    let path = ptsname(&ours, Vec::new()).expect("its path");
    let theirs = File::options().read(true).write(true).open(path.to_str().expect("UTF-8")).expect("its other end");
    command.stdin(theirs.try_clone().expect("stdin")).stdout(Stdio::null()).stderr(theirs);
    let mut child = command.spawn().expect("pinyon");
    // The command holds copies of their end, which would keep the terminal open.
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut ours = File::from(ours);
    ours.write_all(answer.as_bytes()).expect("typing");
    let mut shown = Vec::new();
    // The end of a terminal is an error on Linux.
    let _ = ours.read_to_end(&mut shown);
    let status = child.wait().expect("its end").code().expect("an exit status");
    (status, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn clear_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let redis = servers::redis().start();
    let url = format!("redis://127.0.0.1:{}/1", redis.port());
    assert_eq!(pinyon(["set", "k", "v", "--url", &url]).status, 0);
    for no in ["n\n", "\n", "maybe\n"] {
        let (status, shown) = on_terminal(&mut command(["clear", "--url", &url]), no);
        assert_eq!(status, 1, "{shown}");
        assert!(shown.contains(&format!("the WHOLE store of the cache 'default' ({url})")), "{shown}");
        assert!(shown.contains("nothing was removed"), "{shown}");
        assert_eq!(pinyon(["get", "k", "--url", &url]).status, 0);
    }
    let (status, shown) = on_terminal(&mut command(["clear", "--url", &url]), "y\n");
    assert_eq!(status, 0, "{shown}");
    assert_eq!(pinyon(["get", "k", "--url", &url]).status, 1);
}

#[test]
fn colors_are_for_terminals_and_no_color_turns_them_off() {
    let complain = |no_color| {
        let mut command = command(["get", "k", "--url", "memory://"]);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        on_terminal(command.env("TERM", "xterm"), "").1
    };
    assert!(complain(false).contains('\u{1b}'));
    assert!(!complain(true).contains('\u{1b}'));
}
