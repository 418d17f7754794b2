//! Credentials for S3 as the AWS tools find them: profiles, single sign-on, programs that give them
//! out, assumed roles, and the instance's own at last.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use kronos_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use super::failure::Failure;

/// Credentials are asked for anew so long before they expire.
const EARLY: Duration = Duration::from_mins(5);

/// Whose credentials are wanted.
#[derive(Clone)]
pub(crate) struct Profile {
    /// Its name; the environment's, else `default`.
    pub(crate) name: Option<String>,
    /// The role to assume with them.
    pub(crate) role: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) region: Option<String>,
    /// Keys that were given, with which the role is assumed.
    pub(crate) keys: Option<(String, String, Option<String>)>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Credentials that renew themselves.
#[derive(Debug)]
pub(crate) struct Session {
    provider: SharedCredentialsProvider,
    region: Option<String>,
    known: Mutex<Option<Credentials>>,
}

impl Profile {
    /// Reads the files and variables; asks nobody yet.
    pub(crate) async fn load(&self) -> Result<Session> {
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(name) = &self.name {
            loader = loader.profile_name(name);
        }
        if let Some((id, secret, token)) = &self.keys {
            loader = loader.credentials_provider(Credentials::new(id, secret, token.clone(), None, "given"));
        }
        let config = loader.load().await;
        let provider = match &self.role {
            Some(role) => self.assumed(role, &config).await,
            None => config.credentials_provider().ok_or_else(|| {
                Error::new(ErrorKind::Authentication, "no credentials were found")
                    .with("profile", self.name.as_deref().unwrap_or("default"))
            })?,
        };
        let region = config.region().map(ToString::to_string);
        Ok(Session { provider, region, known: Mutex::new(None) })
    }

    async fn assumed(&self, role: &str, config: &SdkConfig) -> SharedCredentialsProvider {
        let mut builder = aws_config::sts::AssumeRoleProvider::builder(role).configure(config).session_name("kronos");
        if let Some(id) = &self.external_id {
            builder = builder.external_id(id);
        }
        SharedCredentialsProvider::new(builder.build().await)
    }
}

impl Session {
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Id, secret and token, as good for some minutes yet.
    pub(crate) async fn keys(&self) -> std::result::Result<(String, String, Option<String>), Failure> {
        let mut known = self.known.lock().await;
        let is_good = |found: &Credentials| found.expiry().is_none_or(|end| end > SystemTime::now() + EARLY);
        if !known.as_ref().is_some_and(is_good) {
            let found = self.provider.provide_credentials().await;
            *known = Some(found.map_err(|e| Failure::no_credentials(Arc::new(e)))?);
        }
        let found = known.as_ref().map(|found| {
            let token = found.session_token().map(str::to_owned);
            (found.access_key_id().to_owned(), found.secret_access_key().to_owned(), token)
        });
        found.ok_or_else(|| Failure::cut_short("credentials"))
    }
}
