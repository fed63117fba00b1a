//! The links of tokio runtimes: one connection a runtime and server, whose bytes a task of that runtime moves.
//!
//! Requests that tasks make before that task has its turn leave in one write, or in a few if they are many. (A task that sends its request itself is no
//! faster when it is alone, and slower when it is not: it separates the first from the others.) When a runtime is dropped, its
//! links end with it.
//!
//! **Fork.** Every use compares the process id: a child opens links of its own and leaves its parent's alone.

use super::link::{Interest, Link};
use super::multiplexed::{Links, SharedLink, lock};
use super::server::{self, Server};
use super::{Protocol, stream};
use crate::error::{Error, ErrorKind, Result};
use ::tokio::io::unix::AsyncFd;
use ::tokio::runtime::{Handle, Id};
use ::tokio::sync::Notify;
use ::tokio::time::{Sleep, sleep_until};
use arc_swap::ArcSwap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

/// The links of all runtimes of this process to the servers of one cache.
pub struct TokioLinks<P: Protocol>(Arc<boxcar::Vec<ToServer<P>>>);

struct ToServer<P: Protocol> {
    server: Arc<Server<P>>,
    /// At most one of each runtime that takes requests.
    links: ArcSwap<Vec<Arc<TokioLink<P>>>>,
}

/// A link and what its runtime has to know.
pub struct TokioLink<P: Protocol> {
    link: Mutex<Link<P>>,
    process: u32,
    runtime: Id,
    /// The task that moves the bytes has been spawned: with the first request.
    driven: AtomicBool,
    wake: Notify,
    this: Weak<Self>,
    home: Weak<boxcar::Vec<ToServer<P>>>,
    index: usize,
}

impl<P: Protocol> TokioLinks<P> {
    /// To no server yet.
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Nothing is connected before the first request.
    pub(super) fn add(&self, server: Arc<Server<P>>) {
        self.0.push(ToServer { server, links: ArcSwap::default() });
    }

    /// Number of links of this process that take requests.
    pub fn open(&self) -> usize {
        let process = crate::process::id();
        let usable = |to: &ToServer<P>| {
            to.links.load().iter().filter(|link| link.process == process && link.lock().is_usable()).count()
        };
        self.0.iter().map(|(_, to)| usable(to)).sum()
    }
}

impl<P: Protocol> Links<P> for TokioLinks<P> {
    type Shared = TokioLink<P>;

    fn link(&self, server: usize, unusable: Option<&TokioLink<P>>) -> Result<Option<Arc<TokioLink<P>>>> {
        let Some(to) = self.0.get(server) else { return Ok(None) };
        let runtime = Handle::try_current().map_err(|_| no_runtime())?.id();
        let process = crate::process::id();
        let mut links = to.links.load();
        loop {
            let of_this_runtime = links.iter().find(|link| link.runtime == runtime && link.process == process);
            let is_other = |link: &TokioLink<P>| unusable.is_none_or(|unusable| !std::ptr::eq(link, unusable));
            if let Some(shared) = of_this_runtime.filter(|shared| is_other(shared)) {
                return Ok(Some(shared.clone()));
            }
            let fresh = TokioLink::new(to.server.clone(), (process, runtime), Arc::downgrade(&self.0), server);
            let others = links.iter().filter(|link| link.runtime != runtime && link.process == process);
            let with_fresh: Vec<_> = others.cloned().chain([fresh.clone()]).collect();
            let before = to.links.compare_and_swap(&*links, Arc::new(with_fresh));
            if Arc::ptr_eq(&before, &links) {
                return Ok(Some(fresh));
            }
            links = before;
        }
    }
}

impl<P: Protocol> Drop for TokioLinks<P> {
    fn drop(&mut self) {
        let process = crate::process::id();
        for link in self.0.iter().flat_map(|(_, to)| to.links.load_full().to_vec()) {
            if link.process == process {
                link.lock().abandon(&server::closed::<P>(false));
                link.wake.notify_one();
            }
        }
    }
}

impl<P: Protocol> TokioLink<P> {
    fn new(
        server: Arc<Server<P>>,
        (process, runtime): (u32, Id),
        home: Weak<boxcar::Vec<ToServer<P>>>,
        index: usize,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            link: Mutex::new(Link::new(server)),
            process,
            runtime,
            driven: AtomicBool::new(false),
            wake: Notify::new(),
            this: this.clone(),
            home,
            index,
        })
    }

    fn start(&self) {
        let Some(shared) = self.this.upgrade() else { return };
        let server = shared.lock().server().clone();
        // It ends the link even if the task never runs, because its runtime is being shut down.
        let end = End(shared);
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(drive(end, server)));
        }
    }
}

impl<P: Protocol> SharedLink<P> for TokioLink<P> {
    fn lock(&self) -> MutexGuard<'_, Link<P>> {
        lock(&self.link)
    }

    fn requested(&self) {
        if !self.driven.load(Ordering::Relaxed) && !self.driven.swap(true, Ordering::Relaxed) {
            return self.start();
        }
        self.wake.notify_one();
    }
}

/// Ends a link together with the task that drives it, however that ends.
struct End<P: Protocol>(Arc<TokioLink<P>>);

impl<P: Protocol> Drop for End<P> {
    fn drop(&mut self) {
        let shared = &self.0;
        if shared.process != crate::process::id() {
            return;
        }
        let error = if std::thread::panicking() { no_drivers() } else { runtime_ended() };
        let mut link = shared.lock();
        let server = link.server().clone();
        link.abandon(&error.with_server(server.label()));
        drop(link);
        if let Some(to) = shared.home.upgrade().as_deref().and_then(|all| all.get(shared.index)) {
            to.links
                .rcu(|links| -> Vec<_> { links.iter().filter(|link| !Arc::ptr_eq(link, shared)).cloned().collect() });
        }
    }
}

/// What a task that drives a link waits for.
struct Watch {
    socket: Option<(RawFd, AsyncFd<OwnedFd>)>,
    interest: Interest,
    /// When `sleep` ends, if it is not to be ignored.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

async fn drive<P: Protocol>(end: End<P>, server: Arc<Server<P>>) {
    let shared = &end.0;
    let mut looking_up = Some(Box::pin(look_up(server.clone())));
    let mut watch = Watch::new();
    let mut woken = pin!(shared.wake.notified());
    loop {
        {
            let mut link = shared.lock();
            if let Err(error) = watch.follow(&link) {
                link.abandon(&server.unreachable(&error));
            }
            if link.is_closed() {
                return;
            }
        }
        let mut crowded = false;
        let moved = poll_fn(|context| {
            let mut ready = false;
            if woken.as_mut().poll(context).is_ready() {
                woken.set(shared.wake.notified());
                let mut link = shared.lock();
                crowded = link.is_crowded();
                if !crowded {
                    link.send();
                }
                ready = true;
            }
            if let Some(Poll::Ready(addresses)) = looking_up.as_mut().map(|found| found.as_mut().poll(context)) {
                looking_up = None;
                shared.lock().connect(addresses);
                ready = true;
            }
            match watch.move_bytes(shared, context) {
                Ok(moved) => ready |= moved,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if watch.until.is_some() && watch.sleep.as_mut().poll(context).is_ready() {
                watch.until = None;
                shared.lock().expire(Instant::now());
                ready = true;
            }
            if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await;
        if moved.is_err() {
            return;
        }
        if crowded {
            // Those that are ready to make requests make them first, so that all leave in one write. (Tokio runs a task that
            // was woken before those that are ready.)
            ::tokio::task::yield_now().await;
            shared.lock().send();
        }
    }
}

impl Watch {
    fn new() -> Self {
        let sleep = Box::pin(sleep_until(Instant::now().into()));
        Self { socket: None, interest: Interest::default(), until: None, sleep }
    }

    /// Watches what the link wants watched from now on.
    fn follow<P: Protocol>(&mut self, link: &Link<P>) -> io::Result<()> {
        let watched = link.watch();
        self.interest = watched.as_ref().map(|(_, interest)| *interest).unwrap_or_default();
        let number = watched.as_ref().map(|(socket, _)| socket.as_raw_fd());
        if self.socket.as_ref().map(|(number, _)| *number) != number {
            self.socket = None;
            if let Some((socket, _)) = watched {
                // A copy: the socket is the link's to close.
                self.socket = Some((socket.as_raw_fd(), watched_by_tokio(socket.try_clone_to_owned()?)?));
            }
        }
        // Later requests have later deadlines: a sleep that ends too early is put right when it ends, not with each request.
        if let Some(deadline) = link.deadline().filter(|deadline| self.until.is_none_or(|until| *deadline < until)) {
            self.until = Some(deadline);
            self.sleep.as_mut().reset(deadline.into());
        }
        Ok(())
    }

    /// Sends and receives what can be without waiting. True if there was something to do. Fails if the runtime ends.
    fn move_bytes<P: Protocol>(&self, shared: &TokioLink<P>, context: &mut Context<'_>) -> io::Result<bool> {
        let Some((_, socket)) = &self.socket else { return Ok(false) };
        let mut moved = false;
        if self.interest.read
            && let Poll::Ready(ready) = socket.poll_read_ready(context)
        {
            let mut ready = ready?;
            let received = shared.lock().receive();
            drop(received);
            // Everything was taken, so that only what comes from now on is news; the end of the stream stays known.
            ready.clear_ready();
            moved = true;
        }
        if self.interest.write
            && let Poll::Ready(ready) = socket.poll_write_ready(context)
        {
            let mut ready = ready?;
            let mut link = shared.lock();
            link.send();
            if link.watch().is_some_and(|(_, interest)| interest.write) {
                ready.clear_ready();
            }
            moved = true;
        }
        Ok(moved)
    }
}

/// tokio's own successor of this constructor is unsafe, for the sake of types that may lose their descriptor. This one cannot.
#[allow(deprecated, reason = "said above; and this crate has no unsafe code")]
fn watched_by_tokio(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(socket)
}

async fn look_up<P: Protocol>(server: Arc<Server<P>>) -> io::Result<Vec<SocketAddr>> {
    match server.name_to_look_up() {
        Some(name) => Ok(::tokio::net::lookup_host(name).await?.collect()),
        // A number, or a path: nobody has to be asked.
        None => stream::look_up(&server.endpoint.address),
    }
}

pub(crate) fn no_runtime() -> Error {
    Error::new(ErrorKind::Unsupported, "an async operation was awaited outside a tokio runtime")
        .with_hint("Await it in a task of a tokio runtime, or use Cache::blocking(), which needs none")
}

fn no_drivers() -> Error {
    Error::new(ErrorKind::Unsupported, "the tokio runtime has no I/O and time drivers")
        .with_hint("Make the runtime with Builder::enable_all()")
}

fn runtime_ended() -> Error {
    Error::new(ErrorKind::Disconnected, "the tokio runtime that moved the bytes of the connection has ended")
}

impl<P: Protocol> std::fmt::Debug for TokioLinks<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokioLinks({} to {} servers)", self.open(), self.0.count())
    }
}

impl<P: Protocol> std::fmt::Debug for TokioLink<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokioLink({}, {:?})", self.runtime, self.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::MetaProtocol;
    use crate::net::Endpoint;
    use crate::settings::Address;
    use std::time::Duration;

    fn links() -> TokioLinks<MetaProtocol> {
        let endpoint = Endpoint {
            address: Address::Unix("/no/such/socket".into()),
            tls: None,
            label: "nobody".into(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            max_connections: None,
        };
        let links = TokioLinks::new();
        links.add(Arc::new(Server::new(endpoint, MetaProtocol)));
        links
    }

    /// As a child of `fork` finds it: with a link that a thread of its parent may have locked for ever.
    #[test]
    fn a_child_leaves_the_link_of_its_parent_alone() {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let links = links();
        let of = (std::process::id().wrapping_add(1), Handle::current().id());
        let parents = TokioLink::new(links.0[0].server.clone(), of, Arc::downgrade(&links.0), 0);
        links.0[0].links.store(Arc::new(vec![parents.clone()]));
        let locked = parents.lock();
        let childs = links.link(0, None).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&childs, &parents) && Arc::ptr_eq(&childs, &links.link(0, None).unwrap().unwrap()));
        assert_eq!(links.open(), 1);
        drop(End(parents.clone()));
        drop(links);
        assert!(locked.is_usable() && childs.lock().is_closed());
    }

    #[test]
    fn there_is_no_link_to_a_server_that_is_not_there() {
        assert!(links().link(1, None).unwrap().is_none());
    }
}
