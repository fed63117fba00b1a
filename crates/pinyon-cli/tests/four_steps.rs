//! The four steps in which a site adds its caches, with the settings files that the documentation shows.

mod program;
#[path = "../../pinyon/tests/servers/mod.rs"]
mod servers;

use program::{Outcome, command, run, settings};
use std::path::{Path, PathBuf};
use std::thread;

const FORMS: [&str; 2] = ["toml", "json"];

/// The settings of a step, with the ports of the test's servers in place of the usual ones.
fn step(folder: &Path, number: u8, form: &str, redis: u16, memcached: u16) -> PathBuf {
    let name = format!("step{number}.{form}");
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/settings").join(&name);
    let text = std::fs::read_to_string(shown).expect("the settings of the step");
    let text = text.replace(":6379", &format!(":{redis}")).replace(":11211", &format!(":{memcached}"));
    settings(folder, &name, &text)
}

fn pinyon(file: &Path, arguments: &[&str]) -> Outcome {
    run(command(["--settings", program::text(file)]).args(arguments))
}

#[test]
fn every_step_works_in_toml_and_in_json() {
    let (redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let folder = tempfile::tempdir().unwrap();
    for form in FORMS {
        let step = |number| step(folder.path(), number, form, redis.port(), memcached.port());

        let one = step(1);
        assert!(pinyon(&one, &["check"]).said().contains("All 1 answer."));
        assert_eq!(pinyon(&one, &["set", "greeting", "hello"]).stdout, "stored\n");

        let two = step(2);
        assert!(pinyon(&two, &["check"]).said().contains("All 2 answer."));
        assert_eq!(pinyon(&two, &["set", "greeting", "hello", "-a", "redis_cache"]).said(), "stored\n");
        assert_eq!(pinyon(&two, &["get", "greeting", "-a", "redis_cache"]).said(), "'hello'\n");

        let three = step(3);
        assert!(pinyon(&three, &["check"]).said().contains("All 3 answer."));
        let book = r#"{"title": "Emma", "pages": 474, "tags": ["novel", null]}"#;
        assert_eq!(pinyon(&three, &["set", "book", book, "--json", "-a", "memcached_cache"]).said(), "stored\n");
        assert_eq!(
            pinyon(&three, &["get", "book", "-a", "memcached_cache"]).said(),
            "{'title': 'Emma', 'pages': 474, 'tags': ['novel', None]}\n"
        );

        // Two processes on two aliases of one Redis, at the same time.
        let four = step(4);
        assert!(pinyon(&four, &["check"]).said().contains("All 3 answer."));
        assert_eq!(pinyon(&four, &["set", "visits", "0", "--int"]).said(), "stored\n");
        thread::scope(|scope| {
            for alias in ["default", "redis_cache"] {
                let four = &four;
                scope.spawn(move || {
                    for _ in 0..5 {
                        assert_eq!(pinyon(four, &["incr", "visits", "-a", alias]).status, 0);
                    }
                });
            }
        });
        for alias in ["default", "redis_cache"] {
            assert_eq!(pinyon(&four, &["get", "visits", "--alias", alias]).said(), "10\n");
        }
        assert_eq!(pinyon(&four, &["get", "greeting"]).said(), "'hello'\n", "written as redis_cache in step 2");
    }
}

#[test]
fn with_redis_stopped_the_message_says_which_server_which_alias_and_what_to_try() {
    let (mut redis, memcached) = (servers::redis().start(), servers::memcached().start());
    let folder = tempfile::tempdir().unwrap();
    let four = step(folder.path(), 4, "toml", redis.port(), memcached.port());
    assert_eq!(pinyon(&four, &["set", "k", "v"]).said(), "stored\n");
    redis.stop();
    let address = format!("127.0.0.1:{}", redis.port());
    for (command, alias) in [("get", "default"), ("ttl", "redis_cache"), ("delete", "default"), ("incr", "redis_cache")]
    {
        let complaint = pinyon(&four, &[command, "k", "-a", alias]).failed(1);
        assert!(
            complaint.starts_with(&format!(
                "error: cache '{alias}', {command} on redis://{address}/1: \
                 Redis at {address} is not running or not reachable: "
            )),
            "{complaint}"
        );
        assert!(complaint.contains("\nhint: Start redis-server there, or correct host and port"), "{complaint}");
    }
    let check = pinyon(&four, &["check"]);
    assert_eq!(check.status, 1);
    assert!(check.stdout.contains("1 of 3 answer."), "{}", check.stdout);
    redis.restart();
    assert!(pinyon(&four, &["check"]).said().contains("All 3 answer."));
    assert_eq!(pinyon(&four, &["set", "k", "v"]).said(), "stored\n");
}
