//! The servers that other tests start: that they answer, stop, come back, freeze, and are who they say.

mod servers;

use pinyon::settings::Address;
use rustix::process::{Pid, test_kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use servers::certificates::Certificates;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn redis_comes_back_empty_on_the_same_port() {
    let mut redis = servers::redis().start();
    let (port, process) = (redis.port(), redis.process_id());
    assert_eq!(redis.ask("SET key value").unwrap(), "+OK\r\n");
    assert_eq!(redis.ask("GET key").unwrap(), "$5\r\nvalue\r\n");
    redis.stop();
    assert!(redis.ask("PING").is_err());
    redis.restart();
    assert_eq!((redis.port(), redis.ask("GET key").unwrap().as_str()), (port, "$-1\r\n"));
    assert_ne!(redis.process_id(), process);
}

#[test]
fn a_dropped_server_is_gone() {
    let redis = servers::redis().start();
    let process = Pid::from_raw(redis.process_id().unwrap().try_into().unwrap()).unwrap();
    assert!(test_kill_process(process).is_ok());
    drop(redis);
    assert!(test_kill_process(process).is_err());
}

#[test]
fn redis_listens_with_a_password_on_a_unix_socket_and_with_tls() {
    let certificates = Certificates::for_loopback();
    let redis = servers::redis().password("secret").unix_socket().tls(&certificates, true).start();
    assert_eq!(redis.ask("PING").unwrap(), "+PONG\r\n");
    let mut socket = UnixStream::connect(redis.unix_socket()).unwrap();
    socket.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("-NOAUTH"), "{answer}");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.authority()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificates.client_certificate()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.client_key()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", redis.tls_port())).unwrap();
    let mut tls = rustls::Stream::new(&mut client, &mut stream);
    tls.write_all(b"AUTH secret\r\nPING\r\n").unwrap();
    let mut answer = [0; 12];
    tls.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n+PONG\r\n");
}

#[test]
fn a_replica_has_what_its_primary_had() {
    let primary = servers::redis().password("secret").start();
    primary.ask("SET key value").unwrap();
    let replica = servers::redis().password("secret").replica_of(&primary).start();
    assert_eq!(replica.ask("GET key").unwrap(), "$5\r\nvalue\r\n");
    assert!(replica.ask("SET key other").unwrap().starts_with("-READONLY"));
}

#[test]
fn a_frozen_server_answers_when_it_is_let_go() {
    let memcached = servers::memcached().start();
    memcached.pause();
    let mut stream = TcpStream::connect(("127.0.0.1", memcached.port())).unwrap();
    stream.write_all(b"mn\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answer = [0; 4];
    assert!(stream.read_exact(&mut answer).is_err());
    memcached.resume();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"MN\r\n");
}

#[test]
fn memcached_comes_back_and_has_its_item_size() {
    let mut memcached = servers::memcached().item_size("2m").start();
    assert_eq!(memcached.address(), Address::Tcp { host: "127.0.0.1".into(), port: memcached.port() });
    memcached.restart();
    assert!(memcached.ask("stats settings").unwrap().contains("STAT item_size_max 2097152\r\n"));
}

#[test]
fn memcached_listens_on_a_unix_socket() {
    let mut memcached = servers::memcached().unix_socket().start();
    assert_eq!(memcached.address(), Address::Unix(memcached.unix_socket()));
    memcached.restart();
    assert!(memcached.ask("version").unwrap().starts_with("VERSION "));
}
