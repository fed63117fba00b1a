//! The async face on tokio, shown with real servers that the tests start.

mod driver;
mod face;
mod faults;
mod runtimes;
#[path = "../servers/mod.rs"]
mod servers;
mod single_flight;
mod typed;

use pinyon::redis::{RedisStore, RespProtocol};
use pinyon::settings::{RedisSettings, Settings};
use pinyon::store::Item;
use pinyon::{Caches, Result, ServerStore};
use servers::client::{LONG, loopback, redis_at};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Longer than anything takes when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of each flavor.
fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.worker_threads(2).enable_all().build().unwrap())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a test to its end, and fails it if it hangs.
fn run<T>(runtime: &Runtime, test: impl Future<Output = T>) -> T {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test hangs") })
}

fn redis_store(port: u16, timeout: Duration) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(&RedisSettings { timeout, ..redis_at(loopback(port)) }))
}

async fn get(store: &RedisStore, key: &str) -> Result<Option<Vec<u8>>> {
    Ok(store.get_over(store.servers().tokio(), key).await?.item(|item| item.bytes.to_vec()))
}

async fn set(store: &RedisStore, key: &str, bytes: &[u8]) -> Result<bool> {
    store.set_over(store.servers().tokio(), key, Item { bytes, flags: 0 }, LONG).await
}

/// Connections that take requests.
fn open(store: &RedisStore) -> usize {
    let links: &pinyon::net::TokioLinks<RespProtocol> = &store.servers().tokio().0;
    links.open()
}

fn caches(url: &str) -> Caches {
    Settings::from_url(url).unwrap().into()
}
