//! Real PostgreSQL and MariaDB servers for tests, on free loopback ports, with their data in a temporary directory.
//!
//! Their database is `shop`, their user `pinyon`, and the password of that user [`PASSWORD`]. PostgreSQL refuses to run as
//! root: it then runs as `nobody`.

use super::{HOST, PATIENCE, free_ports, read_to_string};
use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The password of the user of both servers. Every character of it must be percent-encoded in a URL.
pub const PASSWORD: &str = "s3cret/?#@";
/// [`PASSWORD`] in a URL.
pub const PASSWORD_IN_URL: &str = "s3cret%2F%3F%23%40";

/// The user and the group `nobody`.
const NOBODY: u32 = 65534;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Postgres,
    MariaDb,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Database {
    product: Product,
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

/// Starts a PostgreSQL server with an empty database.
pub fn postgres() -> Database {
    start(Product::Postgres)
}

/// Starts a MariaDB server with an empty database, whose collation tells all keys apart.
pub fn mariadb() -> Database {
    start(Product::MariaDb)
}

fn start(product: Product) -> Database {
    let directory = tempfile::Builder::new().prefix("pinyon-database-").tempdir().expect("a temporary directory");
    let mut database = Database { product, directory, port: 0, process: None };
    database.initialize();
    // Another process may take a port between the moment that it was found free and the start of the server.
    for _ in 0..10 {
        database.port = free_ports().0;
        if database.try_start() {
            database.make_shop();
            return database;
        }
    }
    panic!("{product:?} does not start. It said:\n{}", database.log());
}

impl Database {
    /// The address as settings have it.
    pub fn url(&self) -> String {
        let scheme = if self.product == Product::Postgres { "postgres" } else { "mysql" };
        format!("{scheme}://pinyon:{PASSWORD_IN_URL}@{HOST}:{}/shop", self.port)
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        read_to_string(&self.path("log"))
    }

    /// Runs SQL past any client of ours; the answer a line a row, columns separated by `|` or tabs.
    pub fn ask(&self, sql: &str) -> String {
        let output = self.client("shop").args(["-c", sql]).output();
        let output =
            output.unwrap_or_else(|error| panic!("the client of {:?} cannot be started: {error}", self.product));
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// Ends the process at once, and all of its connections with it. The data stay.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // SIGQUIT is PostgreSQL's immediate shutdown; a killed one would leave its children behind.
        let process_id = rustix::process::Pid::from_child(&process);
        let _ = rustix::process::kill_process(process_id, rustix::process::Signal::QUIT);
        if self.product == Product::MariaDb {
            let _ = process.kill();
        }
        process.wait().expect("the end of the server");
    }

    /// Stops the server and starts it on the same port with the same data.
    pub fn restart(&mut self) {
        self.stop();
        let start = Instant::now();
        while !self.try_start() {
            assert!(start.elapsed() < PATIENCE, "{:?} does not start again. It said:\n{}", self.product, self.log());
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A program of this server, as the user that it may run as.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(find(name));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        if self.product == Product::Postgres && rustix::process::getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn initialize(&self) {
        let mut command = match self.product {
            Product::Postgres => {
                if rustix::process::getuid().is_root() {
                    chown(self.directory.path(), Some(NOBODY), Some(NOBODY)).expect("a directory for nobody");
                }
                std::fs::write(self.path("password"), PASSWORD).expect("a file for the password");
                let mut command = self.command("initdb");
                command.args(["-D", &self.text("data"), "-U", "pinyon", "--pwfile", &self.text("password")]);
                command.args(["--auth=scram-sha-256", "--no-sync", "-E", "UTF8", "--no-locale"]);
                command
            }
            Product::MariaDb => {
                let mut command = self.command("mariadb-install-db");
                command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
                command.args(["--skip-name-resolve", &format!("--datadir={}", self.text("data"))]);
                if rustix::process::getuid().is_root() {
                    command.arg("--user=root");
                }
                command
            }
        };
        let output = command.output().unwrap_or_else(|error| {
            panic!("{:?} is not installed: install postgresql and mariadb-server ({error})", self.product)
        });
        assert!(output.status.success(), "{:?}: {}", self.product, String::from_utf8_lossy(&output.stderr));
    }

    /// False if the process ended before it answered.
    fn try_start(&mut self) -> bool {
        let port = self.port.to_string();
        let mut command = match self.product {
            Product::Postgres => {
                let mut command = self.command("postgres");
                command.args(["-D", &self.text("data"), "-h", HOST, "-p", &port, "-c", "fsync=off"]);
                command.args(["-c", "unix_socket_directories=", "-c", "log_min_messages=warning"]);
                command
            }
            Product::MariaDb => {
                let mut command = self.command("mariadbd");
                command.args(["--no-defaults", "--bind-address", HOST, "--port", &port, "--skip-name-resolve"]);
                command.args(["--datadir", &self.text("data"), "--socket", &self.text("socket")]);
                command.args(["--pid-file", &self.text("pid"), "--innodb-flush-log-at-trx-commit=2"]);
                if rustix::process::getuid().is_root() {
                    command.args(["--user", "root"]);
                }
                command
            }
        };
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log file");
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        self.process = Some(command.spawn().expect("a server"));
        let start = Instant::now();
        while !self.answers() {
            let process = self.process.as_mut().expect("the process that was just started");
            if process.try_wait().expect("the state of the server").is_some() {
                self.process = None;
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "{:?} does not answer. It said:\n{}", self.product, self.log());
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// Whether it is this process that answers, and not another one that got the port first.
    fn answers(&self) -> bool {
        match self.product {
            // The last line of this file is the state of the server that owns the directory.
            Product::Postgres => read_to_string(&self.path("data/postmaster.pid"))
                .lines()
                .nth(7)
                .is_some_and(|line| line.trim() == "ready"),
            // The socket is in a directory of its own.
            Product::MariaDb => {
                self.client("mysql").args(["-c", "SELECT 1"]).output().is_ok_and(|output| output.status.success())
            }
        }
    }

    fn make_shop(&self) {
        let statements = match self.product {
            Product::Postgres => "CREATE DATABASE shop".to_owned(),
            Product::MariaDb => format!(
                "CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
                 CREATE USER pinyon@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO pinyon@'%'"
            ),
        };
        let first = if self.product == Product::Postgres { "postgres" } else { "mysql" };
        let output = self.client(first).args(["-c", &statements]).output().expect("the client of the server");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The server's own client, which gets `-c` and SQL.
    fn client(&self, database: &str) -> Command {
        match self.product {
            Product::Postgres => {
                let mut command = self.command("psql");
                command.args(["-X", "-A", "-t", "-q", "-h", HOST, "-p", &self.port.to_string(), "-U", "pinyon"]);
                command.args(["-d", database]).env("PGPASSWORD", PASSWORD);
                command
            }
            Product::MariaDb => {
                // Its -c is something else: a shell function makes one form of both.
                let mut command = self.command("sh");
                let script = r#"exec "$0" --no-defaults --batch --skip-column-names --user root --socket "$1" "$2" --execute "$4""#;
                command.args(["-c", script]).arg(find("mariadb")).args([&self.text("socket"), database]);
                command
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program by its name: on the path, or where Debian puts the servers' own.
fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    if let Ok(versions) = Path::new("/usr/lib/postgresql").read_dir() {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.into_iter().map(|place| place.join(name)).find(|program| program.is_file()).unwrap_or_else(|| name.into())
}
