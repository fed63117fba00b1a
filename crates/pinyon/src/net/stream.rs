//! A byte stream to a server: TCP, a unix socket, or TLS over TCP.

use crate::settings::Address;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustls::ClientConnection;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait before a unix socket with a full backlog is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);
const BACKLOG_FULL: &str = "the server takes no connections (backlog full)";

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

pub(super) struct TlsStream {
    session: ClientConnection,
    socket: TcpStream,
}

/// The server took the connection and did not answer our TLS greeting in time.
#[derive(Debug)]
pub(super) struct NoHandshake;

impl std::error::Error for NoHandshake {}

impl std::fmt::Display for NoHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer to the TLS greeting")
    }
}

impl Stream {
    /// Connects within `timeout`, over all addresses that a host name has.
    pub(super) fn connect(
        address: &Address,
        tls: Option<&Arc<rustls::ClientConfig>>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let (host, port) = match address {
            Address::Unix(path) => return connect_unix(path, deadline).map(Self::Unix),
            Address::Tcp { host, port } => (host.as_str(), *port),
        };
        let mut failure = no_address();
        for candidate in (host, port).to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
            }
            match TcpStream::connect_timeout(&candidate, left) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    return match tls {
                        None => Ok(Self::Tcp(socket)),
                        Some(config) => {
                            let left = deadline.saturating_duration_since(Instant::now());
                            TlsStream::handshake(socket, config, host, left.max(Duration::from_millis(1)))
                        }
                    };
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Bounds every single blocking read and write.
    pub(super) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(timeout).and_then(|()| socket.set_write_timeout(timeout)),
            Self::Unix(socket) => socket.set_read_timeout(timeout).and_then(|()| socket.set_write_timeout(timeout)),
            Self::Tls(stream) => {
                stream.socket.set_read_timeout(timeout).and_then(|()| stream.socket.set_write_timeout(timeout))
            }
        }
    }

    /// Switches TLS between blocking and not; plain sockets say it with each call instead, which costs nothing.
    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.socket.set_nonblocking(nonblocking),
        }
    }

    /// Blocking read of what is there, at least one byte; 0 = the server closed.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }

    /// Blocking write of some bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Reads without waiting: `WouldBlock` if nothing is there.
    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.read(into),
            plain => rustix::net::recv(plain.as_fd(), into, RecvFlags::DONTWAIT)
                .map(|(read, _)| read)
                .map_err(io::Error::from),
        }
    }

    /// Writes without waiting: `WouldBlock` if no byte could be taken.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.write(bytes),
            plain => rustix::net::send(plain.as_fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                .map_err(io::Error::from),
        }
    }

    /// True if bytes that were taken have not all left for the socket (TLS only).
    pub(super) fn has_unsent(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.session.wants_write())
    }

    /// Sends what was taken (TLS only).
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.send_records(),
            _ => Ok(()),
        }
    }

    /// True if a connection that should be silent has been closed by the server, or has said something.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut byte = [0_u8; 1];
        let peek = rustix::net::recv(self.as_fd(), &mut byte[..], RecvFlags::DONTWAIT | RecvFlags::PEEK);
        match (peek, self) {
            (Err(rustix::io::Errno::AGAIN), _) => false,
            // Session tickets come after the handshake of TLS 1.3, and a goodbye is not the end of the stream yet.
            (Ok((read, _)), Self::Tls(stream)) if read > 0 => !stream.is_silent(),
            _ => true,
        }
    }
}

/// A stream that is being opened without waiting: the socket is connected, then TLS is agreed on.
pub(super) struct Opening {
    target: Target,
    stage: Stage,
    /// Sockets whose connecting failed. They stay open until the end, so that whoever watches descriptors never sees the
    /// number of one come back as another.
    failed: Vec<TcpStream>,
}

enum Target {
    Unix(PathBuf),
    Tcp { addresses: std::vec::IntoIter<SocketAddr>, tls: Option<(Arc<rustls::ClientConfig>, String)> },
}

enum Stage {
    /// A unix socket whose backlog is full: to be tried again at this moment.
    Backlogged(Instant),
    Connecting(TcpStream),
    Greeting(Box<TlsStream>),
    Done(Option<Stream>),
}

impl Opening {
    /// Starts to connect: to the first of `addresses`, which are what the host name of `address` was looked up to, or to a
    /// unix socket.
    pub(super) fn start(
        address: &Address,
        addresses: Vec<SocketAddr>,
        tls: Option<&Arc<rustls::ClientConfig>>,
    ) -> io::Result<Self> {
        let target = match address {
            Address::Unix(path) => Target::Unix(path.clone()),
            Address::Tcp { host, .. } => {
                let tls = tls.map(|config| (config.clone(), host.clone()));
                Target::Tcp { addresses: addresses.into_iter(), tls }
            }
        };
        let mut opening = Self { target, stage: Stage::Done(None), failed: Vec::new() };
        opening.next(no_address())?;
        Ok(opening)
    }

    /// Goes as far as it can without waiting; the stream once it is open. None if it has to be waited for.
    pub(super) fn finish(&mut self) -> io::Result<Option<Stream>> {
        loop {
            match &mut self.stage {
                Stage::Backlogged(again) if Instant::now() < *again => return Ok(None),
                Stage::Backlogged(_) => self.next(no_address())?,
                Stage::Connecting(socket) => match socket.take_error()? {
                    Some(failure) => self.next(failure)?,
                    None if socket.peer_addr().is_err() => return Ok(None),
                    None => self.connected()?,
                },
                Stage::Greeting(stream) => match stream.shake_hands() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok(()) if stream.session.is_handshaking() || stream.session.wants_write() => {}
                    Ok(()) => {
                        let Stage::Greeting(stream) = std::mem::replace(&mut self.stage, Stage::Done(None)) else {
                            return Ok(None);
                        };
                        return Ok(Some(Stream::Tls(stream)));
                    }
                },
                Stage::Done(stream) => return Ok(stream.take()),
            }
        }
    }

    fn connected(&mut self) -> io::Result<()> {
        let Stage::Connecting(socket) = std::mem::replace(&mut self.stage, Stage::Done(None)) else { return Ok(()) };
        socket.set_nodelay(true)?;
        self.stage = if let Target::Tcp { tls: Some((config, host)), .. } = &self.target {
            Stage::Greeting(Box::new(TlsStream::new(socket, config, host)?))
        } else {
            socket.set_nonblocking(false)?;
            Stage::Done(Some(Stream::Tcp(socket)))
        };
        Ok(())
    }

    /// The error for a stream that was not open in time.
    pub(super) fn timed_out(&self) -> io::Error {
        match self.stage {
            Stage::Greeting(_) => io::Error::new(io::ErrorKind::TimedOut, NoHandshake),
            Stage::Backlogged(_) => io::Error::new(io::ErrorKind::TimedOut, BACKLOG_FULL),
            _ => io::ErrorKind::TimedOut.into(),
        }
    }

    /// What to wait for before [`Opening::finish`] can go on.
    pub(super) fn watch(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.stage {
            Stage::Connecting(socket) => Some((socket.as_fd(), PollFlags::OUT)),
            Stage::Greeting(stream) if stream.session.wants_write() => {
                Some((stream.socket.as_fd(), PollFlags::IN | PollFlags::OUT))
            }
            Stage::Greeting(stream) => Some((stream.socket.as_fd(), PollFlags::IN)),
            Stage::Backlogged(_) | Stage::Done(_) => None,
        }
    }

    /// The same for `poll`.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.watch().map(|(socket, events)| PollFd::from_borrowed_fd(socket, events))
    }

    /// The socket, to keep it open while its descriptor may still be watched.
    pub(super) fn into_stream(self) -> Option<Stream> {
        match self.stage {
            Stage::Connecting(socket) => Some(Stream::Tcp(socket)),
            Stage::Greeting(stream) => Some(Stream::Tls(stream)),
            Stage::Backlogged(_) => None,
            Stage::Done(stream) => stream,
        }
    }

    /// When [`Opening::finish`] is to be tried again although nothing can be waited for.
    pub(super) fn again_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Backlogged(again) => Some(again),
            _ => None,
        }
    }

    /// Starts with the next address, if there is one, because of `failure`.
    fn next(&mut self, mut failure: io::Error) -> io::Result<()> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
        if let Stage::Connecting(socket) = std::mem::replace(&mut self.stage, Stage::Done(None)) {
            self.failed.push(socket);
        }
        let addresses = match &mut self.target {
            Target::Unix(path) => {
                self.stage = match connect_unix_once(path)? {
                    Some(stream) => Stage::Done(Some(Stream::Unix(stream))),
                    None => Stage::Backlogged(Instant::now() + BACKLOG_PAUSE),
                };
                return Ok(());
            }
            Target::Tcp { addresses, .. } => addresses,
        };
        for address in addresses {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match socket_with(family, SocketType::STREAM, flags, None) {
                Ok(socket) => socket,
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            };
            match connect(&socket, &address) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => {
                    self.stage = Stage::Connecting(TcpStream::from(socket));
                    return Ok(());
                }
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }
}

/// Looks a host name up, which may wait for a name server. Nothing for a unix socket.
pub(super) fn look_up(address: &Address) -> io::Result<Vec<SocketAddr>> {
    match address {
        Address::Unix(_) => Ok(Vec::new()),
        Address::Tcp { host, port } => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host name has no address")
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.socket.as_fd(),
        }
    }
}

impl TlsStream {
    /// A session on a connected socket; nothing is sent yet.
    fn new(socket: TcpStream, config: &Arc<rustls::ClientConfig>, host: &str) -> io::Result<Self> {
        let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Self { session, socket })
    }

    fn handshake(
        socket: TcpStream,
        config: &Arc<rustls::ClientConfig>,
        host: &str,
        timeout: Duration,
    ) -> io::Result<Stream> {
        let mut stream = Self::new(socket, config, host)?;
        let deadline = Instant::now() + timeout;
        while stream.session.is_handshaking() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, NoHandshake));
            }
            stream.socket.set_read_timeout(Some(left))?;
            stream.socket.set_write_timeout(Some(left))?;
            match stream.shake_hands() {
                // The time that is left shows in the next round.
                Err(error) if is_early(&error) => {}
                done => done?,
            }
        }
        stream.send_records()?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Sends what is to be sent and reads once.
    fn shake_hands(&mut self) -> io::Result<()> {
        self.send_records()?;
        if self.session.is_handshaking() {
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed during the TLS handshake"));
            }
            self.process()?;
        }
        Ok(())
    }

    fn process(&mut self) -> io::Result<()> {
        if let Err(error) = self.session.process_new_packets() {
            // The server is told why, if it still listens.
            let _ = self.send_records();
            return Err(io::Error::other(error));
        }
        Ok(())
    }

    /// Takes what has come without an answer; true if it was neither data nor a goodbye.
    fn is_silent(&mut self) -> bool {
        let mut pending = || -> io::Result<bool> {
            self.socket.set_nonblocking(true)?;
            loop {
                match self.session.read_tls(&mut self.socket) {
                    Ok(0) => return Ok(false),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                let state = self.session.process_new_packets().map_err(io::Error::other)?;
                if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 {
                    return Ok(false);
                }
            }
            self.socket.set_nonblocking(false)?;
            Ok(true)
        };
        pending().unwrap_or(false)
    }

    fn send_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A server that closes without a TLS goodbye has closed all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.process()?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_records()?;
        let taken = self.session.writer().write(bytes)?;
        match self.send_records() {
            // The bytes are taken, so they count as written; the rest of them leaves with the next call.
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Err(error),
            _ => Ok(taken),
        }
    }
}

/// Connects to a unix socket. Linux answers `EAGAIN` at once if the backlog is full, and never blocks a non-blocking socket.
fn connect_unix(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    loop {
        match connect_unix_once(path)? {
            Some(stream) => return Ok(stream),
            None if Instant::now() + BACKLOG_PAUSE < deadline => std::thread::sleep(BACKLOG_PAUSE),
            None => return Err(io::Error::new(io::ErrorKind::TimedOut, BACKLOG_FULL)),
        }
    }
}

/// None if the backlog is full.
fn connect_unix_once(path: &Path) -> io::Result<Option<UnixStream>> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => {
            let stream = UnixStream::from(socket);
            stream.set_nonblocking(false)?;
            Ok(Some(stream))
        }
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
