//! A server made of one function, for what no real server does on purpose.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The end of the greeting that a Redis server gets.
const REDIS_GREETING_END: &[u8] = concat!(env!("CARGO_PKG_VERSION"), "\r\n").as_bytes();

/// A server on loopback that says what its script says. Dropping it closes its port.
pub struct Fake {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    connections: AtomicUsize,
    received: Mutex<Vec<u8>>,
}

impl Fake {
    /// Runs `script` on a thread of its own for each connection, which is closed when it returns.
    pub fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (shared, script) = (Arc::<Shared>::default(), Arc::new(script));
        let of_acceptor = shared.clone();
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if of_acceptor.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let number = of_acceptor.connections.fetch_add(1, Ordering::Relaxed);
                let stream = stream.expect("a connection");
                stream.set_nodelay(true).expect("no delay");
                stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
                let mut peer = Peer { number, stream, unread: Vec::new(), shared: of_acceptor.clone() };
                let script = script.clone();
                thread::spawn(move || script(&mut peer));
            }
        });
        Self { port, shared, acceptor: Some(acceptor) }
    }

    /// Takes everything and never answers.
    pub fn silent() -> Self {
        Self::start(Peer::wait_for_the_end)
    }

    /// Answers the first bytes with `answer`, whatever they are, and nothing after that.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| {
            peer.read_some();
            peer.send(&answer);
            peer.wait_for_the_end();
        })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Whether `bytes` were sent to this server, on any connection.
    pub fn was_sent(&self, bytes: &[u8]) -> bool {
        contains(&self.shared.received.lock().expect("what was received"), bytes)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the end of the acceptor");
        }
    }
}

/// One connection of a [`Fake`].
pub struct Peer {
    /// 0 for the first connection to this server.
    pub number: usize,
    stream: TcpStream,
    unread: Vec<u8>,
    shared: Arc<Shared>,
}

impl Peer {
    /// Reads until `end` has come, and forgets everything up to it. False if the client closed.
    pub fn read_until(&mut self, end: &[u8]) -> bool {
        loop {
            if let Some(start) = self.unread.windows(end.len()).position(|window| window == end) {
                self.unread.drain(..start + end.len());
                return true;
            }
            if self.read_some() == 0 {
                return false;
            }
        }
    }

    /// Reads what has come, at least one byte; 0 if the client closed.
    pub fn read_some(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes).unwrap_or(0);
        self.unread.extend_from_slice(&bytes[..count]);
        self.shared.received.lock().expect("what was received").extend_from_slice(&bytes[..count]);
        count
    }

    /// Sends `bytes`; the client may have gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Answers the greeting as a Redis server without a password does.
    pub fn greet_as_redis(&mut self) {
        self.read_until(REDIS_GREETING_END);
        self.send(b"+PONG\r\n+OK\r\n+OK\r\n");
    }

    /// Answers the greeting as a Memcached server does.
    pub fn greet_as_memcached(&mut self) {
        self.read_until(b"version\r\n");
        self.send(b"VERSION 1.6.18\r\n");
    }

    /// Reads until the client closes.
    pub fn wait_for_the_end(&mut self) {
        while self.read_some() > 0 {}
    }
}

/// Whether `needle` is within `bytes`.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
