//! TLS by rustls with ring, trusting whom the system trusts, and whom the user adds.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// A client that trusts the system's authorities and those of `extra`, certificates in PEM.
pub(crate) fn config(extra: Option<&[u8]>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = Vec::new();
    if let Some(pem) = extra {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.push(certificate.map_err(|e| {
                Error::new(ErrorKind::Config, "the certificates of tls_ca cannot be read").with_source(e)
            })?);
        }
        if roots.is_empty() {
            return Err(Error::new(ErrorKind::Config, "tls_ca holds no certificate in PEM form"));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Config, "TLS cannot be set up").with_source(e))?;
    Ok(match Verifier::new_with_extra_roots(roots, provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        // A system without authorities can still speak with stores that need no TLS; the others it does not trust.
        Err(_) => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    })
}
