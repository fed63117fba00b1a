//! Who may use the server, and how it proves who it is.

use crate::servers::certificates::Certificates;
use crate::servers::client::{Client, loopback};
use crate::servers::{self, Server};
use pinyon::settings::{Address, RedisServer, RedisSettings, TlsSettings};
use pinyon::{Error, ErrorKind};
use std::time::Duration;

fn client(server: RedisServer, protocol: u8) -> Client {
    let timeout = Duration::from_secs(10);
    Client::redis(&RedisSettings { servers: vec![server], protocol, timeout, ..RedisSettings::default() })
}

/// The error of a first and a second `set`, which must be the same, and leave no connection behind.
fn refusal(server: &RedisServer, protocol: u8) -> Error {
    let client = client(server.clone(), protocol);
    let first = client.set("key", b"value").unwrap_err();
    let second = client.set("key", b"value").unwrap_err();
    assert_eq!((first.kind(), first.message()), (second.kind(), second.message()));
    assert_eq!(client.open_connections(), 0, "{first}");
    assert!(first.hint().is_some(), "{first}");
    first
}

#[test]
fn a_missing_or_wrong_password_is_an_error_about_the_password() {
    let redis = servers::redis().password("right").start();
    let none = RedisServer::new(loopback(redis.port()));
    let wrong = RedisServer { password: Some("wrong".into()), ..none.clone() };
    let stranger = RedisServer { username: Some("stranger".into()), ..wrong.clone() };
    for protocol in [2, 3] {
        for server in [&none, &wrong, &stranger] {
            let error = refusal(server, protocol);
            assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
            assert!(error.is_config() && !error.to_string().contains("wrong "), "{error}");
        }
        let right = RedisServer { password: Some("right".into()), ..none.clone() };
        assert!(client(right, protocol).set("key", b"value").unwrap());
    }
    assert_eq!(redis.ask("CLIENT LIST").unwrap().matches("lib-name=pinyon").count(), 0);
}

#[test]
fn a_password_for_a_server_without_one_is_an_error_about_the_password() {
    let redis = servers::redis().start();
    let server = RedisServer { password: Some("needless".into()), ..RedisServer::new(loopback(redis.port())) };
    assert_eq!(refusal(&server, 2).kind(), ErrorKind::Auth);
}

#[test]
fn a_user_may_do_what_the_server_allows_and_hears_what_is_not() {
    let redis = servers::redis().start();
    redis.ask("ACL SETUSER reader on >secret ~* +@read +@connection -@write").unwrap();
    redis.ask("ACL SETUSER open on nopass ~* +@all").unwrap();
    let reader = RedisServer {
        username: Some("reader".into()),
        password: Some("secret".into()),
        ..RedisServer::new(loopback(redis.port()))
    };
    for protocol in [2, 3] {
        let client = client(reader.clone(), protocol);
        assert_eq!(client.get("key").unwrap(), None);
        let error = client.set("key", b"value").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.hint().unwrap().contains("ACL"), "{error}");
        assert_eq!(client.get("key").unwrap(), None, "the connection is still good");
        assert_eq!(client.open_connections(), 1);
    }
    let open = RedisServer { username: Some("open".into()), password: None, ..reader };
    assert!(client(open, 2).set("key", b"value").unwrap(), "a user without a password");
}

#[test]
fn a_database_that_the_server_does_not_have_is_an_error_every_time() {
    let redis = servers::redis().start();
    let server = RedisServer { database: 99, ..RedisServer::new(loopback(redis.port())) };
    for protocol in [2, 3] {
        let error = refusal(&server, protocol);
        assert!(error.hint().unwrap().contains("database") && error.hint().unwrap().contains("99"), "{error}");
    }
    assert_eq!(redis.ask("DBSIZE").unwrap(), ":0\r\n", "nothing was written to another database");
}

fn tls_server(redis: &Server, tls: TlsSettings) -> RedisServer {
    RedisServer { tls: Some(tls), ..RedisServer::new(loopback(redis.tls_port())) }
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca_certs: Some(certificates.authority()), check_hostname: true, ..TlsSettings::default() }
}

#[test]
fn tls_trusts_the_authority_that_was_named_and_no_other() {
    let (ours, others) = (Certificates::for_loopback(), Certificates::for_loopback());
    let redis = servers::redis().tls(&ours, false).start();
    assert!(client(tls_server(&redis, trusting(&ours)), 2).set("key", b"value").unwrap());
    let by_name = RedisServer {
        address: Address::Tcp { host: "localhost".into(), port: redis.tls_port() },
        ..tls_server(&redis, trusting(&ours))
    };
    assert!(client(by_name, 3).set("key", b"value").unwrap());

    let error = refusal(&tls_server(&redis, trusting(&others)), 2);
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.is_config() && error.hint().unwrap().contains("ssl_ca_certs"), "{error}");
    let insecure = TlsSettings { insecure: true, ..TlsSettings::default() };
    assert!(client(tls_server(&redis, insecure), 2).set("key", b"value").unwrap());
}

#[test]
fn tls_checks_the_name_of_the_server_unless_told_otherwise() {
    let elsewhere = Certificates::new(&["redis.example.org"]);
    let redis = servers::redis().tls(&elsewhere, false).start();
    let error = refusal(&tls_server(&redis, trusting(&elsewhere)), 2);
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.hint().unwrap().contains("host name"), "{error}");
    let any_name = TlsSettings { check_hostname: false, ..trusting(&elsewhere) };
    assert!(client(tls_server(&redis, any_name.clone()), 2).set("key", b"value").unwrap());
    // Any name, but not any authority.
    let other = TlsSettings { ca_certs: Some(Certificates::for_loopback().authority()), ..any_name };
    assert_eq!(client(tls_server(&redis, other), 2).get("key").unwrap_err().kind(), ErrorKind::Tls);
}

#[test]
fn a_server_that_wants_a_client_certificate_says_so() {
    let certificates = Certificates::for_loopback();
    let redis = servers::redis().tls(&certificates, true).start();
    let error = refusal(&tls_server(&redis, trusting(&certificates)), 2);
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.hint().unwrap().contains("ssl_certfile"), "{error}");
}

#[test]
fn tls_and_plain_are_not_mistaken_for_each_other() {
    let certificates = Certificates::for_loopback();
    let redis = servers::redis().tls(&certificates, false).start();
    let tls_to_plain = RedisServer { address: loopback(redis.port()), ..tls_server(&redis, trusting(&certificates)) };
    let error = refusal(&tls_to_plain, 2);
    // The server takes our greeting for the beginning of a line and waits for the rest of it.
    assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Timeout), "{error}");
    assert!(error.message().contains("TLS") && error.hint().unwrap().contains("redis://"), "{error}");

    let plain_to_tls = RedisServer::new(loopback(redis.tls_port()));
    let error = refusal(&plain_to_tls, 2);
    assert!(error.hint().unwrap().contains("rediss://"), "{error}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_option() {
    let certificates = Certificates::for_loopback();
    let redis = servers::redis().tls(&certificates, false).start();
    let missing = std::path::PathBuf::from("/nonexistent/file.pem");
    for (option, settings) in [
        ("ssl_ca_certs", TlsSettings { ca_certs: Some(missing.clone()), ..trusting(&certificates) }),
        (
            "ssl_certfile",
            TlsSettings {
                certfile: Some(missing.clone()),
                keyfile: Some(certificates.client_key()),
                ..trusting(&certificates)
            },
        ),
        (
            "ssl_keyfile",
            TlsSettings {
                certfile: Some(certificates.client_certificate()),
                keyfile: Some(missing),
                ..trusting(&certificates)
            },
        ),
    ] {
        let client = client(tls_server(&redis, settings), 2);
        let error = client.get("key").unwrap_err();
        assert_eq!((error.kind(), client.open_connections()), (ErrorKind::Tls, 0), "{error}");
        assert!(error.message().contains(option) && error.message().contains("/nonexistent/file.pem"), "{error}");
    }
}
