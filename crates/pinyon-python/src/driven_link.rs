//! One link and the callbacks through which an event loop drives it.

use crate::event_loop::{LoopState, guard};
use pinyon::Error;
use pinyon::net::{Interest, Link, Protocol, lock};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How much too early a loop may call back: uvloop counts whole milliseconds.
const EARLY: Duration = Duration::from_millis(10);

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
        let received = lock(self).receive();
        drop(received);
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
    /// For a link that belongs to the store at this address.
    pub(crate) fn new<P: Protocol>(link: Arc<Mutex<Link<P>>>, state: Py<LoopState>, store: usize) -> Self {
        Self {
            link,
            state,
            store,
            scheduled: AtomicBool::new(false),
            crowd: AtomicUsize::new(0),
            watch: Mutex::default(),
        }
    }

    /// True if it is connected, or about to be, to a server of the store at this address.
    pub(crate) fn is_open_to(&self, store: usize) -> bool {
        self.store == store && self.link.is_open()
    }

    /// Has what was requested sent when this tick's tasks have run.
    pub(crate) fn schedule(slf: &Bound<'_, Self>) {
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

    /// After bytes were moved, in a callback of the loop: watches what has to be watched now, and lets operations go on.
    fn moved(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let status = this.link.status();
        if status.is_closed {
            this.detach(py);
            this.state.get().forget(slf);
        } else {
            let event_loop = this.state.get().event_loop(py);
            if let Some(event_loop) = event_loop {
                Self::look(slf, &event_loop, &status)?;
            }
        }
        LoopState::_go_on(this.state.bind(py))
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

    pub(crate) fn end(&self, py: Python<'_>, error: &Error) {
        if self.state.get().process == pinyon::process::id() {
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
