//! Much at once: many keys, large values, many threads.

use crate::servers;
use crate::servers::client::{Client, LONG, memcached_at, plain};
use pinyon::settings::MemcachedSettings;
use std::thread;
use std::time::Duration;

#[test]
fn twenty_thousand_values_in_one_call() {
    let memory = |builder: servers::Builder| builder.argument("-m").argument("256").start();
    let one = vec![memory(servers::memcached())];
    let three: Vec<_> = (0..3).map(|_| memory(servers::memcached())).collect();
    let unix = vec![memory(servers::memcached().unix_socket())];
    let keys: Vec<String> = (0..20_000).map(|number| format!("key-{number}")).collect();
    let values: Vec<Vec<u8>> = keys.iter().map(|key| key.bytes().cycle().take(1024).collect()).collect();
    let items: Vec<_> = keys.iter().zip(&values).map(|(key, value)| (key.as_str(), plain(value))).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    for servers in [one, three, unix] {
        let settings = memcached_at(servers.iter().map(servers::Server::address));
        let client = Client::memcached(&MemcachedSettings { timeout: Duration::from_secs(60), ..settings });
        assert!(client.store.set_many(&items, LONG).unwrap().is_empty());
        let found = client.get_many(&names).unwrap();
        assert!(found.iter().zip(&values).all(|(found, value)| found.as_ref() == Some(value)));
        client.store.delete_many(&names).unwrap();
        assert!(client.get_many(&names).unwrap().iter().all(Option::is_none));
        assert_eq!(client.open_connections(), servers.len());
    }
}

#[test]
fn item_size_max_is_what_the_server_says() {
    let memcached = servers::memcached().item_size("2m").start();
    let client = Client::memcached(&memcached_at([memcached.address()]));
    let (fits, too_large) = (vec![b'f'; 3 * 512 * 1024], vec![b't'; 2 * 1024 * 1024]);
    assert!(client.set("key", &fits).unwrap());
    assert!(client.get("key").unwrap().is_some_and(|found| found == fits));
    assert!(!client.set("key", &too_large).unwrap());
    assert_eq!(client.get("key").unwrap(), None, "the old value must not stay");
    assert!(!client.store.add("key", plain(&too_large), LONG).unwrap());
    client.set("b", b"old").unwrap();
    let items = [("a", plain(b"1")), ("b", plain(&too_large)), ("c", plain(&fits))];
    assert_eq!(client.store.set_many(&items, LONG).unwrap(), [1]);
    assert_eq!(client.get_many(&["a", "b", "c"]).unwrap(), [Some(b"1".to_vec()), None, Some(fits)]);
    assert_eq!(client.open_connections(), 1);
}

#[test]
fn a_refused_value_is_removed_with_one_connection_only() {
    let memcached = servers::memcached().start();
    let settings = MemcachedSettings { max_connections: Some(1), ..memcached_at([memcached.address()]) };
    let client = Client::memcached(&settings);
    client.set("key", b"old").unwrap();
    let too_large = vec![0; 2_000_000];
    let items = [("key", plain(&too_large)), ("other", plain(b"1"))];
    assert_eq!(client.store.set_many(&items, LONG).unwrap(), [0]);
    assert_eq!(client.get_many(&["key", "other"]).unwrap(), [None, Some(b"1".to_vec())]);
}

#[test]
fn sixteen_threads_on_one_store_get_their_own_answers() {
    let servers: Vec<_> = (0..3).map(|_| servers::memcached().start()).collect();
    let client = Client::memcached(&memcached_at(servers.iter().map(servers::Server::address)));
    client.set("counter", b"0").unwrap();
    thread::scope(|scope| {
        for number in 0..16 {
            let client = &client;
            scope.spawn(move || {
                for round in 0..50 {
                    let keys = [0, 1, 2].map(|part| format!("key-{number}-{part}"));
                    let value = format!("value {round} of {number}").into_bytes();
                    client.set(&keys[0], &value).unwrap();
                    client.store.set_many(&[(&keys[1], plain(&value)), (&keys[2], plain(&value))], LONG).unwrap();
                    let names = keys.each_ref().map(String::as_str);
                    assert!(client.get_many(&names).unwrap().iter().all(|found| found.as_ref() == Some(&value)));
                    client.store.incr("counter", 1).unwrap();
                }
            });
        }
    });
    assert_eq!(client.store.incr("counter", 0).unwrap(), Some(800.into()));
    assert!(client.open_connections() <= 16 * 3);
}
