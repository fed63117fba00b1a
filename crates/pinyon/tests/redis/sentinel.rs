//! Redis Sentinel: real Sentinels that watch real servers, and replace a primary that is gone.

use crate::servers::certificates::Certificates;
use crate::servers::client::{LONG, loopback, plain};
use crate::servers::{self, Server};
use pinyon::redis::RedisStore;
use pinyon::settings::{RedisPlacement, RedisServer, RedisSettings, SentinelSettings, TlsSettings};
use pinyon::{Error, ErrorKind, ServerStore, Store};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Longer than a failover takes on any machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// What one operation may take in the tests that take servers away.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A primary, replicas, and Sentinels that have found each other.
struct Watched {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    fn start(replicas: usize, sentinels: usize) -> Self {
        let primary = servers::redis().start();
        let mut servers = vec![primary];
        for _ in 0..replicas {
            let replica = servers::redis().replica_of(&servers[0]).start();
            servers.push(replica);
        }
        let quorum = sentinels / 2 + 1;
        let sentinels: Vec<_> = (0..sentinels).map(|_| servers::sentinel(&servers[0], quorum).start()).collect();
        for sentinel in &sentinels {
            // They hear of each other within seconds, and sooner where they can be told to.
            sentinel.ask("SENTINEL DEBUG PUBLISH-PERIOD 100 INFO-PERIOD 300").unwrap();
        }
        let watched = Self { servers, sentinels };
        watched.until_known(replicas);
        watched
    }

    /// Waits until every Sentinel that runs knows all others and `replicas` healthy replicas.
    fn until_known(&self, replicas: usize) {
        let others = (self.sentinels.len() - 1).to_string();
        let replicas = replicas.to_string();
        until("Sentinels that know all", || {
            self.sentinels.iter().all(|sentinel| {
                // It writes a file before it goes on, which a busy machine makes it wait for.
                let asked = ["MASTER", "REPLICAS"].map(|what| sentinel.ask(&format!("SENTINEL {what} mymaster")));
                let [Ok(told), Ok(listed)] = asked else { return false };
                field(&told, "num-other-sentinels") == Some(&others)
                    && field(&told, "num-slaves") == Some(&replicas)
                    && listed.matches("\r\nok\r\n").count().to_string() == replicas
            })
        });
    }

    fn settings(&self) -> RedisSettings {
        through(self.sentinels.iter().map(Server::port))
    }

    /// Waits until the Sentinels tell another primary than the first server; its place.
    fn successor(&self) -> usize {
        let mut place = 0;
        until("a failover", || {
            let Ok(told) = self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster") else { return false };
            let port = told.lines().last().unwrap().to_owned();
            place = self.servers.iter().position(|server| server.port().to_string() == port).unwrap();
            place != 0
        });
        place
    }
}

/// The value after a name in a flat list.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().skip_while(|line| *line != name);
    lines.nth(2)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "gave up waiting for {what}");
        sleep(Duration::from_millis(20));
    }
}

fn through(ports: impl Iterator<Item = u16>) -> RedisSettings {
    let sentinels = SentinelSettings {
        service: "mymaster".into(),
        sentinels: ports.map(|port| RedisServer::new(loopback(port))).collect(),
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        read_from_replicas: false,
    };
    RedisSettings {
        servers: vec![RedisServer::new(loopback(1))],
        placement: RedisPlacement::Sentinel(sentinels),
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        ..RedisSettings::default()
    }
}

fn changed(settings: &RedisSettings, change: impl FnOnce(&mut SentinelSettings)) -> RedisSettings {
    let mut settings = settings.clone();
    let RedisPlacement::Sentinel(sentinel) = &mut settings.placement else { unreachable!() };
    change(sentinel);
    settings
}

fn get(store: &RedisStore, key: &str) -> pinyon::Result<Option<String>> {
    Ok(store.fetch(key)?.item(|item| String::from_utf8(item.bytes.to_vec()).unwrap()))
}

fn set(store: &RedisStore, key: &str, value: &str) -> pinyon::Result<bool> {
    store.set(key, plain(value.as_bytes()), LONG)
}

/// How often a command was run, by `INFO commandstats`.
fn calls(server: &Server, command: &str) -> usize {
    let statistics = server.ask("INFO commandstats").unwrap();
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn error_of(settings: &RedisSettings) -> Error {
    let store = RedisStore::new(settings);
    let first = set(&store, "key", "value").unwrap_err();
    let again = get(&store, "key").unwrap_err();
    assert_eq!(first.kind(), again.kind(), "{first}\n{again}");
    first
}

/// Writers that go on until they are told to stop, and what they saw.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// Counts what has succeeded since it was last set to 0.
    written: AtomicUsize,
    read: AtomicUsize,
    failed: AtomicUsize,
}

impl Load {
    /// One write and one read of a key whose value follows from its name.
    async fn step(
        &self,
        key: &str,
        set: impl Future<Output = pinyon::Result<bool>>,
        get: impl Future<Output = pinyon::Result<Option<String>>>,
    ) {
        let start = Instant::now();
        let written = set.await;
        let middle = Instant::now();
        let read = get.await;
        for took in [middle - start, middle.elapsed()] {
            assert!(took < TIMEOUT * 10, "an operation took {took:?}");
        }
        match written {
            Ok(_) => self.written.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.fail(&error),
        };
        match read {
            Ok(None) => {}
            Ok(Some(value)) => {
                assert_eq!(value, format!("value of {key}"));
                self.read.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.fail(&error);
            }
        }
    }

    fn fail(&self, error: &Error) -> usize {
        let in_a_failover = error.is_connection() || error.message().contains("READONLY");
        assert!(in_a_failover || error.message().contains("LOADING"), "{error}");
        self.failed.fetch_add(1, Ordering::Relaxed)
    }

    fn until_both_succeed(&self, what: &str) {
        self.written.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        until(what, || self.written.load(Ordering::Relaxed) > 100 && self.read.load(Ordering::Relaxed) > 100);
    }
}

/// Threads that ask `store`.
fn threads<'scope>(scope: &'scope thread::Scope<'scope, '_>, load: &'scope Load, store: &'scope RedisStore) {
    for thread in 0..4 {
        scope.spawn(move || {
            for step in 0.. {
                if load.stop.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("thread:{thread}:{}", step % 50);
                let value = format!("value of {key}");
                now(load.step(&key, async { set(store, &key, &value) }, async { get(store, &key) }));
                sleep(Duration::from_millis(2));
            }
        });
    }
}

fn now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("nothing in it waits"),
    }
}

/// Tasks that ask `store`.
#[cfg(feature = "tokio")]
fn tasks<'scope>(scope: &'scope thread::Scope<'scope, '_>, load: &'scope Load, store: &'scope RedisStore) {
    scope.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let driver = store.servers().tokio();
        let task = async |task: usize| {
            for step in 0.. {
                if load.stop.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("task:{task}:{}", step % 50);
                let value = format!("value of {key}");
                let set = store.set_over(driver, &key, plain(value.as_bytes()), LONG);
                let get = async {
                    let found = store.get_over(driver, &key).await?;
                    Ok(found.item(|item| String::from_utf8(item.bytes.to_vec()).unwrap()))
                };
                load.step(&key, set, get).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        runtime.block_on(async { tokio::join!(task(0), task(1), task(2), task(3)) });
    });
}

#[cfg(not(feature = "tokio"))]
fn tasks<'scope>(_: &'scope thread::Scope<'scope, '_>, _: &'scope Load, _: &'scope RedisStore) {}

/// Stops the load also when the test fails, so that it ends.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn when_the_primary_dies_its_successor_is_found_and_the_old_one_comes_back_as_a_replica() {
    let mut watched = Watched::start(2, 3);
    let settings = watched.settings();
    let store = RedisStore::new(&changed(&settings, |sentinel| sentinel.read_from_replicas = true));
    let of_tasks = RedisStore::new(&settings);
    let (load, load_of_tasks) = (Load::default(), Load::default());
    thread::scope(|scope| {
        let _stop = (Stop(&load), Stop(&load_of_tasks));
        threads(scope, &load, &store);
        tasks(scope, &load_of_tasks, &of_tasks);
        let both = [&load, &load_of_tasks].into_iter().take(if cfg!(feature = "tokio") { 2 } else { 1 });
        both.clone().for_each(|load| load.until_both_succeed("writes and reads at the beginning"));

        watched.servers[0].stop();
        let successor = watched.successor();
        both.clone().for_each(|load| load.until_both_succeed("writes and reads at the new primary"));
        assert!(calls(&watched.servers[successor], "set") > 0);

        let (old, others) = watched.servers.split_first_mut().unwrap();
        old.restart_as_replica_of(&others[successor - 1]);
        watched.until_known(2);
        both.clone().for_each(|load| load.until_both_succeed("writes and reads with the old primary as a replica"));
        // Nobody has tried to write to it.
        assert_eq!(watched.servers[0].ask("INFO errorstats").unwrap().matches("READONLY").count(), 0);
    });
    assert!(set(&store, "last", "word").unwrap() && get(&of_tasks, "last").unwrap().as_deref() == Some("word"));
}

#[test]
fn a_primary_that_hangs_is_replaced_and_not_asked_again_when_it_goes_on() {
    let watched = Watched::start(1, 1);
    let store = RedisStore::new(&watched.settings());
    assert!(set(&store, "key", "before").unwrap());
    until("the replica to have it", || watched.servers[1].ask("GET key").unwrap().contains("before"));
    watched.servers[0].pause();
    let mut failures = 0;
    until("writes at the new primary", || {
        let start = Instant::now();
        let outcome = set(&store, "key", "after");
        assert!(start.elapsed() < TIMEOUT * 10, "{:?}", start.elapsed());
        failures += usize::from(outcome.is_err());
        outcome.is_ok()
    });
    assert!(failures > 0);
    // It still takes itself for the primary, until Sentinel has told it otherwise.
    watched.servers[0].resume();
    for _ in 0..50 {
        assert_eq!(get(&store, "key").unwrap().as_deref(), Some("after"));
    }
    assert_eq!(watched.successor(), 1);
}

/// An old primary that is started again takes itself for the primary for some seconds, and is empty. Whoever has not asked anything
/// in the meantime has only lost a connection.
#[test]
fn whoever_slept_through_a_failover_does_not_go_back_to_the_old_primary() {
    let mut watched = Watched::start(1, 1);
    let [reader, writer] = [(); 2].map(|()| RedisStore::new(&watched.settings()));
    assert!(set(&reader, "key", "value").unwrap() && get(&writer, "key").unwrap().is_some());
    until("the replica to have it", || watched.servers[1].ask("GET key").unwrap().contains("value"));
    watched.servers[0].stop();
    assert_eq!(watched.successor(), 1);
    watched.servers[0].restart();
    assert_eq!(watched.servers[0].ask("ROLE").unwrap().lines().nth(2), Some("master"));
    assert_eq!(get(&reader, "key").unwrap().as_deref(), Some("value"));
    assert!(set(&writer, "other", "one").unwrap());
    assert!(watched.servers[1].ask("GET other").unwrap().contains("one"));
}

/// `SENTINEL FAILOVER` changes the roles while all servers run.
#[test]
fn a_replica_that_was_the_primary_refuses_writes_and_they_go_to_the_new_one() {
    let watched = Watched::start(1, 1);
    let store = RedisStore::new(&watched.settings());
    assert!(set(&store, "key", "before").unwrap());
    watched.sentinels[0].ask("SENTINEL FAILOVER mymaster").unwrap();
    assert_eq!(watched.successor(), 1);
    until("the old primary to be a replica", || {
        watched.servers[0].ask("INFO replication").unwrap().contains("master_link_status:up")
    });
    // Without an error in between: a question to Sentinel and one repetition.
    assert!(set(&store, "key", "after").unwrap());
    assert_eq!(watched.servers[1].ask("GET key").unwrap(), "$5\r\nafter\r\n");
    store.clear().unwrap();
    assert_eq!(watched.servers[1].ask("DBSIZE").unwrap(), ":0\r\n");
}

/// Without a lost connection: an administrator has changed the roles.
#[test]
fn a_refused_write_is_given_once_more_to_the_primary_that_is_told_then() {
    let [old, new] = [(); 2].map(|()| servers::redis().start());
    let sentinel = servers::sentinel(&old, 5).start();
    let store = RedisStore::new(&through([sentinel.port()].into_iter()));
    assert!(set(&store, "key", "before").unwrap());
    old.ask(&format!("REPLICAOF 127.0.0.1 {}", new.port())).unwrap();
    sentinel.ask("SENTINEL REMOVE mymaster").unwrap();
    sentinel.ask(&format!("SENTINEL MONITOR mymaster 127.0.0.1 {} 5", new.port())).unwrap();
    // Sentinels are not asked more often.
    sleep(Duration::from_millis(100));
    assert!(set(&store, "key", "after").unwrap());
    assert_eq!(new.ask("GET key").unwrap(), "$5\r\nafter\r\n");
}

#[test]
fn reads_go_to_replicas_if_they_are_told_to() {
    let mut watched = Watched::start(2, 1);
    let store = RedisStore::new(&changed(&watched.settings(), |sentinel| sentinel.read_from_replicas = true));
    assert!(set(&store, "key", "value").unwrap());
    until("the replicas to have it", || {
        watched.servers[1..].iter().all(|replica| replica.ask("EXISTS key").unwrap() == ":1\r\n")
    });
    for _ in 0..10 {
        assert_eq!(get(&store, "key").unwrap().as_deref(), Some("value"));
    }
    let gets: Vec<_> = watched.servers.iter().map(|server| calls(server, "get")).collect();
    assert_eq!(gets, [0, 5, 5]);
    // A replica that dies costs no error, and is asked again when Sentinel tells it again.
    watched.servers[1].stop();
    for _ in 0..10 {
        assert_eq!(get(&store, "key").unwrap().as_deref(), Some("value"));
    }
    watched.servers.swap(0, 1);
    let (replica, others) = watched.servers.split_first_mut().unwrap();
    replica.restart_as_replica_of(&others[0]);
    until("the replica to be read from again", || {
        assert_eq!(get(&store, "key").unwrap().as_deref(), Some("value"));
        calls(&watched.servers[0], "get") > 0
    });
    let from_primary = RedisStore::new(&watched.settings());
    assert_eq!(get(&from_primary, "key").unwrap().as_deref(), Some("value"));
    assert!(calls(&watched.servers[1], "get") > 0);
}

#[test]
fn sentinels_have_a_login_and_tls_apart_from_the_servers() {
    let (of_servers, of_sentinels) = (Certificates::for_loopback(), Certificates::for_loopback());
    let primary = servers::redis().password("of-servers").tls(&of_servers, false).start();
    let sentinel = servers::sentinel(&primary, 1).password("of-sentinels").tls(&of_sentinels, false).start();
    let trust = |certificates: &Certificates| {
        Some(TlsSettings { ca_certs: Some(certificates.authority()), ..TlsSettings::default() })
    };
    let right = RedisServer {
        password: Some("of-sentinels".into()),
        tls: trust(&of_sentinels),
        ..RedisServer::new(loopback(sentinel.tls_port()))
    };
    let settings = |sentinel: RedisServer, password: &str| {
        let mut settings = changed(&through([0].into_iter()), |settings| settings.sentinels = vec![sentinel]);
        settings.servers[0].password = Some(password.to_owned());
        settings
    };
    for protocol in [2, 3] {
        let store = RedisStore::new(&RedisSettings { protocol, ..settings(right.clone(), "of-servers") });
        assert!(set(&store, "key", "value").unwrap());
    }
    let no_password = error_of(&settings(RedisServer { password: None, ..right.clone() }, "of-servers"));
    assert_eq!(no_password.kind(), ErrorKind::Auth, "{no_password}");
    assert!(no_password.hint().unwrap().contains("SENTINEL_KWARGS"), "{no_password}");
    let others = error_of(&settings(RedisServer { tls: trust(&of_servers), ..right.clone() }, "of-servers"));
    assert_eq!(others.kind(), ErrorKind::Tls, "{others}");
    let wrong = error_of(&settings(right.clone(), "wrong"));
    assert_eq!(wrong.kind(), ErrorKind::Auth, "{wrong}");
    assert!(wrong.server().unwrap().contains(&primary.port().to_string()), "{wrong}");
    for error in [no_password, others, wrong] {
        assert!(!format!("{error} {error:?}").contains("of-sentinels"), "{error}");
    }
}

#[test]
fn one_sentinel_of_several_is_enough() {
    let primary = servers::redis().start();
    let [mut first, last] = [(); 2].map(|()| servers::sentinel(&primary, 2).start());
    let store = RedisStore::new(&through([closed_port(), first.port(), last.port()].into_iter()));
    assert!(set(&store, "key", "value").unwrap());
    first.stop();
    let other = RedisStore::new(&through([closed_port(), first.port(), last.port()].into_iter()));
    assert_eq!(get(&other, "key").unwrap().as_deref(), Some("value"));
    // One that hangs is waited for once.
    last.pause();
    first.restart();
    let ports = [last.port(), first.port()];
    let hurried = changed(&through(ports.into_iter()), |sentinel| sentinel.timeout = Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(get(&RedisStore::new(&hurried), "key").unwrap().as_deref(), Some("value"));
    assert!(start.elapsed() < TIMEOUT * 10, "{:?}", start.elapsed());
    // Without any, what is known goes on.
    drop(first);
    drop(last);
    for _ in 0..5 {
        assert_eq!(get(&store, "key").unwrap().as_deref(), Some("value"));
    }
}

#[test]
fn without_a_sentinel_the_error_names_them_and_the_service() {
    let ports = [closed_port(), closed_port()];
    let error = error_of(&through(ports.into_iter()));
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.is_retryable() && error.message().contains("'mymaster'"), "{error}");
    assert!(ports.iter().all(|port| error.message().contains(&port.to_string())), "{error}");
    assert!(error.hint().unwrap().contains("SENTINELS"), "{error}");
    // It is there as soon as one of them is.
    let primary = servers::redis().start();
    let mut sentinel = servers::sentinel(&primary, 1).start();
    sentinel.stop();
    let store = RedisStore::new(&through([sentinel.port()].into_iter()));
    set(&store, "key", "value").unwrap_err();
    sentinel.restart();
    until("the Sentinel to be asked again", || set(&store, "key", "value").is_ok());
}

#[test]
fn a_service_that_no_sentinel_knows_is_named_with_what_to_do() {
    let primary = servers::redis().start();
    let sentinel = servers::sentinel(&primary, 1).start();
    let settings = changed(&through([sentinel.port()].into_iter()), |sentinel| sentinel.service = "MyMaster".into());
    let error = error_of(&settings);
    assert!(error.is_connection() && error.message().contains("'MyMaster'"), "{error}");
    assert!(error.hint().unwrap().contains("sentinel monitor"), "{error}");
}

/// A Sentinel that was told a replica instead of its primary.
#[test]
fn a_server_that_says_that_it_is_a_replica_is_not_taken_for_the_primary() {
    let primary = servers::redis().start();
    let replica = servers::redis().replica_of(&primary).start();
    let misled = servers::sentinel(&replica, 5).start();
    let error = error_of(&through([misled.port()].into_iter()));
    assert!(error.is_connection() && error.message().contains("says that it is a replica"), "{error}");
    let right = servers::sentinel(&primary, 5).start();
    let store = RedisStore::new(&through([misled.port(), right.port()].into_iter()));
    assert!(set(&store, "key", "value").unwrap());
}

#[test]
fn a_check_asks_the_servers_and_the_sentinels() {
    let watched = Watched::start(1, 1);
    let dead = closed_port();
    let settings = through([dead, watched.sentinels[0].port()].into_iter());
    let settings = changed(&settings, |sentinel| sentinel.read_from_replicas = true);
    let reports = RedisStore::new(&settings).check();
    let mut found: Vec<_> = reports.iter().map(|report| (report.server.clone(), report.result.is_ok())).collect();
    found.sort();
    let [primary, replica] =
        [0, 1].map(|place: usize| (format!("redis://127.0.0.1:{}/0", watched.servers[place].port()), true));
    let sentinel = |port: u16, answers| (format!("redis+sentinel://127.0.0.1:{port}/mymaster"), answers);
    let mut expected = [primary, replica, sentinel(dead, false), sentinel(watched.sentinels[0].port(), true)];
    expected.sort();
    assert_eq!(found, expected);
    assert!(reports.iter().flat_map(|report| &report.result).all(|info| info.version.starts_with(['R', 'V'])));
    let unknown = RedisStore::new(&changed(&settings, |sentinel| sentinel.service = "other".into())).check();
    assert!(unknown.len() == 2 && unknown.iter().all(|report| report.result.is_err()), "{unknown:?}");
}
