//! TLS by rustls with ring, trusting whom the system trusts, and whom the channel adds.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::notify::settings::Channel;

/// The certificates of the channel's own authorities, in PEM.
pub(super) fn authorities(channel: &Channel) -> Result<Option<Vec<u8>>> {
    let Some(path) = &channel.tls_ca else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|e| {
        Error::new(ErrorKind::Config, "the certificates of tls_ca cannot be read")
            .with("path", path.display())
            .with_source(e)
    })?;
    certificates(&bytes).map_err(|error| error.with("path", path.display()))?;
    Ok(Some(bytes))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found =
        found.map_err(|e| Error::new(ErrorKind::Config, "the certificates of tls_ca cannot be read").with_source(e))?;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Config, "tls_ca holds no certificate in PEM form"));
    }
    Ok(found)
}

/// A client that trusts the system's authorities and these.
pub(super) fn config(extra: Option<&[u8]>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra = extra.map(certificates).transpose()?.unwrap_or_default();
    let cannot = |e| Error::new(ErrorKind::Config, "TLS cannot be set up").with_source(e);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(cannot)?;
    if let Ok(verifier) = Verifier::new_with_extra_roots(extra.iter().cloned(), provider) {
        let trusting = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        return Ok(trusting.with_no_client_auth());
    }
    // A system without authorities of its own trusts those that were given, and nobody else.
    let mut roots = RootCertStore::empty();
    for certificate in extra {
        roots.add(certificate).map_err(cannot)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
