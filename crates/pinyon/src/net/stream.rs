//! A byte stream to a server: TCP, a unix socket, or TLS over TCP.

use crate::settings::Address;
use rustix::net::{RecvFlags, SendFlags};
use rustls::ClientConnection;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait before a unix socket with a full backlog is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

pub(super) struct TlsStream {
    session: ClientConnection,
    socket: TcpStream,
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
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
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
    pub(super) fn is_stale(&self) -> bool {
        let mut byte = [0_u8; 1];
        let peek = rustix::net::recv(self.as_fd(), &mut byte[..], RecvFlags::DONTWAIT | RecvFlags::PEEK);
        match (peek, self) {
            (Err(rustix::io::Errno::AGAIN), _) => false,
            // TLS 1.3 servers send session tickets after the handshake: bytes without an answer are no sign there.
            (Ok((read, _)), Self::Tls(_)) if read > 0 => false,
            _ => true,
        }
    }
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
    fn handshake(
        socket: TcpStream,
        config: &Arc<rustls::ClientConfig>,
        host: &str,
        timeout: Duration,
    ) -> io::Result<Stream> {
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut stream = Self { session, socket };
        let deadline = Instant::now() + timeout;
        while stream.session.is_handshaking() {
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake timed out"));
            }
            stream.session.complete_io(&mut stream.socket)?;
        }
        stream.send_records()?;
        Ok(Stream::Tls(Box::new(stream)))
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
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_records()?;
        let taken = self.session.writer().write(bytes)?;
        match self.send_records() {
            // The rest leaves with the next call; the bytes are taken.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }
}

/// Connects to a unix socket. Linux answers `EAGAIN` at once if the backlog is full, and never blocks a non-blocking socket.
fn connect_unix(path: &std::path::Path, deadline: Instant) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let address = SocketAddrUnix::new(path)?;
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(rustix::io::Errno::AGAIN) if Instant::now() + BACKLOG_PAUSE < deadline => {
                std::thread::sleep(BACKLOG_PAUSE);
            }
            Err(rustix::io::Errno::AGAIN) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes no connections (backlog full)"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
