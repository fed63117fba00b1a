//! A database table as a store.

use super::address::{Address, Engine};
use super::connection::{Cause, Connection, Failure, Statement};
use super::cull::Culling;
use super::pool::Pool;
use super::row::{self, decode, expires, now_in_seconds};
use super::sql::{Sql, once};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{DEFAULT_OPERATION_TIMEOUT, DatabaseSettings, SerializerKind};
use crate::store::{Integer, Item, ServerInfo, ServerReport, Store};
use crate::timeout::{Expiry, Ttl};
use crate::value::stored_integer;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is not part of a request may take so long: `clear`, counting for a check, making a table.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most keys in one statement: SQLite takes 32,766 parameters, the others 65,535.
const KEYS: usize = 30_000;
/// How often a statement that lost a deadlock is tried again.
const DEADLOCKS: usize = 10;
/// The most characters of a key: the width of the column.
const KEY_LENGTH: usize = 255;

/// Every store of this process, by its whole effective configuration.
static STORES: LazyLock<Mutex<HashMap<DatabaseSettings, Arc<DatabaseStore>>>> = LazyLock::new(Mutex::default);

/// A cache in a table of an SQL database.
///
/// A connection serves one thread at a time; as many are opened as threads work at the same time, and up to 8 are kept. An
/// operation takes at most 2 s, and opening a connection 1 s; `clear` and the methods that are not for requests take up to 60 s.
///
/// Rows are counted with the first write of a process and then with one in `MAX_ENTRIES / 16`. If there are more than
/// MAX_ENTRIES, those that have expired go; if there still are, one in CULL_FREQUENCY goes, lowest keys first, as in Django.
#[derive(Debug)]
pub struct DatabaseStore {
    table: String,
    sql: Sql,
    pool: Pool,
    culling: Culling,
    serializer: SerializerKind,
    /// The table is made when it turns out to be missing.
    makes_table: bool,
}

/// Whether a statement may be sent again when the connection was lost under it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

impl DatabaseStore {
    /// A store of its own. Connects with the first operation.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no DATABASE_URL, if it cannot be read or needs a feature that this program was built
    /// without, or if no table can have this name.
    pub fn new(settings: &DatabaseSettings) -> Result<Self> {
        let url = settings.url.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Config, "OPTIONS has no DATABASE_URL, which Rust needs: Django's own connection is Python's")
                .with_hint(
                    "Write for example OPTIONS = { DATABASE_URL = \"sqlite:///path/to/db.sqlite3\" }, or postgres://… or mysql://…",
                )
        })?;
        let address = Address::read(url)?;
        Ok(Self {
            table: settings.table.clone(),
            sql: Sql::new(address.engine, &settings.table)?,
            pool: Pool::new(address),
            culling: Culling::new(settings.max_entries, settings.cull_frequency),
            serializer: settings.serializer,
            makes_table: settings.create_table,
        })
    }

    /// The store of these settings that the whole process shares.
    ///
    /// # Errors
    /// As [`DatabaseStore::new`].
    pub fn shared(settings: &DatabaseSettings) -> Result<Arc<Self>> {
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(settings) {
            return Ok(store.clone());
        }
        let store = Arc::new(Self::new(settings)?);
        stores.insert(settings.clone(), store.clone());
        Ok(store)
    }

    /// Makes the table and its index, exactly as Django's `createcachetable` does, and an SQLite file for it if there is none.
    /// False if the table is there already.
    ///
    /// # Errors
    /// Connection errors, and those of the database: a user who may not make tables, a disk that is full.
    pub fn create_table(&self) -> Result<bool> {
        let own =
            self.makes_table || self.pool.address().engine == Engine::Sqlite && !self.pool.address().path.exists();
        let mut lease = self.pool.take(true, own).map_err(|failure| self.explain(failure))?;
        let made = self.create_on(&mut *lease.connection).map_err(|failure| self.explain(failure))?;
        self.pool.put(lease);
        Ok(made)
    }

    /// What [`Self::create_table`] runs, as `createcachetable --dry-run` prints it.
    pub fn create_table_sql(&self) -> String {
        self.sql.create().map(|statement| statement + ";\n").concat()
    }

    fn create_on(&self, connection: &mut dyn Connection) -> Result<bool, Failure> {
        if self.exists_on(connection)? {
            return Ok(false);
        }
        let statements = self.sql.create().map(|sql| once(&sql, Vec::new(), false));
        match connection.run_together(&statements, PATIENCE) {
            Ok(()) => Ok(true),
            // Another process may have been faster.
            Err(failure) if !failure.broken && self.exists_on(connection)? => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn exists_on(&self, connection: &mut dyn Connection) -> Result<bool, Failure> {
        match connection.run(&self.sql.exists(), PATIENCE, &mut |_| {}) {
            Ok(rows) => Ok(rows > 0),
            Err(failure) if failure.cause == Cause::MissingTable => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Runs `work` on a connection: again on a fresh one if a used one turns out to be dead and `again` allows it, again after a
    /// deadlock, and again after the table was made if it was missing and this cache makes it.
    fn with<T>(&self, again: Again, mut work: impl FnMut(&mut dyn Connection) -> Result<T, Failure>) -> Result<T> {
        let (mut deadlocks, mut made, mut reconnected) = (0, false, false);
        loop {
            let mut lease =
                self.pool.take(again == Again::No, self.makes_table).map_err(|failure| self.explain(failure))?;
            let failure = match work(&mut *lease.connection) {
                Ok(value) => {
                    self.pool.put(lease);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            match failure.cause {
                Cause::MissingTable if self.makes_table && !made => {
                    made = true;
                    self.create_on(&mut *lease.connection).map_err(|failure| self.explain(failure))?;
                    self.pool.put(lease);
                }
                Cause::Deadlock if deadlocks < DEADLOCKS => {
                    deadlocks += 1;
                    self.pool.put(lease);
                }
                Cause::Lost if lease.is_used && again == Again::Yes && !reconnected => {
                    reconnected = true;
                    drop(lease);
                    self.pool.close_idle();
                }
                _ => {
                    if !failure.broken {
                        self.pool.put(lease);
                    }
                    let sent = failure.error.is_connection() && again == Again::No;
                    return Err(self.explain(failure).with_ambiguity(sent));
                }
            }
        }
    }

    /// Runs one statement; the number of rows that it wrote or answered with.
    fn run(&self, again: Again, statement: &Statement<'_>) -> Result<u64> {
        self.with(again, |connection| connection.run(statement, DEFAULT_OPERATION_TIMEOUT, &mut |_| {}))
    }

    /// The first column of the last row of the answer.
    fn ask(&self, statement: &Statement<'_>, limit: Duration) -> Result<Option<String>> {
        self.with(Again::Yes, |connection| first(connection, statement, limit))
    }

    /// The value of a key as it is stored.
    fn text(&self, key: &str, now: &str) -> Result<Option<String>> {
        self.ask(&self.sql.get(key, now), DEFAULT_OPERATION_TIMEOUT)
    }

    /// Makes room before rows are written. A write is not refused because old rows could not be removed.
    fn cull(&self, writes: usize, now: &str) {
        if !self.culling.is_due(writes) {
            return;
        }
        if let Err(error) = self.with(Again::Yes, |connection| self.cull_on(connection, now)) {
            tracing::warn!(table = self.table, %error, "old entries could not be removed");
        }
    }

    fn cull_on(&self, connection: &mut dyn Connection, now: &str) -> Result<(), Failure> {
        let limit = DEFAULT_OPERATION_TIMEOUT;
        let nothing = &mut |_: &[&str]| {};
        if self.culling.share(count(connection, &self.sql, limit)?).is_none() {
            return Ok(());
        }
        if self.culling.frequency == 0 {
            return connection.run(&self.sql.clear(), limit, nothing).map(drop);
        }
        connection.run(&self.sql.delete_expired(now), limit, nothing)?;
        let Some(share) = self.culling.share(count(connection, &self.sql, limit)?) else { return Ok(()) };
        let delete = match first(connection, &self.sql.key_at(share), limit)? {
            Some(key) => return connection.run(&self.sql.delete_below(&key), limit, nothing).map(drop),
            // All of them: there is no key above.
            None => self.sql.clear(),
        };
        connection.run(&delete, limit, nothing).map(drop)
    }

    fn explain(&self, failure: Failure) -> Error {
        let error = failure.error.with_server(format!("{}, table '{}'", self.pool.address().label, self.table));
        if failure.cause == Cause::MissingTable {
            return error.with_hint("Make it with `pinyon create-table` or `manage.py createcachetable`");
        }
        error
    }

    fn info(&self) -> Result<ServerInfo> {
        let said = self.ask(&self.sql.version(), DEFAULT_OPERATION_TIMEOUT)?.unwrap_or_default();
        let start = Instant::now();
        self.with(Again::Yes, |connection| connection.run(&self.sql.look(), DEFAULT_OPERATION_TIMEOUT, &mut |_| {}))?;
        let round_trip = start.elapsed();
        let entries = self.with(Again::Yes, |connection| count(connection, &self.sql, PATIENCE))?;
        let product = match self.pool.address().engine {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
            Engine::MySql if said.contains("MariaDB") => "MariaDB",
            Engine::MySql => "MySQL",
        };
        // After the number comes what the distribution calls it.
        let number = said.split([' ', '-']).next().unwrap_or_default();
        Ok(ServerInfo {
            round_trip,
            version: format!("{product} {number}"),
            entries: u64::try_from(entries).ok(),
            ..ServerInfo::default()
        })
    }
}

impl Store for DatabaseStore {
    fn backend(&self) -> &'static str {
        "database"
    }

    fn check_key(&self, key: &str) -> Result<()> {
        if self.pool.address().engine == Engine::Sqlite {
            return Ok(());
        }
        let reason = if key.chars().count() > KEY_LENGTH {
            format!(
                "the key has more than {KEY_LENGTH} characters with its prefix and version, which is the width of the column"
            )
        } else if key.contains('\0') {
            "the key has a zero character, which the database does not take".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Key, reason).with_hint("Shorten it, for example by hashing its long part"))
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let Some(text) = self.text(key, &now_in_seconds())? else { return Ok(false) };
        visit(Item { bytes: &decode(&text), flags: 0 });
        Ok(true)
    }

    fn set(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let now = now_in_seconds();
        let Some(expires) = expires(expiry) else {
            self.run(Again::Yes, &self.sql.delete(key, &now))?;
            return Ok(true);
        };
        self.cull(1, &now);
        self.run(Again::Yes, &self.sql.set(key, &row::encode(item.bytes), &expires))?;
        Ok(true)
    }

    fn add(&self, key: &str, item: Item<'_>, expiry: Expiry) -> Result<bool> {
        let now = now_in_seconds();
        let Some(expires) = expires(expiry) else { return Ok(!self.has(key)?) };
        self.cull(1, &now);
        let value = row::encode(item.bytes);
        let statements = self.sql.add(key, &value, &expires, &now);
        self.with(Again::No, |connection| {
            let mut written = 0;
            for statement in &statements {
                written = connection.run(statement, DEFAULT_OPERATION_TIMEOUT, &mut |_| {})?;
            }
            Ok(written > 0)
        })
    }

    fn touch(&self, key: &str, expiry: Expiry) -> Result<bool> {
        let now = now_in_seconds();
        let touched = match expires(expiry) {
            Some(expires) => self.run(Again::Yes, &self.sql.touch(key, &expires, &now))?,
            None => self.run(Again::No, &self.sql.delete(key, &now))?,
        };
        Ok(touched > 0)
    }

    fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.run(Again::No, &self.sql.delete(key, &now_in_seconds()))? > 0)
    }

    fn has(&self, key: &str) -> Result<bool> {
        Ok(self.run(Again::Yes, &self.sql.has(key, &now_in_seconds()))? > 0)
    }

    fn incr(&self, key: &str, delta: i64) -> Result<Option<Integer>> {
        // Reads, and writes if the value is still what was read: whoever is too late has been overtaken by somebody who
        // was not, so that the whole always moves on. No row is locked while a client thinks.
        let start = Instant::now();
        while start.elapsed() < DEFAULT_OPERATION_TIMEOUT {
            let now = now_in_seconds();
            let Some(old) = self.text(key, &now)? else { return Ok(None) };
            let number = stored_integer::read(self.serializer, &decode(&old)).ok_or_else(|| {
                Error::new(ErrorKind::NotAnInteger, "the value stored under this key is not an integer")
                    .with_hint("Only an integer can be incremented; set the key to one first")
            })?;
            let sum = number + delta;
            let bytes = stored_integer::write(self.serializer, &sum)?;
            if self.run(Again::No, &self.sql.swap(key, &old, &row::encode(&bytes), &now))? > 0 {
                return Ok(Some(sum));
            }
        }
        let seconds = DEFAULT_OPERATION_TIMEOUT.as_secs();
        let failure =
            Failure::new(ErrorKind::Timeout, format!("others changed the value all the time for {seconds} s"));
        Err(self.explain(failure))
    }

    fn get_many(&self, keys: &[&str], visit: &mut dyn FnMut(usize, Item<'_>)) -> Result<()> {
        let mut wanted: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, key) in keys.iter().enumerate() {
            wanted.entry(key).or_default().push(index);
        }
        let unique: Vec<&str> = wanted.keys().copied().collect();
        let now = now_in_seconds();
        for keys in unique.chunks(KEYS) {
            let statement = self.sql.get_many(keys, &now);
            let found = self.with(Again::Yes, |connection| {
                let mut found: Vec<(&[usize], Vec<u8>)> = Vec::new();
                connection.run(&statement, DEFAULT_OPERATION_TIMEOUT, &mut |row| {
                    // A key that was not asked for is the same to the collation of MySQL, and not to us.
                    if let [key, value] = row
                        && let Some(indexes) = wanted.get::<str>(key)
                    {
                        found.push((indexes, decode(value)));
                    }
                })?;
                Ok(found)
            })?;
            for (indexes, bytes) in &found {
                indexes.iter().for_each(|index| visit(*index, Item { bytes, flags: 0 }));
            }
        }
        Ok(())
    }

    fn set_many(&self, items: &[(&str, Item<'_>)], expiry: Expiry) -> Result<Vec<usize>> {
        // Sorted, so that two writers meet at the first key that both have and not in a deadlock. The last of a key wins.
        let last: BTreeMap<&str, Item<'_>> = items.iter().copied().collect();
        let Some(expires) = expires(expiry) else {
            let keys: Vec<&str> = last.into_keys().collect();
            return self.delete_many(&keys).map(|()| Vec::new());
        };
        if last.is_empty() {
            return Ok(Vec::new());
        }
        self.cull(last.len(), &now_in_seconds());
        let rows: Vec<(&str, String)> = last.into_iter().map(|(key, item)| (key, row::encode(item.bytes))).collect();
        let statements: Vec<Statement<'_>> =
            row::portions(&rows).into_iter().map(|rows| self.sql.set_many(rows, &expires)).collect();
        self.with(Again::Yes, |connection| match &statements[..] {
            [one] => connection.run(one, DEFAULT_OPERATION_TIMEOUT, &mut |_| {}).map(drop),
            several => connection.run_together(several, DEFAULT_OPERATION_TIMEOUT),
        })?;
        Ok(Vec::new())
    }

    fn delete_many(&self, keys: &[&str]) -> Result<()> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        for keys in keys.chunks(KEYS) {
            self.run(Again::Yes, &self.sql.delete_many(keys))?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.with(Again::Yes, |connection| connection.run(&self.sql.clear(), PATIENCE, &mut |_| {})).map(drop)
    }

    fn ttl(&self, key: &str) -> Result<Ttl> {
        let now = row::since_epoch();
        let second = now.as_secs().to_string();
        let expires = self.ask(&self.sql.expires(key, &second), DEFAULT_OPERATION_TIMEOUT)?;
        Ok(row::ttl(expires.as_deref(), now))
    }

    fn check(&self) -> Vec<ServerReport> {
        let server = format!("{}, table '{}'", self.pool.address().label, self.table);
        vec![ServerReport { server, result: self.info() }]
    }
}

fn first(
    connection: &mut dyn Connection,
    statement: &Statement<'_>,
    limit: Duration,
) -> Result<Option<String>, Failure> {
    let mut found = None;
    connection.run(statement, limit, &mut |row| found = row.first().map(|text| (*text).to_owned()))?;
    Ok(found)
}

fn count(connection: &mut dyn Connection, sql: &Sql, limit: Duration) -> Result<i64, Failure> {
    Ok(first(connection, &sql.count(), limit)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}
