//! The stores of the clouds, made of recipes, over our own HTTP client.

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, RetryConfig};

use super::{
    Adapter, Arc, AtomicBool, Atomicity, Checksums, ErrorKind, Failure, Http, Make, OnceCell, Path, Receiving, Recipe,
    Result, Storage, Store, StoreError, Stores, Timestamp, async_trait, failed, gone,
};
use crate::cloud::unfinished;

/// Our own HTTP client, as that crate wants it.
#[derive(Debug, Clone)]
struct Client(Http);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = self.0.send(request).await.map_err(wrapped)?.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Mapped(body))))
    }
}

impl HttpConnector for Client {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

fn wrapped(failure: Failure) -> HttpError {
    // Of a kind that is never tried again there.
    HttpError::new(HttpErrorKind::Unknown, failure)
}

/// An answer's body with that crate's errors.
struct Mapped(Receiving);

impl http_body::Body for Mapped {
    type Data = bytes::Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, HttpError>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(context).map(|next| next.map(|frame| frame.map_err(wrapped)))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Each request is made once; the core tries again.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// The builders of the three have the same methods, and no trait in common.
macro_rules! builder {
    ($new:expr, $recipe:expr) => {{
        let mut builder = $new.with_retry(once()).with_http_connector(Client($recipe.http.clone()));
        for (name, value) in &$recipe.pairs.0 {
            builder = builder.with_config(name.parse().map_err(|e| bad(&e))?, value);
        }
        builder
    }};
}

fn bad(error: &StoreError) -> kronos_core::Error {
    let error = failed(error, "the storage's settings");
    if error.kind() == kronos_core::ErrorKind::Io {
        return kronos_core::Error::new(kronos_core::ErrorKind::Config, "the storage's settings do not fit together")
            .with_source(error);
    }
    error
}

fn adapter(
    recipe: Recipe,
    store: OnceCell<Stores>,
    make: Option<Box<Make>>,
    whole_packs: bool,
) -> Result<Arc<dyn Storage>> {
    let prefix = recipe.prefix.as_deref().map(Path::parse).transpose();
    Ok(Arc::new(Adapter {
        store,
        make,
        name: recipe.name,
        prefix: prefix.map_err(|e| bad(&e.into()))?,
        classes: [recipe.classes.packs, recipe.classes.rest],
        whole_packs,
        atomicity: if recipe.single_writer { Atomicity::SingleWriter } else { Atomicity::Unproven },
        degrades: matches!(recipe.checksums, Checksums::Try(_)),
        degraded: AtomicBool::new(false),
        // What cannot be signed cannot be asked for.
        http: Some(recipe.http).filter(|_| !recipe.anonymous),
    }))
}

#[cfg(feature = "s3")]
pub(crate) fn s3(recipe: Recipe, profile: Option<crate::cloud::Profile>) -> Result<Arc<dyn Storage>> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

    let builder = builder!(AmazonS3Builder::new(), recipe);
    let checksums = recipe.checksums;
    let build = move |builder: AmazonS3Builder| {
        let with = |algorithm| builder.clone().with_config(AmazonS3ConfigKey::Checksum, algorithm).build();
        let stores = match checksums {
            Checksums::Off => (builder.build(), None),
            Checksums::Must(algorithm) => (with(algorithm), None),
            Checksums::Try(algorithm) => (with(algorithm), Some(builder.build())),
        };
        let shared = |store| Arc::new(store) as Arc<dyn Store>;
        let plain = stores.1.transpose().map_err(|e| bad(&e))?;
        Ok(Stores { first: shared(stores.0.map_err(|e| bad(&e))?), plain: plain.map(shared) })
    };
    let Some(profile) = profile else {
        return adapter(recipe, OnceCell::new_with(Some(build(builder)?)), None, false);
    };
    let make = from_profile(profile, builder, Arc::new(build));
    adapter(recipe, OnceCell::new(), Some(make), false)
}

#[cfg(feature = "s3")]
type Build = dyn Fn(object_store::aws::AmazonS3Builder) -> Result<Stores> + Send + Sync;

#[cfg(all(feature = "s3", not(feature = "aws-profiles")))]
fn from_profile(profile: crate::cloud::Profile, _: object_store::aws::AmazonS3Builder, _: Arc<Build>) -> Box<Make> {
    match profile {}
}

/// A profile is read at the first use: it may name a region, and it may take requests to read.
#[cfg(feature = "aws-profiles")]
fn from_profile(
    profile: crate::cloud::Profile,
    builder: object_store::aws::AmazonS3Builder,
    build: Arc<Build>,
) -> Box<Make> {
    let profile = Arc::new(profile);
    Box::new(move || {
        let (profile, builder, build) = (Arc::clone(&profile), builder.clone(), Arc::clone(&build));
        Box::pin(async move {
            let session = profile.load().await?;
            let mut builder = builder;
            if let Some(region) = session.region() {
                builder = builder.with_region(region);
            }
            build(builder.with_credentials(Arc::new(session)))
        })
    })
}

#[cfg(feature = "aws-profiles")]
#[async_trait]
impl object_store::CredentialProvider for crate::cloud::Session {
    type Credential = object_store::aws::AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<Self::Credential>> {
        let keys =
            self.keys().await.map_err(|failure| StoreError::Generic { store: "AWS", source: Box::new(failure) })?;
        let (key_id, secret_key, token) = keys;
        Ok(Arc::new(object_store::aws::AwsCredential { key_id, secret_key, token }))
    }
}

/// By a signed address, for that crate has no listing of them.
#[cfg(feature = "s3")]
#[async_trait]
impl Store for object_store::aws::AmazonS3 {
    async fn unfinished(&self, query: Vec<(&'static str, String)>) -> Option<object_store::Result<String>> {
        use object_store::signer::{SignedUrlOptions, Signer};

        let options = SignedUrlOptions::default().with_query(query);
        let minutes = std::time::Duration::from_mins(5);
        let url = self.signed_url_opts(http::Method::GET, &Path::default(), minutes, &options).await;
        Some(url.map(String::from))
    }
}

/// Gives up what was begun before a time and never ended.
pub(super) async fn remove_leftovers(adapter: &Adapter, http: &Http, before: Timestamp) -> Result<u64> {
    const WHAT: &str = "the list of unfinished uploads";
    let store = adapter.store().await?;
    let (mut removed, mut after) = (0, None);
    loop {
        let query = unfinished::query(adapter.prefix.as_ref().map(Path::as_ref), after.as_ref());
        let Some(url) = store.unfinished(query).await else { return Ok(0) };
        let page = match unfinished::page(http, &url.map_err(|e| failed(&e, WHAT))?).await {
            Ok(page) => page,
            // Not every dialect can name them, and not everybody may see them.
            Err(failure) if matches!(failure.kind, ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                return Ok(removed);
            }
            Err(failure) => return Err(failure.to_error(WHAT)),
        };
        for begun in page.iter().filter(|begun| begun.at.is_some_and(|at| at < before)) {
            let Ok(path) = Path::parse(&begun.path) else { continue };
            if adapter.key(&path).is_some() {
                gone(store.abort_multipart(&path, &begun.id).await).map_err(|e| failed(&e, &begun.path))?;
                removed += 1;
            }
        }
        match page.last() {
            // A store that does not go on would go on for ever.
            Some(last) if after.as_ref() != Some(last) => after = Some(last.clone()),
            _ => return Ok(removed),
        }
    }
}

#[cfg(feature = "gcs")]
pub(crate) fn gcs(recipe: Recipe) -> Result<Arc<dyn Storage>> {
    let store = builder!(object_store::gcp::GoogleCloudStorageBuilder::new(), recipe).build().map_err(|e| bad(&e))?;
    adapter(recipe, OnceCell::new_with(Some(Stores::one(store))), None, false)
}

#[cfg(feature = "gcs")]
impl Store for object_store::gcp::GoogleCloudStorage {}

#[cfg(feature = "azure")]
pub(crate) fn azure(recipe: Recipe) -> Result<Arc<dyn Storage>> {
    let store = builder!(object_store::azure::MicrosoftAzureBuilder::new(), recipe).build().map_err(|e| bad(&e))?;
    adapter(recipe, OnceCell::new_with(Some(Stores::one(store))), None, true)
}

#[cfg(feature = "azure")]
impl Store for object_store::azure::MicrosoftAzure {}
