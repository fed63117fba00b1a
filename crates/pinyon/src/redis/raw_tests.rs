//! What [`Commands`] know of themselves.

use super::raw::Commands;

#[test]
fn the_keys_of_a_command_are_found() {
    for (command, keys) in [
        ("GET a", "a"),
        ("unlink a b c", "a b c"),
        ("MSET a 1 b 2", "a b"),
        ("SMOVE a b member", "a b"),
        ("SINTERSTORE a b c", "a b c"),
        ("ZUNIONSTORE a 2 b c WEIGHTS 1 2", "a b c"),
        ("ZINTER 2 a b WITHSCORES", "a b"),
        ("EVALSHA f00 2 a b argument", "a b"),
        ("EVAL text 0 argument", ""),
        ("EVAL text 9 a", "a"),
        ("EVAL text", ""),
        ("BLPOP a b 0", "a b"),
        ("BLMPOP 0 2 a b LEFT", "a b"),
        ("BITOP AND a b c", "a b c"),
        ("OBJECT FREQ a", "a"),
        ("XREAD COUNT 2 STREAMS a b 0 0", "a b"),
        ("SCAN 0 MATCH a", ""),
        ("DBSIZE", ""),
        ("HSET a field 1", "a"),
    ] {
        let mut commands = Commands::new("test");
        commands.push(&["PING"]).unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        commands.push(&words).unwrap();
        let found: Vec<&str> = commands.keys().map(|(_, key)| std::str::from_utf8(key).unwrap()).collect();
        assert_eq!(found.join(" "), keys, "{command}");
        assert_eq!((commands.key_of(0), commands.key_of(1)), (None, found.first().map(|key| key.as_bytes())));
        assert_eq!(commands.command(0), b"*1\r\n$4\r\nPING\r\n");
        assert!(commands.command(1).starts_with(format!("*{}\r\n", words.len()).as_bytes()));
    }
}
