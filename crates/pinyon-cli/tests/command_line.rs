//! The program without any server: its command line, its settings, memory, and addresses where nobody listens.

mod program;

use program::{closed_port, command, pinyon, run, settings, text};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::path::Path;
use std::thread;

const MEMORY: &str = "memory://";

#[test]
fn help_and_version_say_what_the_program_is() {
    let help = pinyon(["--help"]).said();
    for word in [
        "check",
        "get",
        "set",
        "delete",
        "incr",
        "touch",
        "ttl",
        "clear",
        "create-table",
        "Examples:",
        "PINYON_SETTINGS",
    ] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert_eq!(pinyon(["--version"]).said(), format!("pinyon {}\n", env!("CARGO_PKG_VERSION")));
    for name in ["check", "get", "set", "delete", "incr", "touch", "ttl", "clear", "create-table"] {
        assert!(pinyon([name, "--help"]).said().contains("Example"), "{name}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_status_2() {
    for arguments in [["get", "--no-such-option"], ["frobnicate", "x"], ["set", "only-a-key"], ["incr", "--alias"]] {
        assert_eq!(pinyon(arguments).status, 2, "{arguments:?}");
    }
    assert!(pinyon(["set", "k", "v", "--timeout", "soon", "--url", MEMORY]).failed(2).contains("seconds or `never`"));
    assert_eq!(pinyon(["set", "k", "v", "--int", "--json", "--url", MEMORY]).status, 2);
}

#[test]
fn what_may_be_a_value_or_a_password_is_not_repeated() {
    let hint = pinyon(["set", "key", "s3cret", "s3cret2", "--url", MEMORY]).failed(2);
    assert!(hint.contains("quotes") && !hint.contains("s3cret"), "{hint}");
    let hint = pinyon(["redis://:s3cret@host"]).failed(2);
    assert!(hint.contains("--url") && !hint.contains("s3cret"), "{hint}");
    for option in ["--json", "--int"] {
        let complaint = pinyon(["set", "key", "s3cret", option, "--url", MEMORY]).failed(2);
        assert!(complaint.contains("VALUE is no") && !complaint.contains("s3cret"), "{complaint}");
    }
    let port = closed_port();
    let complaint = pinyon(["get", "key", "--url", &format!("redis://user:s3cret@127.0.0.1:{port}/0")]).failed(1);
    assert!(!complaint.contains("s3cret") && !complaint.contains("user"), "{complaint}");
    let complaint = pinyon(["get", "key", "--url", "redis://:s3cret@host:port"]).failed(2);
    assert!(!complaint.contains("s3cret"), "{complaint}");
}

#[test]
fn without_settings_the_message_says_how_to_give_them() {
    let complaint = pinyon(["check"]).failed(2);
    assert!(complaint.starts_with("error: there are no settings\nhint: "), "{complaint}");
    assert!(complaint.contains("--settings caches.toml") && complaint.contains("--url redis://"), "{complaint}");
    let both = pinyon(["--settings", "caches.toml", "check", "--url", MEMORY]).failed(2);
    assert!(both.contains("both given"), "{both}");
}

#[test]
fn the_environment_stands_for_what_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), "caches.toml", "[default]\nBACKEND = 'memory'");
    assert!(run(command(["check"]).env("CACHE_URL", "memory://by-url")).said().contains("by-url"));
    assert!(run(command(["check"]).env("PINYON_SETTINGS", &file)).said().contains("default"));
    // The command line wins.
    let given = run(command(["check", "--url", "memory://given"]).env("PINYON_SETTINGS", "/no/such.toml")).said();
    assert!(given.contains("given"));
    let both = run(command(["check"]).env("CACHE_URL", MEMORY).env("PINYON_SETTINGS", &file)).failed(2);
    assert!(both.contains("PINYON_SETTINGS and CACHE_URL are both set"), "{both}");
}

#[test]
fn wrong_settings_are_named_with_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let toml = settings(folder.path(), "caches.toml", "[default]\nBACKEND = 'memory'\nTIMEOT = 5");
    let complaint = pinyon(["check", "--settings", text(&toml)]).failed(2);
    let place = format!("{}:3:1", toml.display());
    assert_eq!(
        complaint,
        format!(
            "error: cache 'default': TIMEOT is not a key of a cache\n --> {place}\n  |\n3 | TIMEOT = 5\n  | ^^^^^^\n  |\n  \
             = hint: Did you mean 'TIMEOUT'?\n"
        )
    );

    let json =
        settings(folder.path(), "caches.json", "{\"default\": {\n  \"BACKEND\": \"memoryy\",\n  \"VERSION\": []}}");
    let complaint = pinyon(["get", "key", "--settings", text(&json)]).failed(2);
    assert!(complaint.contains("caches.json:2:14") && complaint.contains("^^^^^^^^^"), "{complaint}");
    let json = settings(folder.path(), "half.json", "{\"default\": {");
    assert!(pinyon(["check", "--settings", text(&json)]).failed(2).contains("the settings are not JSON"));

    let missing = pinyon(["check", "--settings", "/no/such/caches.toml"]).failed(2);
    assert_eq!(missing.matches("/no/such/caches.toml").count(), 1, "{missing}");
    let unknown = pinyon(["get", "key", "--url", MEMORY, "--alias", "defautl"]).failed(2);
    assert!(unknown.contains("'defautl'") && unknown.contains("hint: The settings have 'default'"), "{unknown}");
}

#[test]
fn a_password_in_the_settings_is_not_shown_with_the_line_of_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.toml", "[default]\nBACKEND = 'redis'\nLOCATION = 'redis://:hunter2@host:bad'"),
        ("b.toml", "[default]\nBACKEND = 'redis'\nOPTIONS = { password = ['hunter2'], db = 'hunter2' }"),
        ("c.toml", "[default]\nPASSWORD = 'hunter2"),
        ("d.json", "{\"default\": {\"BACKEND\": \"redis\", \"LOCATION\": \"redis://:hunter2@host/x\", \"TIMEOT\": 1}}"),
        (
            "e.py",
            "CACHES = {'default': {'BACKEND': 'redis', 'LOCATION': 'redis://:hunter2@h', 'TIMEOT': 1}}  # hunter2",
        ),
        ("f.py", "PASSWORD = 'hunter2\nCACHES = {}"),
    ] {
        let file = settings(folder.path(), name, text);
        let complaint = pinyon(["check", "--settings", self::text(&file)]).failed(2);
        assert!(complaint.contains(&format!("{name}:")) && complaint.contains('^'), "{complaint}");
        let shown = complaint.replace("'db' is the string 'hunter2'", "");
        assert!(!shown.contains("hunter2"), "{complaint}");
    }
}

/// A sample of the library's tests.
fn sample(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pinyon/tests/settings_py").join(name)
}

#[test]
fn every_command_reads_the_settings_of_a_site() {
    let site = sample("site/production.py");
    let table = pinyon(["check", "--settings", text(&sample("dynamic.py"))]).said();
    assert!(table.contains("whole") && table.contains("warning: cache 'half': it is left out"), "{table}");
    // No server is needed for this: the alias without a KEY_FUNCTION in Python is in memory.
    let outcome = pinyon(["set", "key", "value", "--alias", "whole", "--settings", text(&sample("dynamic.py"))]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "stored\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("note: cache 'default': it is left out"), "{outcome:?}");
    let complaint = pinyon(["get", "key", "--alias", "named", "--settings", text(&site)]).failed(2);
    assert!(complaint.contains("KEY_FUNCTION 'names.make_key' is Python code"), "{complaint}");
    let complaint = pinyon(["get", "key", "--alias", "half", "--settings", text(&sample("dynamic.py"))]).failed(2);
    assert!(complaint.contains("dynamic.py:11:46") && complaint.contains("TIMEOUT is not known"), "{complaint}");
    let outcome = run(command(["check", "--json"]).env("PINYON_SETTINGS", sample("dynamic.py")));
    assert_eq!(outcome.json()["warnings"].as_array().unwrap().len(), 4);
}

#[test]
fn a_mistake_in_the_settings_of_a_site_is_underlined() {
    let complaint = pinyon(["check", "--settings", text(&sample("wrong.py"))]).failed(2);
    assert!(complaint.contains("wrong.py:6:20\n") && complaint.contains("wrong.py:10:77\n"), "{complaint}");
    assert!(complaint.contains("\"TIMEOT\": 60,\n") && complaint.contains("   ^^^^^^^^\n"), "{complaint}");
    assert!(!complaint.contains("s3cret"), "{complaint}");
    let complaint = pinyon(["check", "--settings", text(&sample("site/mistaken.py"))]).failed(2);
    assert!(complaint.contains("mistaken_base.py:5:21\n"), "{complaint}");
}

#[test]
fn wrong_settings_are_json_too_where_json_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), "caches.toml", "[default]\nBACKEND = 'memory'\nTIMEOT = 5");
    let outcome = pinyon(["check", "--json", "--settings", text(&file)]);
    let said = outcome.json();
    assert_eq!((outcome.status, &said["ok"], &said["error"]["kind"]), (2, &false.into(), &"Config".into()));
    assert!(said["error"]["message"].as_str().unwrap().contains("caches.toml, line 3, column 1"));
    assert_eq!(said["error"]["hint"], "Did you mean 'TIMEOUT'?");
}

#[test]
fn memory_works_and_the_program_says_that_it_is_its_own() {
    let outcome = pinyon(["set", "greeting", "hello", "--url", MEMORY]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "stored\n"));
    assert!(outcome.stderr.starts_with("note: 'default' is a memory cache: every process has its own"), "{outcome:?}");
    assert_eq!(pinyon(["delete", "a", "b", "--url", MEMORY]).stdout, "deleted 0 of 2\n");
    assert_eq!(pinyon(["clear", "--yes", "--url", MEMORY]).stdout, "cleared\n");
}

#[test]
fn a_key_that_is_not_there_is_exit_status_1_and_names_the_whole_key() {
    for arguments in [["get", "key"], ["incr", "key"], ["touch", "key"], ["ttl", "key"]] {
        let url = "memory://?KEY_PREFIX=shop&VERSION=2";
        let complaint = run(command(arguments).args(["--url", url])).failed(1);
        let expected = "error: cache 'default' has no key 'key' (looked for 'shop:2:key')\nhint: ";
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        let complaint = run(command(arguments).args(["--url", url, "--key-version", "v3"])).failed(1);
        assert!(complaint.contains("(looked for 'shop:v3:key')"), "{arguments:?}: {complaint}");
    }
}

#[test]
fn clear_does_nothing_without_yes_where_it_cannot_ask() {
    let complaint = pinyon(["clear", "--url", MEMORY]).failed(2);
    assert!(complaint.contains("no terminal to ask on\nhint: Give --yes"), "{complaint}");
}

#[test]
fn check_asks_everybody_and_tells_why_some_did_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, memcached) = (closed_port(), closed_port());
    let file = settings(
        folder.path(),
        "caches.toml",
        &format!(
            "[default]\nBACKEND = 'memory'\nTIMEOUT = 1.5\n\
             [redis_cache]\nBACKEND = 'redis'\nLOCATION = 'redis://:s3cret@127.0.0.1:{redis}/1'\n\
             [memcached_cache]\nBACKEND = 'memcached'\nLOCATION = ['127.0.0.1:{memcached}', '127.0.0.1:{redis}']\n"
        ),
    );
    let outcome = pinyon(["check", "--settings", text(&file)]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""), "{outcome:?}");
    for expected in [
        "Alias ",
        "Round trip",
        &format!("127.0.0.1:{redis}/1"),
        &format!(
            "redis_cache on redis://127.0.0.1:{redis}/1\n  Redis at 127.0.0.1:{redis} is not running or not reachable"
        ),
        &format!("Memcached at 127.0.0.1:{memcached} is not running or not reachable"),
        "hint: Start redis-server there",
        "hint: Start memcached there",
        "warning: cache 'default': TIMEOUT is cut",
        "circuit breaker of 'redis_cache': closed, 0 failed in a row; opens after 3",
        "1 of 4 answer.",
    ] {
        assert!(outcome.stdout.contains(expected), "{expected} is missing in\n{}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("s3cret") && !outcome.stdout.contains('\u{1b}'), "{}", outcome.stdout);
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 100), "{}", outcome.stdout);

    let outcome = pinyon(["check", "--json", "--settings", text(&file)]);
    let said = outcome.json();
    assert_eq!((outcome.status, &said["ok"]), (1, &false.into()));
    let caches = said["caches"].as_array().unwrap();
    let aliases: Vec<_> = caches.iter().map(|cache| cache["alias"].as_str().unwrap()).collect();
    assert_eq!(aliases, ["default", "redis_cache", "memcached_cache"]);
    assert_eq!((&caches[0]["servers"][0]["ok"], &caches[0]["servers"][0]["entries"]), (&true.into(), &0.into()));
    assert_eq!(caches[2]["servers"].as_array().unwrap().len(), 2);
    let error = &caches[1]["servers"][0]["error"];
    assert_eq!(error["kind"], "Unreachable");
    assert!(error["message"].as_str().unwrap().contains(&format!("127.0.0.1:{redis}")));
    assert!(error["hint"].as_str().unwrap().contains("redis-server"));
    let breaker = &caches[1]["breaker"];
    assert_eq!((&breaker["state"], &breaker["failures"]), (&"closed".into(), &0.into()));
    assert_eq!((&breaker["opens_after"], &breaker["longest_pause_s"]), (&3.into(), &30.0.into()));
    assert!(caches[0]["breaker"].is_null() && caches[2]["breaker"].is_null());
    assert_eq!(said["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn check_does_not_mind_python_code_and_the_other_commands_say_that_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), "caches.toml", "[default]\nBACKEND = 'memory'\nKEY_FUNCTION = 'shop.keys.make'");
    let table = pinyon(["check", "--settings", text(&file)]).said();
    assert!(table.contains("warning: cache 'default': KEY_FUNCTION 'shop.keys.make' is Python code"), "{table}");
    let complaint = pinyon(["get", "key", "--settings", text(&file)]).failed(2);
    assert!(complaint.contains("KEY_FUNCTION 'shop.keys.make' is Python code"), "{complaint}");
    assert!(complaint.contains("hint: Of all commands only check works"), "{complaint}");
    let url = format!("redis://127.0.0.1:{}?CLIENT_CLASS=django_redis.client.HerdClient", closed_port());
    let table = pinyon(["check", "--url", &url]).stdout;
    assert!(table.contains("CLIENT_CLASS 'HerdClient' is Python code") && table.contains("0 of 1 answer."), "{table}");
    let complaint = pinyon(["get", "key", "--url", &url]).failed(2);
    assert!(complaint.contains("CLIENT_CLASS HerdClient is Python code"), "{complaint}");
}

#[test]
fn check_asks_all_servers_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let listeners = [0, 1, 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [a, b, c] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    // Nobody gets an answer before everybody has asked: one after the other would end in time-outs.
    let file = settings(
        folder.path(),
        "caches.toml",
        &format!(
            "[default]\nBACKEND = 'redis'\nLOCATION = 'redis://127.0.0.1:{a}'\nOPTIONS = {{ socket_timeout = 30 }}\n\
             [pages]\nBACKEND = 'memcached'\nLOCATION = ['127.0.0.1:{b}', '127.0.0.1:{c}']\nOPTIONS = {{ timeout = 30 }}\n"
        ),
    );
    let asking = thread::spawn(move || pinyon(["check", "--json", "--settings", text(&file)]));
    let connections = listeners.each_ref().map(|listener| listener.accept().unwrap().0);
    for mut connection in connections {
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        // Its question is read to its end, or the answer would be lost with a reset connection.
        let _ = connection.read_to_end(&mut Vec::new());
    }
    let said = asking.join().unwrap().json();
    for (cache, server) in [(0, 0), (1, 0), (1, 1)] {
        let error = &said["caches"][cache]["servers"][server]["error"];
        assert_eq!(error["kind"], "Protocol", "{said}");
    }
}

#[test]
fn settings_without_a_cache_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = settings(folder.path(), "caches.json", "{}");
    assert!(pinyon(["check", "--settings", text(&file)]).said().contains("The settings name no cache."));
}

#[test]
fn the_settings_of_the_four_steps_are_valid_in_both_forms() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/settings");
    for step in 1..=4 {
        let [toml, json] = ["toml", "json"].map(|form| {
            let file = folder.join(format!("step{step}.{form}"));
            pinyon::Settings::from_path(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        });
        assert_eq!(toml, json, "step {step}");
        assert!(toml.warnings().is_empty());
    }
}
