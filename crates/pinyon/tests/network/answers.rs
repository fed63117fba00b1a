//! What comes back: in pieces, too late, wrong, from another kind of server, or not at all.

use crate::servers::client::{Client, LONG, both, loopback, memcached_at, plain, redis_at};
use crate::servers::fake::{Fake, Peer};
use pinyon::ErrorKind;
use pinyon::settings::{MemcachedSettings, RedisSettings};
use proptest::prelude::*;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);
/// Far more than anything here takes that ends by itself.
const PATIENT: Duration = Duration::from_secs(20);

#[test]
fn a_server_that_never_answers_is_a_timeout_for_every_operation() {
    let fake = Fake::silent();
    for client in both(&loopback(fake.port()), SHORT) {
        let store = client.store.clone();
        let error = store.incr("key", 1).unwrap_err();
        assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Timeout, false), "the request was never sent");
        assert_eq!(error.message(), format!("{} did not answer within 0.3 s", client.name));
        assert_eq!(error.operation(), Some("incr"));
        assert!(error.server().unwrap().contains(&format!("127.0.0.1:{}", fake.port())));
        assert_eq!(client.open_connections(), 0);
    }
    assert!(!fake.was_sent(b"key"), "an operation was sent to something that did not answer the greeting");
}

#[test]
fn a_request_that_may_have_been_applied_is_an_ambiguous_error_if_it_cannot_be_repeated() {
    let redis = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.wait_for_the_end();
    });
    let client = Client::redis(&RedisSettings { timeout: SHORT, ..redis_at(loopback(redis.port())) });
    let error = client.store.incr("key", 1).unwrap_err();
    assert!(error.is_timeout() && error.is_ambiguous() && !error.is_retryable(), "{error}");
    let error = client.set("key", b"value").unwrap_err();
    assert!(error.is_timeout() && !error.is_ambiguous() && error.is_retryable(), "{error}");

    let memcached = Fake::start(|peer| {
        peer.greet_as_memcached();
        peer.read_some();
        peer.send(b"what?\r\n");
    });
    let client = Client::memcached(&memcached_at([loopback(memcached.port())]));
    let error = client.store.incr("key", 1).unwrap_err();
    assert!(error.kind() == ErrorKind::Protocol && error.is_ambiguous(), "{error}");
    let error = client.set("key", b"value").unwrap_err();
    assert!(error.kind() == ErrorKind::Protocol && !error.is_ambiguous(), "{error}");
}

/// One byte every 20 ms: every read succeeds long before the timeout, the whole reply never does.
#[test]
fn a_reply_that_comes_byte_by_byte_ends_with_the_timeout_of_the_operation() {
    fn dribble(peer: &mut Peer, head: &[u8]) {
        peer.read_some();
        peer.send(head);
        while peer.send(b"x") {
            sleep(Duration::from_millis(20));
        }
    }
    let redis = Fake::start(|peer| {
        peer.greet_as_redis();
        dribble(peer, b"$1000000\r\n");
    });
    let memcached = Fake::start(|peer| {
        peer.greet_as_memcached();
        dribble(peer, b"VA 1000000 f0 O0\r\n");
    });
    for client in [both(&loopback(redis.port()), SHORT)[0].clone(), both(&loopback(memcached.port()), SHORT)[1].clone()]
    {
        let start = Instant::now();
        let error = client.get("key").unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(start.elapsed() < SHORT * 10, "a reply that never ends was waited for for {:?}", start.elapsed());
        assert_eq!(client.open_connections(), 0);
    }
}

/// The same while the connection is being opened, and with a request so large that it is sent and read at the same time.
#[test]
fn a_greeting_or_a_pipeline_that_comes_byte_by_byte_ends_with_the_timeout_too() {
    let greeting = Fake::start(|peer| {
        peer.read_some();
        peer.send(b"+");
        while peer.send(b"x") {
            sleep(Duration::from_millis(20));
        }
    });
    let pipeline = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_some();
        peer.send(b"+");
        while peer.send(b"x") {
            sleep(Duration::from_millis(20));
        }
    });
    for port in [greeting.port(), pipeline.port()] {
        let client = Client::redis(&RedisSettings { timeout: SHORT, ..redis_at(loopback(port)) });
        let start = Instant::now();
        let error = client.set("key", &vec![b'v'; 100_000]).unwrap_err();
        assert!(error.is_timeout() && start.elapsed() < SHORT * 10, "{error}, after {:?}", start.elapsed());
        assert_eq!(client.open_connections(), 0);
    }
}

/// A part of the reply just before the end must not start the clock anew.
#[test]
fn a_reply_that_stops_in_the_middle_ends_with_the_timeout_of_the_operation() {
    let timeout = Duration::from_secs(1);
    let fake = Fake::start(move |peer| {
        peer.greet_as_redis();
        peer.read_some();
        sleep(timeout.mul_f32(0.85));
        peer.send(b"$100\r\nhalf");
        peer.wait_for_the_end();
    });
    let client = Client::redis(&RedisSettings { timeout, ..redis_at(loopback(fake.port())) });
    let start = Instant::now();
    let error = client.get("key").unwrap_err();
    assert!(error.is_timeout() && start.elapsed() < timeout.mul_f32(1.7), "{error}, after {:?}", start.elapsed());
}

#[test]
fn a_late_reply_never_answers_the_next_question() {
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let fake = Fake::start(move |peer| {
        peer.greet_as_redis();
        if peer.number == 0 {
            peer.read_until(b"first\r\n");
            gate.lock().unwrap().recv().unwrap();
            peer.send(b"$11\r\nfirst value\r\n");
            peer.wait_for_the_end();
        }
        while peer.read_until(b"second\r\n") {
            peer.send(b"$12\r\nsecond value\r\n");
        }
    });
    let client = Client::redis(&RedisSettings { timeout: SHORT, ..redis_at(loopback(fake.port())) });
    assert!(client.get("first").unwrap_err().is_timeout());
    go_on.send(()).unwrap();
    assert_eq!(client.get("second").unwrap().as_deref(), Some(&b"second value"[..]));
    assert_eq!((fake.connections(), client.open_connections()), (2, 1));
}

#[test]
fn a_server_that_answers_more_than_it_was_asked_is_not_believed() {
    let fake = Fake::start(|peer| {
        peer.greet_as_redis();
        peer.read_some();
        peer.send(b"$5\r\nwrong\r\n$5\r\nright\r\n");
        peer.wait_for_the_end();
    });
    let client = Client::redis(&redis_at(loopback(fake.port())));
    let error = client.get("key").unwrap_err();
    assert_eq!((error.kind(), client.open_connections()), (ErrorKind::Protocol, 0), "{error}");
}

#[test]
fn a_memcached_value_that_answers_another_question_is_not_believed() {
    let fake = Fake::start(|peer| {
        peer.greet_as_memcached();
        peer.read_some();
        peer.send(b"VA 5 f0 O1\r\nwrong\r\nVA 5 f0 O0\r\nright\r\n");
        peer.wait_for_the_end();
    });
    let client = Client::memcached(&memcached_at([loopback(fake.port())]));
    let error = client.get_many(&["a", "b"]).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Protocol, Some("get_many")), "{error}");
    assert!(error.server().is_some(), "{error}");
}

#[test]
fn what_is_not_the_protocol_is_an_error_that_says_who_answered() {
    let http = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    for (answer, redis_says, memcached_says) in [
        (http, "an HTTP server answered", "an HTTP server answered"),
        ("ERROR\r\nERROR\r\n", "a Memcached server answered", ""),
        ("-ERR unknown command 'version', with args beginning with: \r\n", "", "a Redis server answered"),
        ("-NOAUTH Authentication required.\r\n", "", "a Redis server answered"),
        ("\x15\x03\x03\x00\x02\x02\x28", "a TLS server answered", ""),
        ("SSH-2.0-OpenSSH_9.2\r\n", "not in the Redis protocol", "not in the Memcached protocol"),
        ("220 mail.example.org ESMTP\r\n", "not in the Redis protocol", "not in the Memcached protocol"),
    ] {
        let fake = Fake::answering(answer);
        let [redis, memcached] = both(&loopback(fake.port()), PATIENT);
        for (client, says) in [(redis, redis_says), (memcached, memcached_says)] {
            if says.is_empty() {
                continue;
            }
            let error = client.set("key", b"a secret value").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert!(error.message().contains(says), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("LOCATION")), "{error}");
            assert!(!fake.was_sent(b"a secret value"));
            assert_eq!(client.open_connections(), 0);
        }
    }
}

#[test]
fn random_bytes_are_an_error_and_never_a_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60 {
        let mut answer = Vec::new();
        for _ in 0..200 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            answer.push(state.to_le_bytes()[round % 8]);
        }
        // Bytes that look like the beginning of a reply would be waited for.
        answer.insert(0, b"\x00\x80ABxyz?"[round % 8]);
        answer.extend_from_slice(b"\r\n");
        let fake = Fake::start(move |peer| {
            peer.read_some();
            peer.send(&answer);
        });
        for client in both(&loopback(fake.port()), PATIENT) {
            let error = client.get("key").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Disconnected), "{error}");
            assert_eq!(client.open_connections(), 0);
        }
    }
}

#[test]
fn an_old_memcached_is_refused_before_it_gets_a_value() {
    let fake = Fake::answering("VERSION 1.5.22\r\n");
    let client = Client::memcached(&memcached_at([loopback(fake.port())]));
    for _ in 0..2 {
        let error = client.set("key", b"flush_all").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("1.5.22") && error.message().contains("1.6"), "{error}");
    }
    assert!(!fake.was_sent(b"flush_all"));
    assert_eq!((client.open_connections(), fake.connections()), (0, 2));
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    proptest::collection::vec(any::<prop::sample::Index>(), 0..12)
}

/// Sends `bytes` in pieces that end at `cuts`.
fn send_in_pieces(peer: &mut Peer, bytes: &[u8], cuts: &[prop::sample::Index]) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        peer.send(&bytes[start..end]);
        start = end;
        // Long enough for the client to find this piece alone, mostly.
        sleep(Duration::from_micros(300));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies_may_come_in_any_pieces(cuts in cuts(), value in proptest::collection::vec(any::<u8>(), 0..40_000)) {
        let (redis_value, redis_cuts) = (value.clone(), cuts.clone());
        let redis = Fake::start(move |peer| {
            peer.read_until(concat!(env!("CARGO_PKG_VERSION"), "\r\n").as_bytes());
            send_in_pieces(peer, b"+PONG\r\n+OK\r\n-ERR unknown subcommand\r\n", &redis_cuts);
            peer.read_until(b"\r\nb\r\n");
            let length = redis_value.len();
            let head = format!("*2\r\n$-1\r\n${length}\r\n");
            send_in_pieces(peer, &[head.as_bytes(), &redis_value, b"\r\n"].concat(), &redis_cuts);
            peer.wait_for_the_end();
        });
        let expected = [None, Some(value.clone())];
        let client = Client::redis(&RedisSettings { timeout: PATIENT, ..redis_at(loopback(redis.port())) });
        prop_assert_eq!(&client.get_many(&["a", "b"]).unwrap()[..], &expected);
        prop_assert_eq!(client.open_connections(), 1);

        let memcached = Fake::start(move |peer| {
            peer.read_until(b"version\r\n");
            send_in_pieces(peer, b"VERSION 1.6.18\r\n", &cuts);
            peer.read_until(b"O1\r\n");
            let length = value.len();
            let head = format!("EN\r\nVA {length} f0 O1\r\n");
            send_in_pieces(peer, &[head.as_bytes(), &value, b"\r\n"].concat(), &cuts);
            peer.wait_for_the_end();
        });
        let settings = MemcachedSettings { timeout: PATIENT, ..memcached_at([loopback(memcached.port())]) };
        let client = Client::memcached(&settings);
        prop_assert_eq!(&client.get_many(&["a", "b"]).unwrap()[..], &expected);
        prop_assert_eq!(client.open_connections(), 1);
    }
}

#[test]
fn a_large_request_whose_replies_come_early_is_not_a_deadlock() {
    // Ten replies are sent for each bit of the request that is read, long before the request is complete.
    let fake = Fake::start(|peer| {
        peer.greet_as_memcached();
        let items = 2000;
        for _ in 0..items / 10 {
            peer.read_some();
            peer.send(&b"HD\r\n".repeat(10));
        }
        peer.wait_for_the_end();
    });
    let settings = MemcachedSettings { timeout: PATIENT, ..memcached_at([loopback(fake.port())]) };
    let client = Client::memcached(&settings);
    let (keys, value) = ((0..2000).map(|n| format!("key-{n}")).collect::<Vec<_>>(), vec![b'v'; 10_000]);
    let items: Vec<_> = keys.iter().map(|key| (key.as_str(), plain(&value))).collect();
    assert!(client.store.set_many(&items, LONG).unwrap().is_empty());
}
