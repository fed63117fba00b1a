//! Who waits until there is room for a request on a link.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

/// Those who wait, in their order, each until a moment.
#[derive(Default)]
pub(super) struct Room {
    waiting: VecDeque<(Instant, Waker)>,
    /// Somebody may make a request next, and has not yet.
    invited: bool,
}

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the first of them is to be woken at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(until, _)| *until)
    }

    pub(super) fn wait(&mut self, waker: &Waker, until: Instant) {
        self.waiting.push_back((until, waker.clone()));
    }

    /// Invites whoever asks, if there is `room` and nobody else is invited; otherwise they wait. True if they do.
    pub(super) fn invite_or_wait(&mut self, room: bool, waker: &Waker, until: Instant) -> bool {
        let waits = self.invited || !room;
        if waits {
            self.wait(waker, until);
        } else {
            self.invited = true;
        }
        waits
    }

    /// The one who was invited has come, or will not.
    pub(super) fn end_invitation(&mut self) {
        self.invited = false;
    }

    /// Wakes the next, unless somebody is invited.
    pub(super) fn wake_next(&mut self) {
        if !self.invited
            && let Some((_, waker)) = self.waiting.pop_front()
        {
            waker.wake();
        }
    }

    /// Wakes those whose time is up.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.deadline().is_some_and(|until| now >= until) {
            if let Some((_, waker)) = self.waiting.pop_front() {
                waker.wake();
            }
        }
    }

    /// Sends everybody elsewhere.
    pub(super) fn dismiss(&mut self) {
        self.waiting.drain(..).for_each(|(_, waker)| waker.wake());
    }
}
