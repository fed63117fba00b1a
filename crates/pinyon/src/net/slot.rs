//! Where the replies to one request are put when they come, by whoever reads the connection.

use super::server::Failure;
use super::{Answered, Protocol};
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The replies to one request, which share the memory of what was read at a time.
pub struct Reply<P: Protocol> {
    pub(super) parser: P::Parser,
    pub(super) bytes: Bytes,
}

impl<P: Protocol> Answered<P> for Reply<P> {
    fn replies(&self) -> (&P::Parser, &[u8]) {
        (&self.parser, &self.bytes)
    }
}

// It says nothing about values.
impl<P: Protocol> std::fmt::Debug for Reply<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} bytes)", self.bytes.len())
    }
}

/// Filled once, taken once. If nobody waits any more, what is put here is dropped with it.
pub(super) struct Slot<P: Protocol>(Mutex<State<P>>);

enum State<P: Protocol> {
    Waiting(Option<Waker>),
    Filled(Result<Reply<P>, Failure>),
    Taken,
}

impl<P: Protocol> Slot<P> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Waiting(None)))
    }

    /// Puts the outcome in and wakes whoever waits. Only the first outcome counts.
    pub(super) fn fill(&self, outcome: Result<Reply<P>, Failure>) {
        let mut state = self.lock();
        if let State::Waiting(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Filled(outcome);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<Reply<P>, Failure>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Filled(outcome) => Poll::Ready(outcome),
            State::Waiting(waker) => {
                let waker = waker.filter(|waker| waker.will_wake(context.waker()));
                *state = State::Waiting(Some(waker.unwrap_or_else(|| context.waker().clone())));
                Poll::Pending
            }
            State::Taken => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
