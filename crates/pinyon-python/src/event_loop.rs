//! The links of every asyncio event loop of this process, driven by the loop that they belong to.
//!
//! The loop watches the descriptors (`add_reader`, `add_writer`) and keeps one timer a link; the bytes are moved and the
//! replies understood in Rust, on the loop's own thread. Requests of one tick leave in one write, because they are sent by
//! one callback that the first of them has scheduled; only while requests come one at a time are they sent at once.
//!
//! **Loops that end.** `asyncio.run` and its like end every asynchronous generator of a loop before they close it: one that
//! belongs to us closes the links then (`pinyon.django.event_loop`). The links of a loop that was closed without that are
//! closed when the loop object goes, or when the next loop makes its first connection, whichever comes first. The sockets
//! are Rust's: Python has no transport that could be left unclosed.
//!
//! **Fork.** Each loop's state knows its process. A child closes its copies of the parent's sockets without a byte on the
//! wire, and never unregisters them: parent and child may share the selector behind the loop.

use crate::hooks::hooks;
use crate::operation::Step;
use pinyon::net::{Interest, Link, Links, Protocol, Server, SharedLink, lock};
use pinyon::{Error, ErrorKind, Result, ServerStore};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyWeakrefMethods, PyWeakrefReference};
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The loops that have links, of this process and, after a fork, of its parent until they are swept.
static LOOPS: Mutex<Vec<Py<LoopState>>> = Mutex::new(Vec::new());

/// How much too early a loop may call back: uvloop counts whole milliseconds.
const EARLY: Duration = Duration::from_millis(10);

/// What one event loop has of ours. `LOOPS` owns it; it holds the loop weakly.
#[pyclass(frozen, weakref, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct LoopState {
    process: u32,
    /// The address of the loop object.
    id: usize,
    event_loop: Py<PyWeakrefReference>,
    closed: AtomicBool,
    /// Operations that can go on.
    ready: Arc<Ready>,
    /// Links by the address of their store.
    stores: Mutex<Vec<(usize, Arc<dyn Any + Send + Sync>)>>,
    /// Every link that is not closed.
    links: Mutex<Vec<Py<DrivenLink>>>,
    /// The asynchronous generator that the loop ends.
    keeper: Mutex<Option<Py<PyAny>>>,
}

/// Operations of one loop that can go on.
#[derive(Default)]
pub(crate) struct Ready(Mutex<Vec<Arc<dyn Step>>>);

impl Ready {
    pub(crate) fn push(&self, operation: Arc<dyn Step>) {
        guard(&self.0).push(operation);
    }

    fn run(&self, py: Python<'_>) {
        loop {
            let ready = std::mem::take(&mut *guard(&self.0));
            if ready.is_empty() {
                return;
            }
            for operation in ready {
                operation.step(py);
            }
        }
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LoopState {
    /// The state of a running loop.
    pub(crate) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = event_loop.py();
        let id = event_loop.as_ptr() as usize;
        let found = guard(&LOOPS).iter().find(|state| state.get().is(id)).map(|state| state.clone_ref(py));
        match found {
            Some(state) => Ok(state),
            None => Self::make(event_loop, id),
        }
    }

    fn is(&self, id: usize) -> bool {
        self.id == id && !self.closed.load(Ordering::Relaxed) && self.process == std::process::id()
    }

    fn make(event_loop: &Bound<'_, PyAny>, id: usize) -> PyResult<Py<Self>> {
        let py = event_loop.py();
        Self::sweep(py);
        let gone = wrap_pyfunction!(loop_is_gone, py)?;
        let state = Py::new(
            py,
            Self {
                process: std::process::id(),
                id,
                event_loop: PyWeakrefReference::new_with(event_loop, gone)?.unbind(),
                closed: AtomicBool::new(false),
                ready: Arc::default(),
                stores: Mutex::default(),
                links: Mutex::default(),
                keeper: Mutex::new(None),
            },
        )?;
        let keeper = py.import("pinyon.django.event_loop")?.getattr("keep")?.call1((event_loop, &state))?;
        *guard(&state.get().keeper) = Some(keeper.unbind());
        guard(&LOOPS).push(state.clone_ref(py));
        Ok(state)
    }

    /// Ends the states of loops that were closed without telling us, and of the parent of a forked process.
    fn sweep(py: Python<'_>) {
        let states: Vec<_> = guard(&LOOPS).iter().map(|state| state.clone_ref(py)).collect();
        for state in states {
            let state = state.get();
            let is_closed = |event_loop: Bound<'_, PyAny>| {
                event_loop.call_method0(intern!(py, "is_closed")).and_then(|closed| closed.extract::<bool>())
            };
            let over = state.process != std::process::id()
                || match state.event_loop(py) {
                    Some(event_loop) => is_closed(event_loop).unwrap_or(true),
                    None => true,
                };
            if over {
                state.end(py);
            }
        }
    }

    /// The loop, if it is still there.
    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.bind(py).upgrade()
    }

    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Lets operations go on that can.
    pub(crate) fn go_on(&self, py: Python<'_>) {
        self.ready.run(py);
    }

    /// The links of this loop to the servers of a store.
    pub(crate) fn links<S: ServerStore>(slf: &Py<Self>, py: Python<'_>, store: &Arc<S>) -> Arc<LoopLinks<S>> {
        let id = Arc::as_ptr(store) as usize;
        let mut stores = guard(&slf.get().stores);
        let found = stores.iter().find(|(known, _)| *known == id).map(|(_, links)| links.clone());
        if let Some(links) = found.and_then(|links| links.downcast().ok()) {
            return links;
        }
        let current = store.servers().all().iter().map(|_| Mutex::new(None)).collect();
        let links = Arc::new(LoopLinks { state: slf.clone_ref(py), store: store.clone(), current });
        stores.push((id, links.clone()));
        links
    }

    /// Closes every link and forgets the loop.
    fn end(&self, py: Python<'_>) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let links = std::mem::take(&mut *guard(&self.links));
        let stores = std::mem::take(&mut *guard(&self.stores));
        let error = Error::new(ErrorKind::Disconnected, "the event loop that this connection belonged to was closed");
        for link in &links {
            link.get().end(py, &error);
        }
        // Operations of a closed loop have nobody who waits for them; those of one that ends hear of it.
        if self.process == std::process::id() {
            self.ready.run(py);
        }
        drop((links, stores));
        let keeper = guard(&self.keeper).take();
        let forgotten = {
            let mut loops = guard(&LOOPS);
            loops.iter().position(|state| std::ptr::eq(state.get(), self)).map(|index| loops.swap_remove(index))
        };
        drop((keeper, forgotten));
    }
}

#[pymethods]
impl LoopState {
    /// Closes every connection of this loop. A later operation on it opens new ones.
    fn close(&self, py: Python<'_>) {
        self.end(py);
    }
}

/// Called when a loop object goes away.
#[pyfunction]
fn loop_is_gone(py: Python<'_>, reference: &Bound<'_, PyAny>) {
    let found =
        guard(&LOOPS).iter().find(|state| state.get().event_loop.is(reference)).map(|state| state.clone_ref(py));
    if let Some(state) = found {
        state.get().end(py);
    }
}

/// The number of open connections of all loops of this process to the servers of a store.
pub(crate) fn open_connections<S: ServerStore>(store: &Arc<S>) -> usize {
    let id = Arc::as_ptr(store) as usize;
    let loops = guard(&LOOPS);
    let here = loops.iter().map(Py::get).filter(|state| state.process == std::process::id());
    here.map(|state| {
        let links = guard(&state.links);
        links.iter().filter(|link| link.get().store == id && link.get().link.is_open()).count()
    })
    .sum()
}

type Current<P> = Mutex<Option<Arc<LoopLink<P>>>>;

/// The links of one loop to the servers of one store.
#[derive(Debug)]
pub(crate) struct LoopLinks<S: ServerStore> {
    state: Py<LoopState>,
    store: Arc<S>,
    /// By server: the one that takes new requests.
    current: Vec<Current<S::Protocol>>,
}

impl<S: ServerStore> Links<S::Protocol> for LoopLinks<S> {
    type Shared = LoopLink<S::Protocol>;

    fn link(&self, server: usize) -> Result<Option<Arc<Self::Shared>>> {
        let (Some(current), Some(server)) = (self.current.get(server), self.store.servers().all().get(server)) else {
            return Ok(None);
        };
        let mut current = guard(current);
        if let Some(shared) = &*current {
            let mut link = shared.lock();
            link.probe();
            if link.is_usable() {
                return Ok(Some(shared.clone()));
            }
        }
        let made = Python::attach(|py| LoopLink::make(py, &self.state, server, Arc::as_ptr(&self.store) as usize));
        let made = made.map_err(|error| {
            Error::new(ErrorKind::Disconnected, "the event loop takes no connection any more").with_source(error)
        })?;
        *current = Some(made.clone());
        Ok(Some(made))
    }
}

impl<S: ServerStore> LoopLinks<S> {
    /// False if a value that is to be sent has to wait until others have left.
    pub(crate) fn has_room(&self) -> bool {
        self.current.iter().all(|current| guard(current).as_ref().is_none_or(|link| link.lock().has_room_for_more()))
    }

    /// Lets the next that waits for room go on, if there is some.
    pub(crate) fn invite(&self) {
        for link in self.current.iter().filter_map(|current| guard(current).clone()) {
            link.lock().invite();
        }
    }
}

/// A link with the object that the loop calls back.
#[derive(Debug)]
pub(crate) struct LoopLink<P: Protocol> {
    link: Arc<Mutex<Link<P>>>,
    driven: Py<DrivenLink>,
}

impl<P: Protocol> LoopLink<P> {
    fn make(py: Python<'_>, state: &Py<LoopState>, server: &Arc<Server<P>>, store: usize) -> PyResult<Arc<Self>> {
        let link = Arc::new(Mutex::new(Link::new(server.clone())));
        let driven = DrivenLink {
            link: link.clone(),
            state: state.clone_ref(py),
            store,
            scheduled: AtomicBool::new(false),
            crowd: AtomicUsize::new(0),
            watch: Mutex::default(),
        };
        let driven = Py::new(py, driven)?;
        guard(&state.get().links).push(driven.clone_ref(py));
        Ok(Arc::new(Self { link, driven }))
    }
}

impl<P: Protocol> SharedLink<P> for LoopLink<P> {
    fn lock(&self) -> MutexGuard<'_, Link<P>> {
        lock(&self.link)
    }

    fn requested(&self) {
        Python::attach(|py| DrivenLink::schedule(self.driven.bind(py)));
    }
}

/// A [`Link`] of any protocol.
trait AnyLink: Send + Sync {
    fn send(&self);
    fn receive(&self);
    fn expire(&self);
    fn status(&self) -> Status;
    fn is_open(&self) -> bool;
    fn in_flight(&self) -> usize;
    /// Sends the only request in flight, if there is just that one.
    fn send_only(&self) -> bool;
    /// The host name that is to be looked up; connects at once if there is none.
    fn connect_or_name(&self) -> Option<(String, u16)>;
    fn connect(&self, addresses: std::io::Result<Vec<SocketAddr>>);
    fn abandon(&self, error: &Error);
    fn release(&self);
    /// For a forked child, where a thread of the parent may have held the lock.
    fn try_release(&self, error: &Error);
}

struct Status {
    interest: Option<(RawFd, Interest)>,
    deadline: Option<Instant>,
    is_new: bool,
    is_closed: bool,
}

impl<P: Protocol> AnyLink for Mutex<Link<P>> {
    fn send(&self) {
        lock(self).send();
    }

    fn receive(&self) {
        lock(self).receive();
    }

    fn expire(&self) {
        lock(self).expire(Instant::now());
    }

    fn status(&self) -> Status {
        let link = lock(self);
        Status {
            interest: link.interest(),
            deadline: link.deadline(),
            is_new: link.is_new(),
            is_closed: link.is_closed(),
        }
    }

    fn is_open(&self) -> bool {
        let link = lock(self);
        !link.is_new() && !link.is_closed()
    }

    fn in_flight(&self) -> usize {
        lock(self).in_flight()
    }

    fn send_only(&self) -> bool {
        let mut link = lock(self);
        let only = link.is_open() && link.in_flight() == 1;
        if only {
            link.send();
        }
        only
    }

    fn connect_or_name(&self) -> Option<(String, u16)> {
        let mut link = lock(self);
        let name = link.server().name_to_look_up().map(|(host, port)| (host.to_owned(), port));
        if name.is_none() {
            link.connect_without_name();
        }
        name
    }

    fn connect(&self, addresses: std::io::Result<Vec<SocketAddr>>) {
        lock(self).connect(addresses);
    }

    fn abandon(&self, error: &Error) {
        lock(self).abandon(error);
    }

    fn release(&self) {
        lock(self).release();
    }

    fn try_release(&self, error: &Error) {
        if let Ok(mut link) = self.try_lock() {
            link.abandon(error);
            link.release();
        }
    }
}

/// What the loop calls back: one object a link.
#[pyclass(frozen, module = "pinyon._pinyon")]
pub(crate) struct DrivenLink {
    link: Arc<dyn AnyLink>,
    state: Py<LoopState>,
    /// The address of the store that it belongs to.
    store: usize,
    /// A call of `_send` is on its way.
    scheduled: AtomicBool,
    /// Requests in flight when they were last sent.
    crowd: AtomicUsize,
    watch: Mutex<Watch>,
}

/// What the loop does for a link at the moment.
#[derive(Default)]
struct Watch {
    descriptor: Option<RawFd>,
    interest: Interest,
    /// When the timer comes. Its handle is not kept: it would keep the loop.
    timer: Option<Instant>,
    looking_up: Option<Py<PyAny>>,
}

impl DrivenLink {
    /// Has what was requested sent when this tick's tasks have run.
    fn schedule(slf: &Bound<'_, Self>) {
        let (py, this) = (slf.py(), slf.get());
        // Waiting for the end of the tick would cost a lone task a turn of the loop.
        if this.crowd.load(Ordering::Relaxed) <= 1 && !this.scheduled.load(Ordering::Relaxed) && this.link.send_only() {
            let status = this.link.status();
            if let Some(event_loop) = this.state.get().event_loop(py).filter(|_| !status.is_closed)
                && Self::look(slf, &event_loop, &status).is_ok()
            {
                return;
            }
        }
        if this.scheduled.swap(true, Ordering::Relaxed) {
            return;
        }
        let call_soon = || -> PyResult<()> {
            if let Some(event_loop) = this.state.get().event_loop(py) {
                event_loop.call_method1(intern!(py, "call_soon"), (slf.getattr(intern!(py, "_send"))?,))?;
            }
            Ok(())
        };
        // A loop that takes no callbacks is closed: its links are too, or will be.
        if call_soon().is_err() {
            this.scheduled.store(false, Ordering::Relaxed);
        }
    }

    /// After bytes were moved: watches what has to be watched now, and lets operations go on.
    fn moved(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let status = this.link.status();
        if status.is_closed {
            this.detach(py);
            let mut links = guard(&this.state.get().links);
            let gone = links.iter().position(|link| link.is(slf)).map(|index| links.swap_remove(index));
            drop(links);
            drop(gone);
        } else {
            let event_loop = this.state.get().event_loop(py);
            if let Some(event_loop) = event_loop {
                Self::look(slf, &event_loop, &status)?;
            }
        }
        this.state.get().ready.run(py);
        Ok(())
    }

    /// Watches the descriptor, and keeps the timer.
    fn look(slf: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>, status: &Status) -> PyResult<()> {
        let py = slf.py();
        let mut watch = guard(&slf.get().watch);
        let (descriptor, interest) = status.interest.map_or((None, Interest::default()), |(fd, i)| (Some(fd), i));
        if watch.descriptor != descriptor {
            watch.ignore(event_loop)?;
            watch.descriptor = descriptor;
        }
        if let Some(descriptor) = descriptor {
            if interest.read && !watch.interest.read {
                let callback = slf.getattr(intern!(py, "_receive"))?;
                event_loop.call_method1(intern!(py, "add_reader"), (descriptor, callback))?;
            }
            if interest.write && !watch.interest.write {
                let callback = slf.getattr(intern!(py, "_send"))?;
                event_loop.call_method1(intern!(py, "add_writer"), (descriptor, callback))?;
            }
            if !interest.read && watch.interest.read {
                event_loop.call_method1(intern!(py, "remove_reader"), (descriptor,))?;
            }
            if !interest.write && watch.interest.write {
                event_loop.call_method1(intern!(py, "remove_writer"), (descriptor,))?;
            }
            watch.interest = interest;
        }
        // A timer that comes early looks again; for an earlier deadline there is a further one.
        if let Some(deadline) = status.deadline
            && watch.timer.is_none_or(|at| deadline < at)
        {
            let delay = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
            let callback = slf.getattr(intern!(py, "_expire"))?;
            event_loop.call_method1(intern!(py, "call_later"), (delay, callback))?;
            watch.timer = Some(deadline);
        }
        Ok(())
    }

    /// Stops everything that the loop does for the link, and closes its socket.
    fn detach(&self, py: Python<'_>) {
        let mut watch = std::mem::take(&mut *guard(&self.watch));
        if let Some(event_loop) = self.state.get().event_loop(py) {
            // A closed loop watches nothing any more.
            let _ = watch.ignore(&event_loop);
        }
        if let Some(looking_up) = watch.looking_up {
            let _ = looking_up.bind(py).call_method0(intern!(py, "cancel"));
        }
        self.link.release();
    }

    fn end(&self, py: Python<'_>, error: &Error) {
        if self.state.get().process == std::process::id() {
            self.link.abandon(error);
            self.detach(py);
        } else {
            self.link.try_release(error);
        }
    }

    fn look_up(slf: &Bound<'_, Self>, host: &str, port: u16) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().state.get().event_loop(py) else { return Ok(()) };
        let options = PyDict::new(py);
        // SOCK_STREAM has the number 1 on every system that has rustix.
        options.set_item(intern!(py, "type"), 1)?;
        let coroutine = event_loop.call_method(intern!(py, "getaddrinfo"), (host, port), Some(&options))?;
        let task = event_loop.call_method1(intern!(py, "create_task"), (coroutine,))?;
        task.call_method1(intern!(py, "add_done_callback"), (slf.getattr(intern!(py, "_looked_up"))?,))?;
        guard(&slf.get().watch).looking_up = Some(task.unbind());
        Ok(())
    }
}

impl Watch {
    fn ignore(&mut self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let interest = std::mem::take(&mut self.interest);
        if let Some(descriptor) = self.descriptor.take() {
            if interest.read {
                event_loop.call_method1(intern!(py, "remove_reader"), (descriptor,))?;
            }
            if interest.write {
                event_loop.call_method1(intern!(py, "remove_writer"), (descriptor,))?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl DrivenLink {
    fn _send(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        this.scheduled.store(false, Ordering::Relaxed);
        this.crowd.store(this.link.in_flight(), Ordering::Relaxed);
        if this.link.status().is_new {
            if guard(&this.watch).looking_up.is_none()
                && let Some((host, port)) = this.link.connect_or_name()
            {
                Self::look_up(slf, &host, port)?;
            }
        } else {
            this.link.send();
        }
        Self::moved(slf)
    }

    fn _receive(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().link.receive();
        Self::moved(slf)
    }

    fn _expire(slf: &Bound<'_, Self>) -> PyResult<()> {
        {
            let mut watch = guard(&slf.get().watch);
            // Otherwise it is an earlier one's, and the one that counts is still to come.
            watch.timer = watch.timer.filter(|at| *at > Instant::now() + EARLY);
        }
        slf.get().link.expire();
        Self::moved(slf)
    }

    fn _looked_up(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        guard(&slf.get().watch).looking_up = None;
        if task.call_method0(intern!(slf.py(), "cancelled"))?.extract()? {
            return Ok(());
        }
        let addresses = task.call_method0(intern!(slf.py(), "result")).and_then(|found| addresses(&found));
        slf.get().link.connect(addresses.map_err(|error| std::io::Error::other(error.to_string())));
        Self::moved(slf)
    }
}

/// The addresses in what `getaddrinfo` found.
fn addresses(found: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    found
        .cast::<PyList>()?
        .iter()
        .map(|entry| {
            let address = entry.get_item(4)?.cast_into::<PyTuple>()?;
            let host: String = address.get_item(0)?.extract()?;
            // `fe80::1%eth0`
            let host: IpAddr = host.split('%').next().unwrap_or_default().parse()?;
            Ok(SocketAddr::new(host, address.get_item(1)?.extract()?))
        })
        .collect()
}

/// The loop that runs in this thread.
pub(crate) fn running(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    hooks(py)?.get_running_loop.bind(py).call0()
}
