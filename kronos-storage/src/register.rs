//! Tells a registry which storages this build has, and which feature brings the others.

use std::sync::Arc;

use kronos_core::Registry;
#[cfg(any(feature = "local", feature = "memory", feature = "cloud"))]
use kronos_core::{Result, Storage, StorageSettings};

/// Where variables such as `AWS_ACCESS_KEY_ID` come from: a program that wants the clouds' own ones
/// heard hands in `std::env::var`, one that does not hands in nothing.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Adds every storage of this build under the scheme of its URLs. No variable of the environment is heard.
pub fn register(registry: &mut Registry) {
    register_with(registry, &(Arc::new(|_: &str| None) as Environment));
}

/// The same, hearing the clouds' own variables.
pub fn register_with(registry: &mut Registry, environment: &Environment) {
    #[cfg(feature = "local")]
    registry.add_storage(
        "file",
        hearing(environment, |settings, environment| {
            limited(settings, environment, || crate::local(&settings.location))
        }),
    );
    #[cfg(not(feature = "local"))]
    registry.leave_out_storage("file", "local");

    #[cfg(feature = "memory")]
    {
        let stores = Memory::default();
        registry.add_storage(
            "memory",
            hearing(environment, move |settings, environment| {
                limited(settings, environment, || Ok(stores.named(&settings.location)))
            }),
        );
    }
    #[cfg(not(feature = "memory"))]
    registry.leave_out_storage("memory", "memory");

    #[cfg(feature = "s3")]
    registry.add_storage("s3", hearing(environment, crate::cloud::open_s3));
    #[cfg(not(feature = "s3"))]
    registry.leave_out_storage("s3", "s3");
    #[cfg(feature = "gcs")]
    registry.add_storage("gs", hearing(environment, crate::cloud::open_gcs));
    #[cfg(not(feature = "gcs"))]
    registry.leave_out_storage("gs", "gcs");
    #[cfg(feature = "azure")]
    registry.add_storage("az", hearing(environment, crate::cloud::open_azure));
    #[cfg(not(feature = "azure"))]
    registry.leave_out_storage("az", "azure");
    #[cfg(not(any(feature = "local", feature = "memory", feature = "cloud")))]
    let _ = environment;
}

#[cfg(any(feature = "local", feature = "memory", feature = "cloud"))]
type Made = Result<Arc<dyn Storage>>;

/// Hands the environment to what opens a storage.
#[cfg(any(feature = "local", feature = "memory", feature = "cloud"))]
fn hearing<F>(environment: &Environment, open: F) -> impl Fn(&StorageSettings) -> Made + Send + Sync + use<F>
where
    F: Fn(&StorageSettings, &Environment) -> Made + Send + Sync + 'static,
{
    let environment = environment.clone();
    move |settings| open(settings, &environment)
}

/// A storage that has no options but how fast it may be used.
#[cfg(any(feature = "local", feature = "memory"))]
fn limited(settings: &StorageSettings, environment: &Environment, open: impl FnOnce() -> Made) -> Made {
    let mut options = crate::options::Options::new(settings, environment);
    let (up, down) = options.pace()?;
    options.finish()?;
    #[cfg(feature = "pace")]
    return Ok(crate::paced::Paced::storage(open()?, up, down));
    #[cfg(not(feature = "pace"))]
    match (up, down) {
        (None, None) => open(),
        _ => Err(kronos_core::Error::new(kronos_core::ErrorKind::Unsupported, "this build leaves limits of speed out")
            .with("cargo feature", "pace")),
    }
}

/// One store per name, for as long as the registry lives.
#[cfg(feature = "memory")]
#[derive(Default)]
struct Memory(std::sync::Mutex<std::collections::BTreeMap<String, Arc<dyn Storage>>>);

#[cfg(feature = "memory")]
impl Memory {
    fn named(&self, name: &str) -> Arc<dyn Storage> {
        let mut stores = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(stores.entry(name.to_owned()).or_insert_with(|| crate::memory(name)))
    }
}
