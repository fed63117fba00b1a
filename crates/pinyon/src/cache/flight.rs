//! `get_or_set` makes a value once: of all that miss a key at the same time, one makes the value and the others wait for it.
//!
//! No lock is held while a value is being made. Threads wait for threads and tasks for tasks, never one for the other: a
//! thread that waited for a task might be the one that has to run it.
//!
//! **Fork.** A child knows nothing of what its parent was making: it would wait for threads that it does not have.

use arc_swap::ArcSwap;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// All that is being made by the threads of this process, or by its tasks.
pub(super) struct Flights {
    table: LazyLock<ArcSwap<Table>>,
    /// How many have ended with a value.
    landed: AtomicU64,
}

struct Table {
    process: u32,
    /// Who waits for what is being made.
    waiting: Mutex<HashMap<Key, VecDeque<Arc<Seat>>>>,
}

/// A store, by its address, and a made key.
type Key = (usize, String);

/// The place of one that waits. Its call is made under the lock of the table.
type Seat = Mutex<(Option<Call>, Option<Waker>)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// The value has been made.
    Landed,
    /// Whoever was making it has given up: your turn.
    Lead,
}

/// What to do about a key without a value.
pub(super) enum Turn {
    /// Make the value.
    Lead(Lead),
    /// Wait for somebody who does.
    Wait(Wait),
}

/// The right to make a value. If it is dropped before it has [landed](Lead::land), the next that waits gets it.
pub(super) struct Lead {
    table: Arc<Table>,
    flights: &'static Flights,
    /// None once it has landed.
    key: Option<Key>,
}

/// Waits for the end of a flight: the right to make the value, if it ended without one.
pub(super) struct Wait {
    table: Arc<Table>,
    flights: &'static Flights,
    key: Key,
    seat: Arc<Seat>,
}

impl Flights {
    pub(super) const fn new() -> Self {
        Self { table: LazyLock::new(|| ArcSwap::from_pointee(Table::new())), landed: AtomicU64::new(0) }
    }

    /// How many flights have ended with a value. Whoever missed a key while it changed looks again before making the value.
    pub(super) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    /// Joins those who want the value of a made key in the store at this address.
    pub(super) fn join(&'static self, store: usize, made: &str) -> Turn {
        let (table, key) = (self.table(), (store, made.to_owned()));
        let mut waiting = table.lock();
        if let Some(seats) = waiting.get_mut(&key) {
            let seat = Arc::<Seat>::default();
            seats.push_back(seat.clone());
            drop(waiting);
            return Turn::Wait(Wait { table, flights: self, key, seat });
        }
        waiting.insert(key.clone(), VecDeque::new());
        drop(waiting);
        Turn::Lead(Lead { table, flights: self, key: Some(key) })
    }

    /// The table of this process. After a fork it is a new one.
    fn table(&self) -> Arc<Table> {
        let table = self.table.load_full();
        if table.process == crate::process::id() {
            return table;
        }
        self.table.compare_and_swap(&table, Arc::new(Table::new()));
        self.table.load_full()
    }
}

impl Table {
    fn new() -> Self {
        Self { process: crate::process::id(), waiting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Arc<Seat>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seated(seat: &Seat) -> MutexGuard<'_, (Option<Call>, Option<Waker>)> {
    seat.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls one that waits; the waker is to be woken without the lock of the table.
fn call(seat: &Seat, call: Call) -> Option<Waker> {
    let mut seat = seated(seat);
    seat.0 = Some(call);
    seat.1.take()
}

impl Lead {
    /// The value has been made, and is stored if it could be: all that wait may look.
    pub(super) fn land(mut self) {
        let Some(key) = self.key.take() else { return };
        let mut waiting = self.table.lock();
        self.flights.landed.fetch_add(1, Ordering::Release);
        let seats = waiting.remove(&key).unwrap_or_default();
        let wakers: Vec<_> = seats.iter().filter_map(|seat| call(seat, Call::Landed)).collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut waiting = self.table.lock();
        let next = waiting.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            waiting.remove(&key);
        }
        let waker = next.and_then(|seat| call(&seat, Call::Lead));
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Wait {
    fn lead(&self) -> Lead {
        Lead { table: self.table.clone(), flights: self.flights, key: Some(self.key.clone()) }
    }
}

impl Future for Wait {
    type Output = Option<Lead>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Lead>> {
        let mut seat = seated(&self.seat);
        match seat.0.replace(Call::Landed) {
            Some(Call::Landed) => Poll::Ready(None),
            Some(Call::Lead) => Poll::Ready(Some(self.lead())),
            None => {
                *seat = (None, Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.table.lock();
        let called = seated(&self.seat).0;
        if called.is_none()
            && let Some(seats) = waiting.get_mut(&self.key)
        {
            seats.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        }
        drop(waiting);
        if called == Some(Call::Lead) {
            // Called and not there: the next one is.
            drop(self.lead());
        }
    }
}
