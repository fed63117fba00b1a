//! Servers that share the keys by a ring, as django-redis's `ShardClient` has them: commands as callers word them.

use crate::servers;
use pinyon::ErrorKind;
use pinyon::redis::{Commands, RedisStore, Reply};
use pinyon::settings::{RedisPlacement, RedisServer, RedisSettings, RingNames};

#[test]
fn commands_go_to_the_server_of_their_key_and_come_back_in_order() {
    let servers = [servers::redis().start(), servers::redis().start()];
    let names = servers.each_ref().map(|server| format!("redis://127.0.0.1:{}/0", server.port()));
    let store = RedisStore::new(&RedisSettings {
        servers: servers.iter().map(|server| RedisServer::new(server.address())).collect(),
        placement: RedisPlacement::Ring(RingNames::new(names.to_vec())),
        ..RedisSettings::default()
    });
    let mut commands = Commands::new("test");
    for number in 0..40 {
        commands.push(&["SET", &format!(":1:{number}"), &number.to_string()]).unwrap();
        commands.push(&["INCR", &format!(":1:{number}")]).unwrap();
    }
    let results = store.command(&commands).unwrap();
    for (number, pair) in results.replies().collect::<Vec<_>>().chunks(2).enumerate() {
        assert_eq!(pair, [Reply::Status(b"OK"), Reply::Integer(i64::try_from(number).unwrap() + 1)]);
    }
    assert_eq!(store.count_groups().unwrap(), 2);
    let sizes = [0, 1].map(|group| {
        let mut size = Commands::new("test").on_group(group);
        size.push(&["DBSIZE"]).unwrap();
        let results = store.command(&size).unwrap();
        let Some(Reply::Integer(count)) = results.replies().next() else { panic!("no number") };
        assert_eq!(servers[group].ask("DBSIZE").unwrap(), format!(":{count}\r\n"));
        count
    });
    assert!(sizes.iter().sum::<i64>() == 40 && sizes.iter().all(|size| *size > 5), "{sizes:?}");
    // Nobody would notice a member that is moved to a set of another server.
    let mut apart = Commands::new("test").transaction(true);
    for number in 0..40 {
        apart.push(&["DEL", &format!(":1:{number}")]).unwrap();
    }
    assert_eq!(store.command(&apart).unwrap_err().kind(), ErrorKind::Unsupported);
}
