//! The raw client: Redis commands as they are, on the connections of a cache.

#[cfg(feature = "tokio")]
use super::Redis;
use super::wire::{Wire, sound};
use super::{BlockingRedis, Over, faces};
use crate::error::{Error, Result};
use crate::redis::{Commands, Reply, server_error};
use sha1::{Digest, Sha1};
use std::fmt::Write as _;

/// A reply of the server, on its own.
#[derive(Clone, Debug)]
pub enum OwnedReply {
    /// No value.
    Nil,
    /// An integer or a boolean.
    Integer(i64),
    /// A string, also one such as `OK`; doubles and big numbers as text.
    Bytes(Vec<u8>),
    /// Arrays, sets, and maps as key, value, key, value.
    Array(Vec<OwnedReply>),
    /// An error of the server, within an array or among the replies of several commands.
    Error(Error),
}

impl OwnedReply {
    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The bytes, if it is a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The text, if it is a string in UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The elements, if it is an array.
    pub fn elements(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }
}

impl From<Reply<'_>> for OwnedReply {
    fn from(reply: Reply<'_>) -> Self {
        match reply {
            Reply::Nil => Self::Nil,
            Reply::Integer(number) => Self::Integer(number),
            Reply::Status(bytes) | Reply::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Reply::Array(elements) => Self::Array(elements.map(Self::from).collect()),
            Reply::Error(text) => Self::Error(server_error(text)),
        }
    }
}

/// A Lua script, and the name by which a server knows it once it has run.
#[derive(Clone, Debug)]
pub struct Script {
    text: String,
    sha1: String,
}

impl Script {
    /// A script of this text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut sha1 = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(sha1, "{byte:02x}");
        }
        Self { text, sha1 }
    }

    /// The Lua text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

faces! { Redis<'_>, BlockingRedis<'_>, Over:
    /// Sends one command to the primary, words as they are given: no prefix, no version, no serializer; returns the reply.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if the reply is an error,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a command that would change the connection for the
    /// operations after it, and on the async face for one that lets the server wait (`BLPOP`): its tasks share a connection.
    fn execute[P: AsRef<[u8]>](&self, words: &[P]) -> OwnedReply {
        let answer = self.write(words).await?;
        answer.reply().map(OwnedReply::from)
    }

    /// Sends several commands in one round trip; returns one reply a command, in their order. Errors of the server are among
    /// them. [`Commands`](crate::redis::Commands) says whether they are a transaction, may go to a replica, and may be
    /// repeated.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), and [`ErrorKind::Server`](crate::ErrorKind::Server) if the server refused the
    /// transaction as a whole.
    fn pipeline(&self, commands: &Commands) -> Vec<OwnedReply> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.wire.send(commands).await?.replies().map(OwnedReply::from).collect())
    }

    /// Runs a Lua script with keys and arguments as they are given; returns its reply. Its text is sent only if the server does
    /// not know it yet.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if it fails.
    fn script[P: AsRef<[u8]>](&self, script: &Script, keys: &[P], arguments: &[P]) -> OwnedReply {
        let rest: Vec<&[u8]> = keys.iter().chain(arguments).map(AsRef::as_ref).collect();
        self.run_script(script, keys.len(), &rest).await
    }
}

impl<W: Wire> Over<'_, W> {
    pub(super) async fn run_script(&self, script: &Script, keys: usize, rest: &[&[u8]]) -> Result<OwnedReply> {
        let count = keys.to_string();
        let known = [&[b"EVALSHA", script.sha1.as_bytes(), count.as_bytes()], rest].concat();
        let reply = {
            let mut commands = self.commands();
            commands.push(&known)?;
            let results = self.wire.send(&commands).await?;
            match results.replies().next() {
                Some(Reply::Error(text)) if text.starts_with(b"NOSCRIPT") => None,
                reply => Some(sound(reply).map(OwnedReply::from)),
            }
        };
        if let Some(reply) = reply {
            return reply;
        }
        let whole = [&[b"EVAL", script.text.as_bytes(), count.as_bytes()], rest].concat();
        let answer = self.write(&whole).await?;
        answer.reply().map(OwnedReply::from)
    }
}
