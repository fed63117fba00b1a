//! Real servers for tests: `redis-server` and `memcached` on free loopback ports, stopped when they are dropped.
//!
//! ```ignore
//! mod servers;
//! let redis = servers::redis().password("secret").start();
//! let memcached = servers::memcached().item_size("2m").start();
//! ```
#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(unexpected_cfgs, reason = "the tests of the program use them too, and it has no feature tokio")]
#![allow(unreachable_pub, reason = "a module of many test files, not of one crate")]

pub mod certificates;
pub mod client;
pub mod cluster;
pub mod databases;
pub mod fake;

use self::certificates::Certificates;
use pinyon::settings::Address;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HOST: &str = "127.0.0.1";
/// The file that a Sentinel keeps its state in.
const CONFIGURATION: &str = "sentinel.conf";

/// How long a server may take to answer before a test fails. Nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis server with an empty data set and no persistence; change it, then [`Builder::start`] it.
pub fn redis() -> Builder {
    Builder::new(Program::Redis)
}

/// A Redis Sentinel that watches `primary` under the name `mymaster`, and replaces it when `quorum` Sentinels have missed it for
/// half a second; change it, then [`Builder::start`] it.
pub fn sentinel(primary: &Server, quorum: usize) -> Builder {
    let mut builder = Builder::new(Program::Sentinel);
    let mut lines = vec![format!("sentinel monitor mymaster {HOST} {} {quorum}", primary.port)];
    lines.extend(primary.password.iter().map(|password| format!("sentinel auth-pass mymaster {password}")));
    lines.push("sentinel down-after-milliseconds mymaster 500".to_owned());
    lines.push("sentinel failover-timeout mymaster 3000".to_owned());
    lines.push("sentinel parallel-syncs mymaster 2".to_owned());
    builder.configuration = Some(lines.join("\n") + "\n");
    builder
}

/// A Memcached server; change it, then [`Builder::start`] it.
pub fn memcached() -> Builder {
    Builder::new(Program::Memcached)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Redis,
    Sentinel,
    Memcached,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Redis | Self::Sentinel => "redis-server",
            Self::Memcached => "memcached",
        }
    }
}

/// A server that is not started yet.
#[derive(Debug)]
pub struct Builder {
    program: Program,
    arguments: Vec<String>,
    password: Option<String>,
    on_unix_socket: bool,
    with_tls: bool,
    primary_port: Option<u16>,
    configuration: Option<String>,
}

impl Builder {
    fn new(program: Program) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            password: None,
            on_unix_socket: false,
            with_tls: false,
            primary_port: None,
            configuration: None,
        }
    }

    /// Adds an argument as it stands.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn arguments<const N: usize>(self, arguments: [&str; N]) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    /// Redis and Sentinel: clients must log in with this password (`requirepass`).
    pub fn password(mut self, password: &str) -> Self {
        assert_ne!(self.program, Program::Memcached);
        self.password = Some(password.to_owned());
        match self.program {
            Program::Sentinel => self.arguments(["--requirepass", password]),
            _ => self.arguments(["--requirepass", password, "--masterauth", password]),
        }
    }

    /// Listens on [`Server::unix_socket`]: Redis there too, Memcached only there.
    pub fn unix_socket(mut self) -> Self {
        self.on_unix_socket = true;
        self
    }

    /// Redis and Sentinel: listens on [`Server::tls_port`] too, and asks for a client certificate if `verify_clients`.
    pub fn tls(mut self, certificates: &Certificates, verify_clients: bool) -> Self {
        assert_ne!(self.program, Program::Memcached);
        self.with_tls = true;
        let path = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        self.arguments([
            "--tls-cert-file",
            &path(certificates.server_certificate()),
            "--tls-key-file",
            &path(certificates.server_key()),
            "--tls-ca-cert-file",
            &path(certificates.authority()),
            "--tls-auth-clients",
            if verify_clients { "yes" } else { "no" },
        ])
    }

    /// Redis: follows `primary`, whose password it shares, and has everything that `primary` has when [`Builder::start`]
    /// returns.
    pub fn replica_of(mut self, primary: &Server) -> Self {
        assert_eq!((self.program, primary.program), (Program::Redis, Program::Redis));
        self.primary_port = Some(primary.port);
        self.arguments(["--replicaof", HOST, &primary.port.to_string()])
    }

    /// Memcached: the largest item, for example `2m` (default 1 MB; `-I`).
    pub fn item_size(self, size: &str) -> Self {
        assert_eq!(self.program, Program::Memcached);
        self.arguments(["-I", size])
    }

    /// Starts the server and waits until it answers.
    pub fn start(self) -> Server {
        let mut server = Server {
            program: self.program,
            arguments: self.arguments,
            password: self.password,
            on_unix_socket: self.on_unix_socket,
            with_tls: self.with_tls,
            primary_port: self.primary_port,
            directory: tempfile::Builder::new().prefix("pinyon-server-").tempdir().expect("a temporary directory"),
            port: 0,
            tls_port: 0,
            process: None,
        };
        if let Some(configuration) = self.configuration {
            std::fs::write(server.directory.path().join(CONFIGURATION), configuration).expect("a configuration file");
        }
        // Another process may take a port between the moment that it was found free and the start of the server.
        for _ in 0..10 {
            (server.port, server.tls_port) = free_ports();
            if server.try_start() {
                return server;
            }
        }
        panic!("{} does not start. {}", server.program.name(), server.log());
    }
}

/// A running server on loopback. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    program: Program,
    arguments: Vec<String>,
    password: Option<String>,
    on_unix_socket: bool,
    with_tls: bool,
    primary_port: Option<u16>,
    directory: TempDir,
    port: u16,
    tls_port: u16,
    process: Option<Child>,
}

impl Server {
    /// The TCP port without TLS. It stays the same over [`Server::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP port with TLS.
    pub fn tls_port(&self) -> u16 {
        assert!(self.with_tls, "the server was started without tls()");
        self.tls_port
    }

    /// The path of the unix socket.
    pub fn unix_socket(&self) -> PathBuf {
        assert!(self.on_unix_socket, "the server was started without unix_socket()");
        self.socket_path()
    }

    /// The address as settings have it: the TCP port, or the unix socket of a Memcached that listens there only.
    pub fn address(&self) -> Address {
        if self.is_on_unix_socket_only() {
            Address::Unix(self.socket_path())
        } else {
            Address::Tcp { host: HOST.to_owned(), port: self.port }
        }
    }

    /// The process id, while the server runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends the process at once, as a crash does. Its data are gone; its connections are closed by the system.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            process.wait().expect("the end of the server");
        }
    }

    /// Stops the server if it runs, and starts it empty on the same port.
    pub fn restart(&mut self) {
        self.stop();
        // The port may be in use for a moment: connections from here take their local ports from the same range.
        let start = Instant::now();
        while !self.try_start() {
            assert!(start.elapsed() < PATIENCE, "{} does not start again. {}", self.program.name(), self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Starts the server again, empty and as a replica of `primary`.
    pub fn restart_as_replica_of(&mut self, primary: &Self) {
        self.primary_port = Some(primary.port);
        self.arguments.extend(["--replicaof", HOST, &primary.port.to_string()].map(str::to_owned));
        self.restart();
    }

    /// Freezes the process: connections are accepted by the system and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // The signal has been sent then, but a thread on another processor may still answer.
        let process = Pid::from_child(self.process.as_ref().expect("a running server"));
        let status = waitpid(Some(process), WaitOptions::UNTRACED).expect("the state of the server");
        assert!(status.is_some_and(|(_, status)| status.stopped()), "the server ended in place of stopping");
    }

    /// Lets a frozen process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process(Pid::from_child(process), signal).expect("a signal to the server");
    }

    /// Sends one line past any client of ours and returns the raw answer: `ask("GET key")`, `ask("mg key v")`.
    ///
    /// # Errors
    /// Those of the connection, and a timeout after 5 s.
    pub fn ask(&self, line: &str) -> io::Result<String> {
        self.ask_port(self.port, line)
    }

    fn ask_port(&self, port: u16, line: &str) -> io::Result<String> {
        let before = self.password.as_ref().map(|password| format!("AUTH {password}\r\n")).unwrap_or_default();
        let after = match self.program {
            Program::Redis => "QUIT\r\n",
            // It does not know QUIT.
            Program::Sentinel => "",
            Program::Memcached => "quit\r\n",
        };
        let request = format!("{before}{line}\r\n{after}");
        let answer = if self.is_on_unix_socket_only() {
            exchange(UnixStream::connect(self.socket_path())?, request.as_bytes(), UnixStream::set_read_timeout)?
        } else {
            let stream = TcpStream::connect((HOST, port))?;
            let end = stream.try_clone()?;
            let said = |stream: &TcpStream, timeout| {
                stream.set_read_timeout(timeout)?;
                if after.is_empty() { end.shutdown(Shutdown::Write) } else { Ok(()) }
            };
            exchange(stream, request.as_bytes(), said)?
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if self.program == Program::Memcached {
            return Ok(answer);
        }
        // Redis answers +OK to AUTH and to QUIT.
        let answer = if before.is_empty() { &answer } else { answer.strip_prefix("+OK\r\n").unwrap_or(&answer) };
        Ok(answer.strip_suffix("+OK\r\n").unwrap_or(answer).to_owned())
    }

    /// False if the process ended before it answered.
    fn try_start(&mut self) -> bool {
        let log = File::create(self.directory.path().join("log")).expect("a log file");
        let mut command = Command::new(self.program.name());
        command.args(self.own_arguments()).args(&self.arguments).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => panic!(
                "{} is not installed: install redis-server and memcached (make test does it)",
                self.program.name()
            ),
            _ => panic!("{} cannot be started: {error}", self.program.name()),
        });
        self.process = Some(process);
        let start = Instant::now();
        while !self.answers() {
            let process = self.process.as_mut().expect("the process that was just started");
            if process.try_wait().expect("the state of the server").is_some() {
                self.process = None;
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not answer. {}", self.program.name(), self.log());
            sleep(Duration::from_millis(5));
        }
        true
    }

    fn own_arguments(&self) -> Vec<String> {
        let port = self.port.to_string();
        let socket = self.socket_path().to_str().expect("a path in UTF-8").to_owned();
        let mut arguments = match self.program {
            Program::Redis => vec!["--bind", HOST, "--port", &port, "--save", "", "--appendonly", "no"],
            Program::Sentinel => vec![CONFIGURATION, "--sentinel", "--bind", HOST, "--port", &port],
            // Memcached wants to be told which user to run as if it is started by root, and ignores it otherwise.
            Program::Memcached => vec!["-U", "0", "-t", "2", "-u", "root"],
        };
        let tls_port = self.tls_port.to_string();
        match self.program {
            Program::Redis => {
                // A replica gets its copy at once rather than after the usual 5 s of waiting for others.
                arguments.extend(["--repl-diskless-sync-delay", "0"]);
                if self.on_unix_socket {
                    arguments.extend(["--unixsocket", &socket]);
                }
                if self.with_tls {
                    arguments.extend(["--tls-port", &tls_port]);
                }
            }
            Program::Sentinel if self.with_tls => arguments.extend(["--tls-port", &tls_port]),
            Program::Sentinel => {}
            Program::Memcached if self.on_unix_socket => arguments.extend(["-s", &socket]),
            Program::Memcached => arguments.extend(["-l", HOST, "-p", &port]),
        }
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// Whether it is this process that answers, and not another one that got the port first.
    fn answers(&self) -> bool {
        let id = self.process_id().expect("a running server");
        let says = |port: u16, question: &str, expected: &str| {
            self.ask_port(port, question).is_ok_and(|answer| answer.lines().any(|line| line == expected))
        };
        match self.program {
            Program::Redis => {
                says(self.port, "INFO server", &format!("process_id:{id}"))
                    && self.primary_port.is_none_or(|primary| {
                        says(self.port, "INFO replication", "master_link_status:up")
                            // The process that made the copy has been waited for: it would outlive a stopped primary.
                            && says(primary, "INFO persistence", "rdb_bgsave_in_progress:0")
                    })
            }
            Program::Sentinel => says(self.port, "INFO server", &format!("process_id:{id}")),
            Program::Memcached => says(self.port, "stats", &format!("STAT pid {id}")),
        }
    }

    fn is_on_unix_socket_only(&self) -> bool {
        self.on_unix_socket && self.program == Program::Memcached
    }

    fn socket_path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn log(&self) -> String {
        let log = read_to_string(&self.directory.path().join("log"));
        if log.is_empty() { "It said nothing.".to_owned() } else { format!("It said:\n{log}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_to_string(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Two ports that are free at this moment.
fn free_ports() -> (u16, u16) {
    // Both are held until both are known, so that they differ.
    let listeners = [0, 0].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port"));
    let [first, second] = listeners.each_ref().map(|listener| listener.local_addr().expect("its address").port());
    (first, second)
}

fn exchange<S: Read + Write>(
    mut stream: S,
    request: &[u8],
    wait_for_answer: impl Fn(&S, Option<Duration>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    wait_for_answer(&stream, Some(Duration::from_secs(5)))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
