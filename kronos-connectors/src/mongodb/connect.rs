//! The driver's client, what is asked of every server, and commands.

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ReadConcern, ServerAddress, TlsOptions};
use mongodb::{Client, Database};

use super::error::{failed, is_lost, silent};
use super::settings::{MongodbSettings, TlsMode};

/// How many connections the driver may have at a time; each stream needs one.
const CONNECTIONS: u32 = 64;
/// So long the end of connections is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// The oldest server that is known to work, as `hello` counts: 6.0.
const OLDEST: i32 = 17;

/// What kind of server it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A member of a replica set of this name.
    ReplicaSet(String),
    /// A router to shards.
    Mongos,
    Standalone,
}

/// A server that answers.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub client: Client,
    pub kind: Kind,
    pub version: String,
    /// The members of the replica set, as they call themselves.
    pub members: Vec<String>,
    pub wait: std::time::Duration,
}

impl MongodbSettings {
    /// Connects and asks who is there.
    pub(super) async fn open(&self) -> Result<Server> {
        let client = Client::with_options(self.options().await?).map_err(|e| failed(&e, "connect"))?;
        let admin = client.database("admin");
        let wait = self.read_timeout;
        let hello = command(&admin, "connect", doc! { "hello": 1 }, wait).await?;
        if hello.get_i32("maxWireVersion").is_ok_and(|version| version < OLDEST) {
            return Err(Error::new(ErrorKind::Unsupported, "the server is older than MongoDB 6.0"));
        }
        let kind = match (hello.get_str("setName"), hello.get_str("msg")) {
            (Ok(name), _) => Kind::ReplicaSet(name.to_owned()),
            (_, Ok("isdbgrid")) => Kind::Mongos,
            _ => Kind::Standalone,
        };
        let hosts = hello.get_array("hosts").map(Vec::as_slice).unwrap_or_default();
        let members = hosts.iter().filter_map(|host| host.as_str()).map(str::to_owned).collect();
        let build = command(&admin, "ask for the version", doc! { "buildInfo": 1 }, wait).await?;
        let version = build.get_str("version").unwrap_or("unknown").to_owned();
        Ok(Server { client, kind, version, members, wait })
    }

    /// What the driver is told. Nothing that is secret gets into an error.
    pub(super) async fn options(&self) -> Result<ClientOptions> {
        let mut options = if self.srv {
            // With the user: what the name stands for may also say where users are.
            let user = self.user.as_ref().map_or_else(String::new, |user| format!("{}@", encoded(user)));
            let text = format!("mongodb+srv://{user}{}/", encoded(&self.hosts[0]));
            ClientOptions::parse(text).await.map_err(|e| failed(&e, "look for the servers"))?
        } else {
            let host = |host: &String| {
                let text = if host.contains(':') { host.clone() } else { format!("{host}:{}", self.port) };
                ServerAddress::parse(text).map_err(|_| {
                    Error::new(ErrorKind::Config, "not a host and a port").with("host", host.escape_debug())
                })
            };
            ClientOptions::builder().hosts(self.hosts.iter().map(host).collect::<Result<Vec<_>>>()?).build()
        };
        options.app_name = Some("kronos".to_owned());
        options.connect_timeout = Some(self.connect_timeout);
        options.server_selection_timeout = Some(self.connect_timeout);
        options.max_pool_size = Some(CONNECTIONS);
        options.read_concern = Some(ReadConcern::majority());
        if self.replica_set.is_some() {
            options.repl_set_name.clone_from(&self.replica_set);
        }
        options.direct_connection = self.direct.or(options.direct_connection);
        if self.tls_mode() == TlsMode::Disable {
            options.tls = None;
        } else {
            let mut tls = TlsOptions::default();
            tls.ca_file_path.clone_from(&self.tls.ca);
            tls.cert_key_file_path.clone_from(&self.tls.certificate);
            tls.allow_invalid_certificates = Some(self.tls_mode() == TlsMode::Require);
            options.tls = Some(tls.into());
        }
        let found = options.credential.take().and_then(|credential| credential.source);
        options.credential = self.credential(found)?;
        Ok(options)
    }

    fn credential(&self, source: Option<String>) -> Result<Option<Credential>> {
        let mechanism = self.auth_mechanism.as_deref().map(mechanism).transpose()?;
        let has_own_place = matches!(mechanism, Some(AuthMechanism::MongoDbX509 | AuthMechanism::Plain));
        if self.user.is_none() && !matches!(mechanism, Some(AuthMechanism::MongoDbX509)) {
            return Ok(None);
        }
        let mut credential = Credential::default();
        credential.username.clone_from(&self.user);
        credential.password = self.password.as_ref().map(|password| password.expose().to_owned());
        credential.source = self.auth_database.clone().or(source);
        if credential.source.is_none() {
            credential.source = Some(if has_own_place { "$external" } else { "admin" }.to_owned());
        }
        credential.mechanism = mechanism;
        Ok(Some(credential))
    }
}

fn mechanism(name: &str) -> Result<AuthMechanism> {
    let known = [
        ("SCRAM-SHA-256", AuthMechanism::ScramSha256),
        ("SCRAM-SHA-1", AuthMechanism::ScramSha1),
        ("MONGODB-X509", AuthMechanism::MongoDbX509),
        ("PLAIN", AuthMechanism::Plain),
    ];
    let names = known.clone().map(|(name, _)| name);
    let found = known.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, mechanism)| mechanism).ok_or_else(|| crate::servers::options::one_of("auth_mechanism", name, names))
}

/// For a URL.
pub(super) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Server {
    pub(super) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    /// Runs a command, and waits for the answer no longer than for documents.
    pub(super) async fn command(&self, database: &str, what: &'static str, ask: Document) -> Result<Document> {
        command(&self.database(database), what, ask, self.wait).await
    }

    /// Runs a command that is there as bytes already, and may write.
    pub(super) async fn raw(&self, database: &str, what: &'static str, ask: RawDocumentBuf) -> Result<Document> {
        let done = tokio::time::timeout(self.wait, self.database(database).run_raw_command(ask)).await;
        done.map_err(|_| silent(self.wait, what))?.map_err(|e| failed(&e, what))
    }

    /// All of what a command lists. It only reads: when its connection is lost, it is asked once more over
    /// another.
    pub(super) async fn list(&self, database: &str, what: &'static str, ask: Document) -> Result<Vec<Document>> {
        match self.list_once(database, what, ask.clone()).await {
            Err(error) if is_lost(&error) => self.list_once(database, what, ask).await,
            listed => listed,
        }
    }

    async fn list_once(&self, database: &str, what: &'static str, ask: Document) -> Result<Vec<Document>> {
        use futures::TryStreamExt;
        let read = async {
            let found = self.database(database).run_cursor_command(ask).await.map_err(|e| failed(&e, what))?;
            found.try_collect().await.map_err(|e| failed(&e, what))
        };
        tokio::time::timeout(self.wait, read).await.map_err(|_| silent(self.wait, what))?
    }

    /// The version for people.
    pub(super) fn shown(&self) -> String {
        format!("MongoDB {}", self.version)
    }

    /// Ends all connections, once cursors that nobody reads any more are gone from the server.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(PATIENCE, self.client.shutdown()).await;
    }
}

async fn command(
    database: &Database,
    what: &'static str,
    ask: Document,
    wait: std::time::Duration,
) -> Result<Document> {
    let done = tokio::time::timeout(wait, database.run_command(ask)).await;
    let done = done.map_err(|_| silent(wait, what))?.map_err(|e| failed(&e, what))?;
    is_written(&done, what).map(|()| done)
}

/// A command that answers well may still have written nothing, or not for good.
pub(super) fn is_written(answer: &Document, what: &'static str) -> Result<()> {
    let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let first = errors.first().and_then(|error| error.as_document()).or(answer.get_document("writeConcernError").ok());
    match first {
        None => Ok(()),
        Some(error) => {
            let code = error.get_i32("code").unwrap_or_default();
            Err(super::error::of_server(code, "", error.get_str("errmsg").unwrap_or("not written"), what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_errors_is_one() {
        let answer = doc! { "n": 1, "ok": 1, "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "dup key" }] };
        assert!(is_written(&answer, "insert").is_err());
        assert!(is_written(&doc! { "n": 1, "ok": 1 }, "insert").is_ok());
        assert!(
            is_written(&doc! { "ok": 1, "writeConcernError": { "code": 64, "errmsg": "late" } }, "insert").is_err()
        );
    }

    #[test]
    fn mechanisms_are_known_by_their_names() {
        assert!(mechanism("SCRAM-SHA-256").is_ok());
        assert_eq!(mechanism("SCRAM-SHA256").unwrap_err().context("did you mean"), Some("SCRAM-SHA-256"));
        assert_eq!(encoded("a@b:c"), "a%40b%3Ac");
    }
}
