//! The driver over links: what tokio and asyncio have in common.

use super::Protocol;
use super::driver::{Driver, no_server};
use super::link::{Link, Made};
use super::server::{self, Failure};
use super::slot::{Reply, Slot};
use crate::error::{Error, Result};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// The links of one event loop to the servers of a cache.
pub trait Links<P: Protocol> {
    /// One link that is shared, and whoever moves its bytes.
    type Shared: SharedLink<P>;

    /// The link to the server with this index, but never the one that was found to be `unusable`; a new one if there is none.
    /// None if there is no such server.
    ///
    /// # Errors
    /// None can be opened here.
    fn link(&self, server: usize, unusable: Option<&Self::Shared>) -> Result<Option<Arc<Self::Shared>>>;
}

/// A link that several tasks share.
pub trait SharedLink<P: Protocol> {
    /// The link. The lock is held for moments only, and never while anything waits.
    fn lock(&self) -> MutexGuard<'_, Link<P>>;

    /// Called without the lock after a request was made: it has to be sent, and its deadline to be kept.
    fn requested(&self);
}

/// Locks a link. A thread that panicked while it held the lock left nothing half done that a closed link would not heal.
pub fn lock<P: Protocol>(link: &Mutex<Link<P>>) -> MutexGuard<'_, Link<P>> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver over [`Links`].
#[derive(Debug)]
pub struct Multiplexed<L>(pub Arc<L>);

impl<P: Protocol, L: Links<P>> Driver<P> for Multiplexed<L> {
    type Answer = Reply<P>;

    fn exchange<E>(&self, server: usize, repeatable: bool, encode: E) -> impl Future<Output = Result<Reply<P>>>
    where
        E: Fn(&mut Vec<u8>) -> usize,
    {
        Exchange::new(&*self.0, server, repeatable, encode)
    }

    async fn exchange_many<E>(&self, requests: Vec<(usize, E)>, repeatable: bool) -> Vec<Result<Reply<P>>>
    where
        E: Fn(&mut Vec<u8>) -> usize,
    {
        let mut exchanges: Vec<_> =
            requests.into_iter().map(|(server, encode)| Exchange::new(&*self.0, server, repeatable, encode)).collect();
        let mut results: Vec<Option<Result<Reply<P>>>> = exchanges.iter().map(|_| None).collect();
        poll_fn(|context| {
            for (exchange, result) in exchanges.iter_mut().zip(&mut results) {
                if result.is_none()
                    && let Poll::Ready(outcome) = Pin::new(exchange).poll(context)
                {
                    *result = Some(outcome);
                }
            }
            if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(no_server()))).collect()
    }
}

impl<L> Multiplexed<L> {
    /// Waits until a request to every one of the first `servers` servers can be made without waiting for room, at most for
    /// the timeout of the server. Whoever has waited is invited: it makes its request next, or calls [`Link::invite`].
    ///
    /// # Errors
    /// The server takes no bytes.
    pub async fn room<P: Protocol>(&self, servers: usize) -> Result<()>
    where
        L: Links<P>,
    {
        for server in 0..servers {
            let mut deadline = None;
            let mut invited = Invited::<P, L::Shared>(None, PhantomData);
            poll_fn(|context| {
                let Some(mut shared) = self.0.link(server, None)? else { return Poll::Ready(Ok(())) };
                while !shared.lock().is_usable() {
                    let Some(other) = self.0.link(server, Some(&shared))? else { return Poll::Ready(Ok(())) };
                    shared = other;
                }
                let mut link = shared.lock();
                let now = Instant::now();
                let until = *deadline.get_or_insert_with(|| now + link.server().endpoint.timeout);
                if now >= until {
                    return Poll::Ready(Err(no_room(&link)));
                }
                if link.wait_for_room(context.waker(), until) {
                    drop(link);
                    shared.requested();
                    invited.0 = Some(shared);
                    return Poll::Pending;
                }
                drop(link);
                invited.0 = None;
                Poll::Ready(Ok(()))
            })
            .await?;
        }
        Ok(())
    }
}

fn no_room<P: Protocol>(link: &Link<P>) -> Error {
    server::timed_out::<P>(link.server().endpoint.timeout).with_server(link.server().label())
}

/// Somebody who was invited to make a request and may not come: then the next one is.
struct Invited<P: Protocol, S: SharedLink<P>>(Option<Arc<S>>, PhantomData<P>);

impl<P: Protocol, S: SharedLink<P>> Drop for Invited<P, S> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.lock().wake_next();
        }
    }
}

/// One request and its replies.
struct Exchange<'a, P: Protocol, L: Links<P>, E> {
    links: &'a L,
    server: usize,
    repeatable: bool,
    encode: E,
    state: State<P, L::Shared>,
    repeated: bool,
    begun: Option<Instant>,
}

enum State<P: Protocol, S: SharedLink<P>> {
    NotMade,
    WaitingForRoom(#[expect(dead_code, reason = "for its Drop")] Invited<P, S>),
    Made { shared: Arc<S>, slot: Arc<Slot<P>>, greeted: bool },
}

// Nothing in it points into it.
impl<P: Protocol, L: Links<P>, E> Unpin for Exchange<'_, P, L, E> {}

impl<'a, P: Protocol, L: Links<P>, E: Fn(&mut Vec<u8>) -> usize> Exchange<'a, P, L, E> {
    fn new(links: &'a L, server: usize, repeatable: bool, encode: E) -> Self {
        Self { links, server, repeatable, encode, state: State::NotMade, repeated: false, begun: None }
    }

    fn make(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        let mut unusable: Option<Arc<L::Shared>> = None;
        loop {
            let shared = self.links.link(self.server, unusable.as_deref())?.ok_or_else(no_server)?;
            let mut link = shared.lock();
            let now = Instant::now();
            let until = *self.begun.get_or_insert(now) + link.server().endpoint.timeout;
            if matches!(self.state, State::WaitingForRoom(_)) && now >= until && !link.has_room() {
                return Poll::Ready(Err(no_room(&link)));
            }
            let made = link.request(&self.encode, context.waker(), now, until);
            drop(link);
            match made {
                Made::Pending(slot, greeted) => {
                    shared.requested();
                    self.state = State::Made { shared, slot, greeted };
                    return Poll::Ready(Ok(()));
                }
                Made::NoRoom => {
                    // Its deadline has to be kept as well.
                    shared.requested();
                    self.state = State::WaitingForRoom(Invited(Some(shared), PhantomData));
                    return Poll::Pending;
                }
                Made::Unusable => unusable = Some(shared),
            }
        }
    }

    fn is_worth_repeating(&self, failure: &Failure, greeted: bool) -> bool {
        failure.dead && greeted && self.repeatable && !self.repeated
    }
}

impl<P: Protocol, L: Links<P>, E: Fn(&mut Vec<u8>) -> usize> Future for Exchange<'_, P, L, E> {
    type Output = Result<Reply<P>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Reply<P>>> {
        let this = &mut *self;
        loop {
            match &this.state {
                State::NotMade | State::WaitingForRoom(_) => match this.make(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                State::Made { shared, slot, greeted } => match slot.poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(reply)) => return Poll::Ready(Ok(reply)),
                    Poll::Ready(Err(failure)) if this.is_worth_repeating(&failure, *greeted) => {
                        this.repeated = true;
                        this.state = State::NotMade;
                    }
                    Poll::Ready(Err(failure)) => {
                        let server = shared.lock().server().clone();
                        return Poll::Ready(Err(server.describe(failure, this.repeatable)));
                    }
                },
            }
        }
    }
}
