//! The links of every asyncio event loop of this process, driven by the loop that they belong to.
//!
//! The loop watches the descriptors (`add_reader`, `add_writer`) and keeps one timer a link; the bytes are moved and the
//! replies understood in Rust, on the loop's own thread. Requests of one tick leave in a few writes: of a link that has enough
//! of them, and of one callback that the first of them has scheduled. While requests come one at a time they are sent at once.
//!
//! **Loops that end.** `asyncio.run` and its like end every asynchronous generator of a loop before they close it: one that
//! belongs to us closes the links then (`pinyon.django.event_loop`). The links of a loop that was closed without that are
//! closed when the loop object goes, or when the next loop makes its first connection, whichever comes first. The sockets
//! are Rust's: Python has no transport that could be left unclosed.
//!
//! **Fork.** Each loop's state knows its process. A child closes its copies of the parent's sockets without a byte on the
//! wire, and never unregisters them: parent and child may share the selector behind the loop.

use crate::driven_link::DrivenLink;
use crate::hooks::hooks;
use crate::operation::Step;
use crate::pending::Waking;
use pinyon::net::{Link, Links, Protocol, Server, SharedLink, lock};
use pinyon::{Error, ErrorKind, Result, ServerStore};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The loops that have links, of this process and, after a fork, of its parent until they are swept.
static LOOPS: Mutex<Vec<Py<LoopState>>> = Mutex::new(Vec::new());

/// What one event loop has of ours. `LOOPS` owns it; it holds the loop weakly.
#[pyclass(frozen, weakref, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct LoopState {
    pub(crate) process: u32,
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
pub(crate) struct Ready(Mutex<VecDeque<Arc<dyn Step>>>);

impl Ready {
    pub(crate) fn push(&self, operation: Arc<dyn Step>) {
        guard(&self.0).push_back(operation);
    }

    fn pop(&self) -> Option<Arc<dyn Step>> {
        guard(&self.0).pop_front()
    }

    fn len(&self) -> usize {
        guard(&self.0).len()
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        self.id == id && !self.closed.load(Ordering::Relaxed) && self.process == pinyon::process::id()
    }

    fn make(event_loop: &Bound<'_, PyAny>, id: usize) -> PyResult<Py<Self>> {
        let py = event_loop.py();
        Self::sweep(py);
        let gone = wrap_pyfunction!(loop_is_gone, py)?;
        let state = Py::new(
            py,
            Self {
                process: pinyon::process::id(),
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
            let over = state.process != pinyon::process::id()
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
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.bind(py).upgrade()
    }

    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Forgets a link that is closed.
    pub(crate) fn forget(&self, link: &Bound<'_, DrivenLink>) {
        let mut links = guard(&self.links);
        let gone = links.iter().position(|known| known.is(link)).map(|index| links.swap_remove(index));
        drop(links);
        drop(gone);
    }

    /// Lets operations go on that can.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit` of a task that was woken.
    pub(crate) fn go_on(slf: &Bound<'_, Self>, waking: Waking) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        // Not those that come meanwhile: what tasks do that are woken here must not keep the loop from its other work.
        let mut count = this.ready.len();
        let mut gone_on = Ok(());
        while count > 0
            && gone_on.is_ok()
            && let Some(operation) = this.ready.pop()
        {
            count -= 1;
            gone_on = operation.step(py, waking);
        }
        // Those, and the others of a task that was interrupted.
        if this.ready.len() > 0
            && let Some(event_loop) = this.event_loop(py)
        {
            let go_on = slf.getattr(intern!(py, "_go_on"));
            // A closed loop takes no callbacks: nothing on it goes on any more.
            let _ = go_on.and_then(|go_on| event_loop.call_method1(intern!(py, "call_soon"), (go_on,)));
        }
        gone_on
    }

    /// Whether a callback of the loop may wake tasks itself. Not in debug mode, where the loop reports tasks that take long, and
    /// can only if it runs them; and not where tasks run the loop: nest_asyncio, which marks it so, cannot enter a callback a
    /// second time, and would never read the replies for the others.
    fn may_wake(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = event_loop.py();
        Ok(event_loop.getattr_opt(intern!(py, "_nest_patched"))?.is_none()
            && !event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?)
    }

    /// The links of this loop to the servers of a store.
    pub(crate) fn links<S: ServerStore>(slf: &Py<Self>, py: Python<'_>, store: &Arc<S>) -> Arc<LoopLinks<S>> {
        let id = Arc::as_ptr(store) as usize;
        let mut stores = guard(&slf.get().stores);
        let found = stores.iter().find(|(known, _)| *known == id).map(|(_, links)| links.clone());
        if let Some(links) = found.and_then(|links| links.downcast().ok()) {
            return links;
        }
        let links = Arc::new(LoopLinks { state: slf.clone_ref(py), store: store.clone(), current: boxcar::Vec::new() });
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
        let error = loop_closed();
        for link in &links {
            link.get().end(py, &error);
        }
        // Operations of a closed loop have nobody who waits for them; those of one that ends hear of it.
        if self.process == pinyon::process::id() {
            while let Some(operation) = self.ready.pop() {
                // Nothing runs here that could raise: tasks are told by the loop.
                let _ = operation.step(py, Waking::Soon);
            }
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

fn loop_closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the event loop that this connection belonged to was closed")
}

#[pymethods]
impl LoopState {
    /// Closes every connection of this loop. A later operation on it opens new ones.
    fn close(&self, py: Python<'_>) {
        self.end(py);
    }

    /// Lets operations go on that can, in a callback of the loop.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit` of a task that was woken.
    pub(crate) fn _go_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().ready.len() == 0 {
            return Ok(());
        }
        let Some(event_loop) = slf.get().event_loop(slf.py()) else { return Self::go_on(slf, Waking::Soon) };
        Self::go_on(slf, if Self::may_wake(&event_loop).unwrap_or(false) { Waking::Here } else { Waking::Soon })
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
    let here = loops.iter().map(Py::get).filter(|state| state.process == pinyon::process::id());
    here.map(|state| {
        let links = guard(&state.links);
        links.iter().filter(|link| link.get().is_open_to(id)).count()
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
    current: boxcar::Vec<Current<S::Protocol>>,
}

impl<S: ServerStore> Links<S::Protocol> for LoopLinks<S> {
    type Shared = LoopLink<S::Protocol>;

    fn link(&self, server: usize, unusable: Option<&Self::Shared>) -> Result<Option<Arc<Self::Shared>>> {
        // An operation that was under way when the loop was closed would be tried again, on a link that nobody drives or closes.
        if self.state.get().closed.load(Ordering::Relaxed) {
            return Err(loop_closed());
        }
        let Some(to) = self.store.servers().get(server) else { return Ok(None) };
        // The store may have got servers since.
        while self.current.count() <= server {
            self.current.push(Mutex::new(None));
        }
        let Some(current) = self.current.get(server) else { return Ok(None) };
        let mut current = guard(current);
        let is_other = |link: &Self::Shared| unusable.is_none_or(|unusable| !std::ptr::eq(link, unusable));
        if let Some(shared) = current.as_ref().filter(|shared| is_other(shared)) {
            return Ok(Some(shared.clone()));
        }
        let made = Python::attach(|py| LoopLink::make(py, &self.state, to, Arc::as_ptr(&self.store) as usize));
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
        self.current
            .iter()
            .all(|(_, current)| guard(current).as_ref().is_none_or(|link| link.lock().has_room_for_more()))
    }

    /// Lets the next that waits for room go on, if there is some.
    pub(crate) fn invite(&self) {
        for link in self.current.iter().filter_map(|(_, current)| guard(current).clone()) {
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
        let driven = Py::new(py, DrivenLink::new(link.clone(), state.clone_ref(py), store))?;
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

/// The loop that runs in this thread.
pub(crate) fn running(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    hooks(py)?.get_running_loop.bind(py).call0()
}
