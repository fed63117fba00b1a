//! Runs the real program `pinyon`.
#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(unreachable_pub, reason = "a module of many test files, not of one crate")]

use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// What it printed, if it was content and had nothing to complain about.
    pub fn said(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// What it complained of, with this exit status and nothing printed.
    pub fn failed(self, status: i32) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (status, ""), "{self:?}");
        self.stderr
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// The program, with none of its variables set and no terminal.
pub fn command<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinyon"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["PINYON_SETTINGS", "CACHE_URL", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().expect("a run of pinyon");
    Outcome {
        status: output.status.code().expect("an exit status"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs it with these arguments.
pub fn pinyon<const N: usize>(arguments: [&str; N]) -> Outcome {
    run(&mut command(arguments))
}

/// A port on which nobody listens.
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A settings file in `folder`.
pub fn settings(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a settings file");
    path
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
