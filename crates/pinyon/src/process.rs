//! Which process this is. Whatever a parent and its forked child must not share is compared with it at every use.

use forkguard::atfork::Guard;
use std::cell::RefCell;
use std::process;

thread_local! {
    /// What this thread knows: the id, and what tells whether there was a fork since. None where no fork is told of.
    static KNOWN: RefCell<Option<(Guard, u32)>> = RefCell::new(Guard::try_new().ok().map(|guard| (guard, process::id())));
}

/// The id of this process. As [`std::process::id`], but a system call only when it is asked for the first time by a thread or
/// after a fork: an operation that needs a few microseconds asks several times.
///
/// A fork is noticed by a handler of `pthread_atfork`, so `fork` of the system's C library is, whoever calls it. A child
/// that was made by the bare system call and runs on without `exec` is not: libc does not work there either.
pub fn id() -> u32 {
    let known = KNOWN.try_with(|known| {
        let mut known = known.try_borrow_mut().ok()?;
        let (guard, id) = known.as_mut()?;
        if guard.detected_fork() {
            *id = process::id();
        }
        Some(*id)
    });
    known.ok().flatten().unwrap_or_else(process::id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn every_thread_of_a_process_is_told_its_id() {
        assert_eq!(id(), process::id());
        assert_eq!((id(), thread::spawn(id).join().unwrap()), (process::id(), process::id()));
    }
}
