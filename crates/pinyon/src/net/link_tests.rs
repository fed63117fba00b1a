//! A link against a peer on loopback that says what the test tells it to. Time is what the test says it is.

use super::*;
use crate::error::ErrorKind;
use crate::memcached::MetaProtocol;
use crate::net::{Answered, Endpoint};
use crate::settings::Address;
use rustix::event::{PollFd, Timespec, poll};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::task::{Context, Poll};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(1000);
const GREETING: &[u8] = b"version\r\n";

type MetaLink = Link<MetaProtocol>;

fn connecting() -> (MetaLink, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint {
        address: Address::Tcp { host: "127.0.0.1".into(), port: address.port() },
        tls: None,
        label: "the peer".into(),
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        max_connections: None,
    };
    let mut link = Link::new(Arc::new(Server::new(endpoint, MetaProtocol)));
    link.connect(Ok(vec![address]));
    let (peer, _) = listener.accept().unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    (link, peer)
}

fn open() -> (MetaLink, TcpStream) {
    let (mut link, mut peer) = connecting();
    greet(&mut link, &mut peer);
    (link, peer)
}

fn greet(link: &mut MetaLink, peer: &mut TcpStream) {
    until(link, |link| matches!(link.stage, Stage::Greeting(..)) && !link.wants_to_send());
    hear(peer, GREETING);
    peer.write_all(b"VERSION 1.6.18\r\n").unwrap();
    until(link, |link| matches!(link.stage, Stage::Open(_)));
}

/// Drives the link until `done`, as an event loop does.
fn until(link: &mut MetaLink, done: impl Fn(&MetaLink) -> bool) {
    while !done(link) {
        let (socket, interest) = link.watch().expect("something to wait for");
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, interest.read);
        events.set(PollFlags::OUT, interest.write);
        let mut watched = [PollFd::from_borrowed_fd(socket, events)];
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        assert_ne!(poll(&mut watched, Some(&patience)).unwrap(), 0, "nothing happens");
        let ready = watched[0].revents();
        if ready.contains(PollFlags::OUT) {
            link.send();
        }
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            drop(link.receive());
        }
    }
}

/// Reads exactly `expected` from the link.
fn hear(peer: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    peer.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(expected));
}

/// Makes a request, as a task does: it is sent later, with those that others make.
fn request(link: &mut MetaLink, key: &str) -> Arc<Slot<MetaProtocol>> {
    let encode = |out: &mut Vec<u8>| {
        out.extend_from_slice(format!("mg {key} v\r\n").as_bytes());
        1
    };
    let Made::Pending(slot, _) = link.request(encode, Waker::noop(), Instant::now(), Instant::now() + TIMEOUT) else {
        panic!("the link takes no request");
    };
    slot
}

fn ask(link: &mut MetaLink, key: &str) -> Arc<Slot<MetaProtocol>> {
    let slot = request(link, key);
    link.send();
    slot
}

/// What is in the slot: the bytes of the reply, or the kind of the error. None if it is empty.
fn outcome(slot: &Slot<MetaProtocol>) -> Option<Result<Vec<u8>, ErrorKind>> {
    match slot.poll(&Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(Ok(reply)) => Some(Ok(reply.replies().1.to_vec())),
        Poll::Ready(Err(failure)) => Some(Err(failure.error.kind())),
    }
}

fn value(text: &str) -> Vec<u8> {
    format!("VA {}\r\n{text}\r\n", text.len()).into_bytes()
}

#[test]
fn half_as_many_requests_as_were_in_flight_leave_before_the_others_are_made() {
    let (mut link, mut peer) = open();
    for (in_flight, batch) in [(1, 4), (10, 5), (20, 10), (500, 64)] {
        (0..in_flight).for_each(|_| drop(ask(&mut link, "a")));
        // All replies at once: what comes from a socket may come in pieces.
        let replies = "EN\r\n".repeat(in_flight);
        link.scratch[..replies.len()].copy_from_slice(replies.as_bytes());
        link.take(replies.len());
        assert!(link.pending.is_empty());
        (1..batch).for_each(|_| drop(request(&mut link, "b")));
        assert!(link.wants_to_send());
        drop(request(&mut link, "b"));
        assert!(!link.wants_to_send());
        hear(&mut peer, ("mg a v\r\n".repeat(in_flight) + &"mg b v\r\n".repeat(batch)).as_bytes());
        peer.write_all("EN\r\n".repeat(batch).as_bytes()).unwrap();
        until(&mut link, |link| link.pending.is_empty());
    }
}

#[test]
fn replies_in_pieces_go_to_the_requests_in_their_order() {
    let (mut link, mut peer) = open();
    let slots = ["a", "b", "c"].map(|key| ask(&mut link, key));
    let replies = [value("first"), b"EN\r\n".to_vec(), value("the third\r\nof three")];
    for byte in replies.concat() {
        assert!(outcome(&slots[2]).is_none());
        let before = (link.incoming.len(), link.pending.len());
        peer.write_all(&[byte]).unwrap();
        until(&mut link, |link| (link.incoming.len(), link.pending.len()) != before);
    }
    for (slot, reply) in slots.iter().zip(replies) {
        assert_eq!(outcome(slot), Some(Ok(reply)));
    }
    assert!(link.incoming.is_empty() && link.pending.is_empty() && link.is_usable());
}

#[test]
fn several_replies_in_one_read_are_told_apart_with_the_beginning_of_another() {
    let (mut link, mut peer) = open();
    let slots = ["a", "b", "c"].map(|key| ask(&mut link, key));
    let third = value("3");
    peer.write_all(&[value("1"), value("2"), third[..5].to_vec()].concat()).unwrap();
    until(&mut link, |link| link.pending.len() == 1);
    assert_eq!((outcome(&slots[0]), outcome(&slots[1])), (Some(Ok(value("1"))), Some(Ok(value("2")))));
    assert_eq!(outcome(&slots[2]), None);
    peer.write_all(&third[5..]).unwrap();
    until(&mut link, |link| link.pending.is_empty());
    assert_eq!(outcome(&slots[2]), Some(Ok(third)));
}

#[test]
fn a_request_while_connecting_is_sent_after_the_greeting_is_answered_and_not_before() {
    let (mut link, mut peer) = connecting();
    let slot = ask(&mut link, "early");
    until(&mut link, |link| matches!(link.stage, Stage::Greeting(..)) && !link.wants_to_send());
    hear(&mut peer, GREETING);
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    peer.set_nonblocking(false).unwrap();
    peer.write_all(b"VERSION 1.6.18\r\n").unwrap();
    until(&mut link, |link| matches!(link.stage, Stage::Open(_)) && !link.wants_to_send());
    hear(&mut peer, b"mg early v\r\n");
    peer.write_all(b"EN\r\n").unwrap();
    until(&mut link, |link| link.pending.is_empty());
    assert_eq!(outcome(&slot), Some(Ok(b"EN\r\n".to_vec())));
}

#[test]
fn another_server_gets_no_request_and_the_error_says_what_it_is() {
    let (mut link, mut peer) = connecting();
    let slot = ask(&mut link, "secret");
    until(&mut link, |link| matches!(link.stage, Stage::Greeting(..)) && !link.wants_to_send());
    hear(&mut peer, GREETING);
    peer.write_all(b"-ERR unknown command 'version'\r\n").unwrap();
    until(&mut link, Link::is_closed);
    assert_eq!(outcome(&slot), Some(Err(ErrorKind::Protocol)));
    drop(link);
    assert_eq!(peer.read(&mut [0; 64]).unwrap_or(0), 0);
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_link_after_those_that_somebody_did() {
    let (mut link, mut peer) = open();
    let slot = ask(&mut link, "a");
    peer.write_all(&[value("1"), value("2")].concat()).unwrap();
    until(&mut link, Link::is_closed);
    assert_eq!(outcome(&slot), Some(Ok(value("1"))));
}

#[test]
fn bytes_of_another_protocol_end_the_link_and_everything_that_is_pending() {
    let (mut link, mut peer) = open();
    let slots = ["a", "b", "c"].map(|key| ask(&mut link, key));
    peer.write_all(&[&value("1")[..], b"\0\xff rubbish\r\n"].concat()).unwrap();
    until(&mut link, Link::is_closed);
    assert_eq!(outcome(&slots[0]), Some(Ok(value("1"))));
    assert_eq!(
        (outcome(&slots[1]), outcome(&slots[2])),
        (Some(Err(ErrorKind::Protocol)), Some(Err(ErrorKind::Protocol)))
    );
}

#[test]
fn after_silence_a_link_takes_no_more_and_ends_with_the_last_of_its_own() {
    let (mut link, mut peer) = open();
    let (one, two) = (ask(&mut link, "a"), ask(&mut link, "b"));
    link.pending[1].deadline += TIMEOUT;
    link.expire(link.pending[0].deadline);
    assert_eq!((outcome(&one), outcome(&two)), (Some(Err(ErrorKind::Timeout)), None));
    assert!(!link.is_usable() && !link.is_closed());
    assert_eq!(link.deadline(), Some(link.pending[1].deadline));
    peer.write_all(&[value("late"), value("2")].concat()).unwrap();
    until(&mut link, Link::is_closed);
    assert_eq!(outcome(&two), Some(Ok(value("2"))));
}

#[test]
fn a_server_that_still_talks_is_only_slow_and_its_late_reply_is_dropped() {
    let (mut link, mut peer) = open();
    let (one, two) = (ask(&mut link, "a"), ask(&mut link, "b"));
    peer.write_all(&value("1")).unwrap();
    until(&mut link, |link| link.pending.len() == 1);
    link.expire(link.pending[0].deadline);
    assert_eq!((outcome(&one), outcome(&two)), (Some(Ok(value("1"))), Some(Err(ErrorKind::Timeout))));
    assert!(link.is_usable());
    let three = ask(&mut link, "c");
    peer.write_all(&value("late")).unwrap();
    until(&mut link, |link| link.pending.len() == 1);
    assert_eq!(outcome(&three), None);
    peer.write_all(&value("3")).unwrap();
    until(&mut link, |link| link.pending.is_empty());
    assert_eq!(outcome(&three), Some(Ok(value("3"))));
}

#[test]
fn a_request_that_nobody_waits_for_keeps_its_place() {
    let (mut link, mut peer) = open();
    drop(ask(&mut link, "cancelled"));
    let slot = ask(&mut link, "b");
    hear(&mut peer, b"mg cancelled v\r\nmg b v\r\n");
    peer.write_all(&[value("nobody's"), value("2")].concat()).unwrap();
    until(&mut link, |link| link.pending.is_empty());
    assert_eq!(outcome(&slot), Some(Ok(value("2"))));
}

#[test]
fn a_connection_that_the_server_closes_fails_everything_that_is_pending() {
    let (mut link, mut peer) = open();
    let slots = ["a", "b"].map(|key| ask(&mut link, key));
    peer.write_all(b"VA 100\r\nthe begin").unwrap();
    until(&mut link, |link| !link.incoming.is_empty());
    drop(peer);
    until(&mut link, Link::is_closed);
    let failures = slots.map(|slot| match slot.poll(&Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(failure)) => (failure.error.kind(), failure.sent, failure.dead),
        _ => panic!("no failure"),
    });
    // The first has had a part of its reply; the other may be sent once more.
    assert_eq!(failures, [(ErrorKind::Disconnected, true, false), (ErrorKind::Disconnected, true, true)]);
    assert!(link.watch().is_none() && link.deadline().is_none());
}

#[test]
fn a_server_that_does_not_read_lets_requests_wait_until_there_is_room() {
    let (mut link, mut peer) = open();
    let large = |out: &mut Vec<u8>| {
        out.resize(out.len() + ROOM, b'x');
        1
    };
    let later = Instant::now() + TIMEOUT;
    let mut sent = 0;
    while let Made::Pending(..) = link.request(large, Waker::noop(), Instant::now(), later) {
        link.send();
        sent += ROOM;
        assert!(sent < 100 * ROOM, "requests are taken without end");
    }
    assert!(link.out.len() - link.sent < 2 * ROOM && !link.room.is_empty());
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; sent];
        peer.read_exact(&mut bytes).unwrap();
    });
    until(&mut link, |link| !link.wants_to_send());
    reader.join().unwrap();
    assert!(link.has_room() && link.room.is_empty());
}

#[test]
fn a_host_that_cannot_be_looked_up_or_connected_to_in_time_is_unreachable() {
    let (mut link, _peer) = connecting();
    let slot = ask(&mut link, "a");
    let deadline = link.deadline().unwrap();
    link.stage = Stage::LookingUp(deadline);
    link.expire(deadline);
    assert_eq!(outcome(&slot), Some(Err(ErrorKind::Unreachable)));
    assert!(link.is_closed());
    let (silent, _peer) = connecting();
    let mut fresh = Link::new(silent.server().clone());
    let slot = ask(&mut fresh, "a");
    fresh.connect(Err(io::Error::new(io::ErrorKind::NotFound, "no such host")));
    assert_eq!(outcome(&slot), Some(Err(ErrorKind::Unreachable)));
}
