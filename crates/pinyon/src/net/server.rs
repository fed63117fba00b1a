//! One server: where it is, how it is reached, and the errors that name it.

use super::stream::{self, NoHandshake};
use super::{Protocol, tls};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{Address, TlsSettings};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CLOSED_HINT: &str = "It was stopped or restarted, or it refuses this client; its log says which";

/// Where a server is and how it is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// TLS, if it is used.
    pub tls: Option<TlsSettings>,
    /// The server in messages: a URL or an address, without credentials.
    pub label: String,
    /// The longest that opening a connection may take.
    pub connect_timeout: Duration,
    /// The longest that an operation may take.
    pub timeout: Duration,
    /// The most connections at a time of the blocking driver; a thread waits for a free one, up to `timeout`.
    pub max_connections: Option<usize>,
}

/// A server that every driver can talk to.
pub struct Server<P: Protocol> {
    /// Where it is.
    pub endpoint: Endpoint,
    pub(super) protocol: P,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

/// Why an exchange failed, and how far it had come.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub error: Error,
    /// The first byte of the request had been taken by the system.
    pub sent: bool,
    /// The connection was found dead before the first byte of a reply: a fresh one may be tried.
    pub dead: bool,
}

impl<P: Protocol> Server<P> {
    /// Nothing is connected.
    pub fn new(endpoint: Endpoint, protocol: P) -> Self {
        Self { endpoint, protocol, tls: OnceLock::new() }
    }

    /// Host and port that have to be looked up before a connection can be opened; none for a unix socket or a number.
    pub fn name_to_look_up(&self) -> Option<(&str, u16)> {
        match &self.endpoint.address {
            Address::Tcp { host, port } if host.parse::<std::net::IpAddr>().is_err() => Some((host, *port)),
            _ => None,
        }
    }

    /// The addresses of the server. A host name is looked up, which may wait for a name server.
    pub(super) fn look_up(&self) -> Result<Vec<SocketAddr>> {
        stream::look_up(&self.endpoint.address).map_err(|error| self.unreachable(&error))
    }

    /// The TLS configuration, if TLS is used. Made once, with the first connection: the files may not be there yet when the
    /// settings are read.
    pub(super) fn tls_config(&self) -> Result<Option<&Arc<rustls::ClientConfig>>> {
        let Some(settings) = &self.endpoint.tls else { return Ok(None) };
        if let Some(config) = self.tls.get() {
            return Ok(Some(config));
        }
        let config = tls::client_config(settings).map_err(|error| error.with_server(self.label()))?;
        Ok(Some(self.tls.get_or_init(|| config)))
    }

    /// The server in messages.
    pub fn label(&self) -> &str {
        &self.endpoint.label
    }

    /// How it is talked to.
    pub(crate) fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Judges the answer to the greeting.
    pub(super) fn welcome(&self, parser: &P::Parser, bytes: &[u8]) -> Result<()> {
        self.protocol.welcome(parser, bytes).map_err(|error| error.with_server(self.label()))
    }

    /// The error of a connection that failed while it was greeted. A server that closes the connection often says why.
    pub(super) fn unfriendly(&self, (parser, bytes): (&P::Parser, &[u8]), mut failure: Failure) -> Error {
        use super::Parser as _;
        if failure.error.kind() == ErrorKind::Disconnected {
            if parser.replies() > 0
                && let Err(reason) = self.welcome(parser, bytes)
            {
                return reason;
            }
            failure.error = failure.error.with_hint(P::closed_hint());
        }
        failure.sent = false;
        self.describe(failure, true)
    }

    /// Turns a failed exchange into the error that the caller gets.
    pub(super) fn describe(&self, failure: Failure, repeatable: bool) -> Error {
        let ambiguous = failure.sent && !repeatable;
        failure.error.with_server(self.label()).with_ambiguity(ambiguous)
    }

    /// The error for a connection that could not be opened.
    pub(super) fn unreachable(&self, error: &io::Error) -> Error {
        if let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Error::new(ErrorKind::Tls, format!("TLS with {} could not be set up: {cause}", P::NAME))
                .with_server(self.label())
                .with_hint(tls::hint(cause))
                .with_source(cause.clone());
        }
        let within = self.endpoint.connect_timeout.as_secs_f64();
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoHandshake>) {
            return Error::new(ErrorKind::Timeout, format!("{} did not answer a TLS greeting within {within} s", P::NAME))
                .with_server(self.label())
                .with_hint(
                    "The server is overloaded or stopped, or it does not speak TLS at this port: redis:// instead of rediss://?",
                );
        }
        let what = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("no connection within {within} s"),
            _ => error.to_string(),
        };
        let message = format!("{} at {} is not running or not reachable: {what}", P::NAME, self.endpoint.address);
        Error::new(ErrorKind::Unreachable, message)
            .with_server(self.label())
            .with_hint(P::unreachable_hint())
            .with_source(io::Error::new(error.kind(), error.to_string()))
    }
}

impl<P: Protocol> std::fmt::Debug for Server<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({} {})", P::NAME, self.label())
    }
}

/// The error for a read or write that failed.
pub(super) fn lost<P: Protocol>(error: &io::Error) -> Error {
    let message = format!("the connection to {} was lost: {error}", P::NAME);
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(cause) => Error::new(ErrorKind::Tls, message).with_hint(tls::hint(cause)).with_source(cause.clone()),
        None => Error::new(ErrorKind::Disconnected, message)
            .with_hint(CLOSED_HINT)
            .with_source(io::Error::new(error.kind(), error.to_string())),
    }
}

/// The error for a connection that the server closed, `amid` an answer or before one.
pub(super) fn closed<P: Protocol>(amid: bool) -> Error {
    let when = if amid { "in the middle of an answer" } else { "before an answer" };
    Error::new(ErrorKind::Disconnected, format!("{} closed the connection {when}", P::NAME)).with_hint(CLOSED_HINT)
}

/// The error for a reply that did not come in time.
pub(super) fn timed_out<P: Protocol>(timeout: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{} did not answer within {} s", P::NAME, timeout.as_secs_f64()))
        .with_hint("The server is overloaded or stopped, or the timeout is too short for this operation.")
}

/// The error for replies that answer nothing: then nobody knows which reply answers which request.
pub(super) fn unasked<P: Protocol>() -> Error {
    Error::new(ErrorKind::Protocol, format!("{} sent more replies than it was asked for", P::NAME))
}

/// The error for replies beyond [`super::MAX_REPLY_BYTES`].
pub(super) fn too_long<P: Protocol>() -> Error {
    let most = super::MAX_REPLY_BYTES;
    Error::new(ErrorKind::Protocol, format!("{} sent more than {most} bytes in answer to one operation", P::NAME))
}
