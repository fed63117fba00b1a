//! A driver without servers: it has a request written, and gives replies that came before. What is left of an operation is
//! what Pinyon itself does.

use pinyon::Result;
use pinyon::net::{Answered, Driver, Parser, Protocol};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The driver. Every request gets the same answer.
pub struct Canned<P: Protocol> {
    answer: Answer<P>,
    request: RefCell<Vec<u8>>,
}

/// Replies, already parsed, and the bytes they lie in.
pub struct Answer<P: Protocol>(Rc<(P::Parser, Vec<u8>)>);

impl<P: Protocol> Canned<P> {
    /// Answers with `bytes`, which are all of `replies` replies.
    pub fn new(bytes: Vec<u8>, replies: usize) -> Self {
        let mut parser = P::Parser::default();
        parser.advance(&bytes, replies).expect("replies of the protocol");
        assert_eq!((parser.replies(), parser.consumed()), (replies, bytes.len()));
        Self { answer: Answer(Rc::new((parser, bytes))), request: RefCell::default() }
    }

    fn answer<E: Fn(&mut Vec<u8>) -> usize>(&self, encode: &E) -> Answer<P> {
        let mut request = self.request.borrow_mut();
        request.clear();
        assert_eq!(encode(&mut request), self.answer.0.0.replies(), "replies that a request waits for");
        Answer(Rc::clone(&self.answer.0))
    }
}

impl<P: Protocol> Driver<P> for Canned<P> {
    type Answer = Answer<P>;

    async fn exchange<E: Fn(&mut Vec<u8>) -> usize>(&self, _: usize, _: bool, encode: E) -> Result<Self::Answer> {
        Ok(self.answer(&encode))
    }

    async fn exchange_many<E: Fn(&mut Vec<u8>) -> usize>(
        &self,
        requests: Vec<(usize, E)>,
        _: bool,
    ) -> Vec<Result<Self::Answer>> {
        requests.iter().map(|(_, encode)| Ok(self.answer(encode))).collect()
    }
}

impl<P: Protocol> Answered<P> for Answer<P> {
    fn replies(&self) -> (&P::Parser, &[u8]) {
        (&self.0.0, &self.0.1)
    }
}

impl<P: Protocol> std::fmt::Debug for Canned<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Canned({} replies)", self.answer.0.0.replies())
    }
}

impl<P: Protocol> std::fmt::Debug for Answer<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} replies)", self.0.0.replies())
    }
}

/// The output of an operation over [`Canned`], which never waits.
///
/// # Panics
/// If the operation waits, or fails.
pub fn now<T>(operation: impl Future<Output = Result<T>>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output.expect("an operation that succeeds"),
        Poll::Pending => panic!("an operation waits although its answer is there"),
    }
}
