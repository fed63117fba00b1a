//! The floor of every client: write the bytes of one command to a blocking socket and read the bytes of its reply.
//!
//!     bare_socket redis|memcached PORT TURN_NANOSECONDS NAME=BYTES...
//!
//! NAME=BYTES says how long the value of that name is. The bench compiles it with rustc; it speaks like worker.py.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const KEYS: usize = 100;

/// A request, and the reply that has to come.
struct Exchange {
    request: Vec<u8>,
    reply: Vec<u8>,
}

fn bulk(item: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", item.len()).as_bytes(), item, b"\r\n"].concat()
}

fn redis_command(items: &[&[u8]]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", items.len()).into_bytes();
    for item in items {
        command.extend(bulk(item));
    }
    command
}

fn redis(operation: &str, key: &str, value: &[u8]) -> Option<Exchange> {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("{key}-{number}")).collect();
    let set = |key: &str| redis_command(&[b"SET", key.as_bytes(), value, b"EX", b"3600"]);
    Some(match operation {
        "get" => Exchange { request: redis_command(&[b"GET", key.as_bytes()]), reply: bulk(value) },
        "miss" => Exchange { request: redis_command(&[b"GET", b"bare-absent"]), reply: b"$-1\r\n".to_vec() },
        "set" => Exchange { request: set(key), reply: b"+OK\r\n".to_vec() },
        "get_many" => {
            let items: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
            let reply = [format!("*{KEYS}\r\n").into_bytes(), bulk(value).repeat(KEYS)].concat();
            Exchange { request: redis_command(&items), reply }
        }
        "set_many" => {
            Exchange { request: keys.iter().flat_map(|key| set(key)).collect(), reply: b"+OK\r\n".repeat(KEYS) }
        }
        _ => return None,
    })
}

fn memcached(operation: &str, key: &str, value: &[u8]) -> Option<Exchange> {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("{key}-{number}")).collect();
    let set = |key: &str| [format!("set {key} 0 3600 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    let found = |key: &str| [format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    Some(match operation {
        "get" => Exchange {
            request: format!("get {key}\r\n").into_bytes(),
            reply: [found(key), b"END\r\n".to_vec()].concat(),
        },
        "miss" => Exchange { request: b"get bare-absent\r\n".to_vec(), reply: b"END\r\n".to_vec() },
        "set" => Exchange { request: set(key), reply: b"STORED\r\n".to_vec() },
        "get_many" => Exchange {
            request: format!("get {}\r\n", keys.join(" ")).into_bytes(),
            reply: [keys.iter().flat_map(|key| found(key)).collect(), b"END\r\n".to_vec()].concat(),
        },
        "set_many" => {
            Exchange { request: keys.iter().flat_map(|key| set(key)).collect(), reply: b"STORED\r\n".repeat(KEYS) }
        }
        _ => return None,
    })
}

/// One connection, and the cases that are prepared, with how often each goes into a turn.
struct Client {
    stream: TcpStream,
    build: fn(&str, &str, &[u8]) -> Option<Exchange>,
    turn_ns: f64,
    sizes: HashMap<String, usize>,
    ready: HashMap<String, (Exchange, u64)>,
}

impl Client {
    /// Exchange once, and say whether the reply is right.
    fn is_right(&mut self, exchange: &Exchange) -> io::Result<bool> {
        let mut reply = vec![0; exchange.reply.len()];
        self.stream.write_all(&exchange.request)?;
        self.stream.read_exact(&mut reply)?;
        Ok(reply == exchange.reply)
    }

    fn nanoseconds(&mut self, exchange: &Exchange, count: u64) -> io::Result<u128> {
        let mut reply = vec![0; exchange.reply.len()];
        let start = Instant::now();
        for _ in 0..count {
            self.stream.write_all(&exchange.request)?;
            self.stream.read_exact(&mut reply)?;
        }
        Ok(start.elapsed().as_nanos())
    }

    fn prepare(&mut self, case: &str) -> io::Result<String> {
        let (operation, name) = case.split_once('/').unwrap_or((case, ""));
        let value = vec![b'x'; self.sizes.get(name).copied().unwrap_or_default()];
        let key = format!("bare-{}", name);
        let build = self.build;
        let Some(exchange) = build(operation, &key, &value) else {
            return Ok("unsupported".into());
        };
        // What is read is written first.
        for write in ["set", "set_many"].into_iter().filter_map(|write| build(write, &key, &value)) {
            self.is_right(&write)?;
        }
        if !self.is_right(&exchange)? {
            return Ok("wrong another reply came".into());
        }
        let warm_up = self.nanoseconds(&exchange, 20)?.max(1) as f64;
        let count = (20.0 * self.turn_ns / warm_up).max(1.0) as u64;
        self.ready.insert(case.to_owned(), (exchange, count));
        Ok("ok".into())
    }

    fn turn(&mut self, case: &str) -> io::Result<String> {
        let Some((exchange, count)) = self.ready.remove(case) else {
            return Err(io::Error::other("not prepared"));
        };
        let elapsed = self.nanoseconds(&exchange, count)?;
        self.ready.insert(case.to_owned(), (exchange, count));
        Ok(format!("{count} {elapsed}"))
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, port, turn_ns, sizes @ ..] = arguments.as_slice() else {
        return Err(io::Error::other("bare_socket redis|memcached PORT TURN_NANOSECONDS NAME=BYTES..."));
    };
    let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    stream.set_nodelay(true)?;
    let sizes = sizes
        .iter()
        .filter_map(|size| size.split_once('='))
        .filter_map(|(name, bytes)| Some((name.to_owned(), bytes.parse().ok()?)));
    let mut client = Client {
        stream,
        build: if kind == "redis" { redis } else { memcached },
        turn_ns: turn_ns.parse().map_err(io::Error::other)?,
        sizes: sizes.collect(),
        ready: HashMap::new(),
    };
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ').unwrap_or_default() {
            ("prepare", case) => client.prepare(case)?,
            ("turn", rest) => client.turn(rest.split_once(' ').unwrap_or_default().1)?,
            _ => return Err(io::Error::other("neither prepare nor turn")),
        };
        println!("{answer}");
    }
    Ok(())
}
