//! 64 tasks on a tokio runtime with two threads, each waiting for its answer from Redis before it asks again. Pinyon makes keys and
//! reads pickles; redis-rs does neither.

use pinyon::{Cache, Timeout};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Its name in the results.
pub const NAME: &str = "redis get, 64 tasks on tokio";
/// How many tasks there are.
pub const TASKS: usize = 64;

const KEY: &str = "page:0";

/// The runtime, and a client of each kind.
pub struct Tasks {
    runtime: Runtime,
    cache: Cache,
    connection: MultiplexedConnection,
}

impl Tasks {
    /// On the Redis server at a URL, where the value is stored.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub fn new(cache: Cache, url: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let client = redis::Client::open(url).expect("a URL");
        let connection = runtime.block_on(client.get_multiplexed_async_connection()).expect("a connection");
        let value = crate::sample::value();
        cache.blocking().set(KEY, &value, Timeout::Never).expect("a set");
        // Under the bare key, and Pinyon's is under that of the cache.
        runtime.block_on(connection.clone().set::<_, _, ()>(KEY, &value)).expect("a set");
        Self { runtime, cache, connection }
    }

    /// How long `count` gets of each task take with Pinyon.
    ///
    /// # Panics
    /// One fails, or is a miss.
    pub fn pinyon(&self, count: usize) -> Duration {
        self.in_tasks(|| {
            let cache = self.cache.clone();
            async move {
                for _ in 0..count {
                    black_box(cache.get::<String>(KEY).await.expect("a get").expect("a hit"));
                }
            }
        })
    }

    /// The same with redis-rs.
    ///
    /// # Panics
    /// One fails, or is a miss.
    pub fn redis_rs(&self, count: usize) -> Duration {
        self.in_tasks(|| {
            let mut connection = self.connection.clone();
            async move {
                for _ in 0..count {
                    black_box(connection.get::<_, String>(KEY).await.expect("a hit"));
                }
            }
        })
    }

    fn in_tasks<F: Future<Output = ()> + Send + 'static>(&self, task: impl Fn() -> F) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
            for task in tasks {
                task.await.expect("a task");
            }
            start.elapsed()
        })
    }
}
