//! PostgreSQL and MySQL, through sqlx.
//!
//! sqlx is asynchronous. Each connection has a runtime of one thread, the one that calls, and so no thread of its own, and no
//! thread hands work to another. (A host name is looked up on a thread that ends by itself.)

use super::connection::{Cause, Connection, Failure, Statement};
use crate::error::ErrorKind;
use crate::settings::DEFAULT_CONNECT_TIMEOUT;
#[cfg(feature = "mysql")]
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Row};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

/// A statement of ours for sqlx. It is safe: the name of the table is quoted, and everything else is a parameter.
macro_rules! query {
    ($statement:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($statement.sql.clone())).persistent($statement.kept);
        for parameter in &$statement.parameters {
            query = query.bind(&**parameter);
        }
        query
    }};
}

macro_rules! client {
    ($(#[$doc:meta])* $name:ident, $connection:ty, $options:ty, $configure:expr) => {
        $(#[$doc])*
        pub(super) struct $name {
            /// None once it failed, and while it is being dropped.
            connection: Option<$connection>,
            runtime: Option<Runtime>,
        }

        impl $name {
            /// Connects and logs in.
            pub(super) fn open(url: &str) -> Result<Self, Failure> {
                let options: $options = url.parse().map_err(|error| judge(error, true))?;
                // A statement is no secret, but it comes with every operation.
                let options = $configure(options).disable_statement_logging();
                let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
                    Failure::new(ErrorKind::Unreachable, format!("no runtime could be started: {error}"))
                })?;
                let mut client = Self { connection: None, runtime: Some(runtime) };
                let connection = client.wait(DEFAULT_CONNECT_TIMEOUT, async |_| options.connect().await, true)?;
                client.connection = Some(connection);
                Ok(client)
            }

            /// Runs `work` on this thread, for at most `limit`. The connection stays behind only if all went well with it.
            fn wait<T: Send>(
                &mut self,
                limit: Duration,
                work: impl AsyncFnOnce(&mut Option<$connection>) -> Result<T, sqlx::Error> + Send,
                connecting: bool,
            ) -> Result<T, Failure>
            {
                let Some(runtime) = &self.runtime else { return Err(closed()) };
                let connection = &mut self.connection;
                let run = move || runtime.block_on(async move { timeout(limit, work(connection)).await });
                let failure = match on_a_thread_without_runtime(run) {
                    Ok(Ok(value)) => return Ok(value),
                    Ok(Err(error)) => judge(error, connecting),
                    Err(_) => late(limit, connecting),
                };
                if failure.broken {
                    self.connection = None;
                }
                Err(failure)
            }
        }

        impl Connection for $name {
            fn run(
                &mut self,
                statement: &Statement<'_>,
                limit: Duration,
                row: &mut dyn FnMut(&[&str]),
            ) -> Result<u64, Failure> {
                if !statement.answers {
                    return self.wait(
                        limit,
                        async |connection| {
                            let connection = connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
                            Ok(query!(statement).execute(connection).await?.rows_affected())
                        },
                        false,
                    );
                }
                let rows = self.wait(
                    limit,
                    async |connection| {
                        let connection = connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
                        query!(statement).fetch_all(connection).await
                    },
                    false,
                )?;
                for found in &rows {
                    // Null, or what is no text: as good as nothing, no serializer reads it.
                    let texts = (0..found.len()).map(|column| found.try_get_unchecked(column).unwrap_or_default());
                    row(&texts.collect::<Vec<&str>>());
                }
                Ok(rows.len() as u64)
            }

            fn run_together(&mut self, statements: &[Statement<'_>], limit: Duration) -> Result<(), Failure> {
                self.wait(
                    limit,
                    async |connection| {
                        let connection = connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
                        let mut transaction = connection.begin().await?;
                        for statement in statements {
                            query!(statement).execute(&mut *transaction).await?;
                        }
                        transaction.commit().await
                    },
                    false,
                )
            }

            fn is_alive(&mut self, limit: Duration) -> bool {
                let ping = async |connection: &mut Option<$connection>| {
                    connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?.ping().await
                };
                self.wait(limit, ping, false).is_ok()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if let Some(runtime) = self.runtime.take() {
                    let inside = runtime.enter();
                    self.connection = None;
                    drop(inside);
                    // Waits for nobody, and so may happen anywhere, within another runtime too.
                    runtime.shutdown_background();
                }
            }
        }
    };
}

#[cfg(feature = "postgres")]
client!(
    /// One connection to PostgreSQL.
    Postgres, sqlx::PgConnection, sqlx::postgres::PgConnectOptions, |options: sqlx::postgres::PgConnectOptions| {
        options.application_name("pinyon")
    }
);

#[cfg(feature = "mysql")]
client!(
    /// One connection to MySQL or MariaDB.
    MySql, sqlx::MySqlConnection, sqlx::mysql::MySqlConnectOptions, std::convert::identity
);

/// Runs `work` here, or, if this thread belongs to a runtime, which may not wait for another, on a thread of its own.
fn on_a_thread_without_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Handle::try_current().is_err() {
        return work();
    }
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn closed() -> Failure {
    Failure::new(ErrorKind::Disconnected, "the connection is closed").with_cause(Cause::Lost).fatal()
}

fn late(limit: Duration, connecting: bool) -> Failure {
    let what = if connecting { "no connection" } else { "no answer" };
    Failure::new(ErrorKind::Timeout, format!("{what} within {} s", limit.as_secs_f64())).fatal()
}

/// What an error means. The text of a database's own error names tables and columns and repeats no parameter; its detail, which
/// may, is left out.
#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn judge(error: sqlx::Error, connecting: bool) -> Failure {
    match &error {
        sqlx::Error::Database(said) => judge_answer(&**said),
        sqlx::Error::Io(cause) if connecting => {
            Failure::new(ErrorKind::Unreachable, format!("the database is not running or not reachable: {cause}"))
                .with_hint("Start the server there, or correct DATABASE_URL")
                .fatal()
        }
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            Failure::new(ErrorKind::Disconnected, "the connection was lost").with_cause(Cause::Lost).fatal()
        }
        sqlx::Error::Tls(cause) => Failure::new(ErrorKind::Tls, format!("TLS could not be set up: {cause}")).fatal(),
        sqlx::Error::Configuration(_) => Failure::new(ErrorKind::Config, "DATABASE_URL cannot be used")
            .with_hint("Check its options, and that / ? # @ in a password are percent-encoded")
            .fatal(),
        sqlx::Error::Protocol(_) => {
            Failure::new(ErrorKind::Protocol, "what answers there is no such database, or a broken one").fatal()
        }
        _ => Failure::new(ErrorKind::Server, "the database gave an answer that cannot be used").fatal(),
    }
}

fn judge_answer(said: &dyn sqlx::error::DatabaseError) -> Failure {
    let code = said.code().unwrap_or_default();
    // MySQL's own number says more than its SQLSTATE, PostgreSQL has the latter only.
    #[cfg(feature = "mysql")]
    let number = said.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number);
    #[cfg(not(feature = "mysql"))]
    let number = 0_u16;
    let failure = |kind| Failure::new(kind, said.message());
    match (number, &*code) {
        (1146, _) | (_, "42P01") => failure(ErrorKind::Server).with_cause(Cause::MissingTable),
        (1213 | 1205, _) | (_, "40P01" | "40001") => failure(ErrorKind::Server).with_cause(Cause::Deadlock),
        (1044 | 1045 | 1698, _) | (_, "28P01" | "28000" | "42501") => failure(ErrorKind::Auth)
            .with_hint("Check user name and password in DATABASE_URL, and what that user may do"),
        (1049, _) | (_, "3D000") => {
            failure(ErrorKind::Config).with_hint("Create the database, or correct its name in DATABASE_URL")
        }
        // The server is going down, or ended this session: 57P01 to 57P05, and class 08.
        (1053 | 1927 | 4031, _) => failure(ErrorKind::Disconnected).with_cause(Cause::Lost).fatal(),
        (_, code) if code.starts_with("57P") || code.starts_with("08") => {
            failure(ErrorKind::Disconnected).with_cause(Cause::Lost).fatal()
        }
        _ => failure(ErrorKind::Server),
    }
}
