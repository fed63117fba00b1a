//! A certificate authority of a test's own, with a certificate for a server on loopback and one for a client.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::PathBuf;
use tempfile::TempDir;

/// PEM files in a directory of their own, which goes when this is dropped.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes an authority, a server certificate for `names` (host names and IP addresses), and a client certificate.
    pub fn new(names: &[&str]) -> Self {
        let certificates = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        let mut params = named("Pinyon test authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, new_key()).expect("a certificate authority");
        certificates.write("authority.pem", &authority.pem());
        for (file, params) in [("server", named("server", names)), ("client", named("client", &["client"]))] {
            let key = new_key();
            let certificate = params.signed_by(&key, &authority).expect("a signed certificate");
            certificates.write(&format!("{file}.pem"), &certificate.pem());
            certificates.write(&format!("{file}.key"), &key.serialize_pem());
        }
        certificates
    }

    /// For `localhost` and `127.0.0.1`.
    pub fn for_loopback() -> Self {
        Self::new(&["localhost", "127.0.0.1"])
    }

    /// The certificate that signed the other two: `ssl_ca_certs`.
    pub fn authority(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// The server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.path("server.key")
    }

    /// The client's certificate: `ssl_certfile`.
    pub fn client_certificate(&self) -> PathBuf {
        self.path("client.pem")
    }

    /// The client's key: `ssl_keyfile`.
    pub fn client_key(&self) -> PathBuf {
        self.path("client.key")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, pem: &str) {
        std::fs::write(self.path(file), pem).expect("a PEM file");
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key pair")
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names for a certificate");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
