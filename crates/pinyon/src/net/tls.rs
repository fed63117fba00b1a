//! The TLS configuration of a server: which certificates are trusted, and which is ours.

use crate::error::{Error, ErrorKind, Result};
use crate::settings::TlsSettings;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Builds the configuration that every connection to one server shares.
///
/// # Errors
/// [`ErrorKind::Tls`] if a file cannot be read or holds nothing usable.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Tls, "TLS cannot be set up").with_source(error))?;
    let verified = if settings.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        let roots = Arc::new(roots(settings)?);
        if settings.check_hostname {
            builder.with_root_certificates(roots)
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|error| {
                Error::new(ErrorKind::Tls, "the trusted certificates cannot be used").with_source(error)
            })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(inner)))
        }
    };
    let config = match &settings.certfile {
        None => verified.with_no_client_auth(),
        Some(certfile) => {
            let keyfile = settings.keyfile.as_deref().unwrap_or(certfile);
            let key = PrivateKeyDer::from_pem_file(keyfile).map_err(|error| unusable("ssl_keyfile", keyfile, error))?;
            verified
                .with_client_auth_cert(certificates("ssl_certfile", certfile)?, key)
                .map_err(|error| unusable("ssl_certfile", certfile, error))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match &settings.ca_certs {
        Some(path) => certificates("ssl_ca_certs", path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(Error::new(ErrorKind::Tls, "no trusted certificates were found")
            .with_hint("Name the PEM file of the authority that signed the server's certificate as ssl_ca_certs."));
    }
    Ok(roots)
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(option, path, error))?;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Tls, format!("{option} {} holds no certificate", path.display())));
    }
    Ok(found)
}

fn unusable(option: &str, path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Tls, format!("{option} {} cannot be used: {error}", path.display())).with_source(error)
}

/// What to do about a failure of TLS.
pub(super) fn hint(error: &rustls::Error) -> &'static str {
    use rustls::{AlertDescription, Error};
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "The certificate is for another host name: write the name that it is for in LOCATION, or set \
             ssl_check_hostname to False"
        }
        Error::InvalidCertificate(_) => {
            "If the certificate comes from an authority of your own, name its PEM file as ssl_ca_certs"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "The server wants a client certificate: name its PEM file as ssl_certfile, and its key's as ssl_keyfile"
        }
        Error::InvalidMessage(_) => "The server does not speak TLS at this port: redis:// instead of rediss://?",
        _ => "Check the ssl_ options and the server's TLS settings",
    }
}

/// Takes every certificate: `ssl_cert_reqs="none"`, which somebody has written down.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies the certificate, but takes it for any name: `ssl_check_hostname=False`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is the last thing that is checked: everything before it has held when only the name is wrong.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
