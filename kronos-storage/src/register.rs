//! Tells a registry which storages this build has, and which feature brings the others.

use std::sync::Arc;

use kronos_core::{Registry, Result, Storage, StorageSettings};

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
    registry.add_storage("file", |settings| {
        refuse_options(settings)?;
        crate::local(&settings.location)
    });
    #[cfg(not(feature = "local"))]
    registry.leave_out_storage("file", "local");

    #[cfg(feature = "memory")]
    registry.add_storage("memory", shared_memory());
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
    #[cfg(not(feature = "cloud"))]
    let _ = environment;
}

#[cfg(feature = "cloud")]
fn hearing(
    environment: &Environment,
    open: fn(&StorageSettings, &Environment) -> Result<Arc<dyn Storage>>,
) -> impl Fn(&StorageSettings) -> Result<Arc<dyn Storage>> + Send + Sync + use<> {
    let environment = environment.clone();
    move |settings| open(settings, &environment)
}

/// One store per name, for as long as the registry lives.
#[cfg(feature = "memory")]
fn shared_memory() -> impl Fn(&StorageSettings) -> Result<Arc<dyn Storage>> + Send + Sync {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    let stores = Mutex::new(BTreeMap::new());
    move |settings| {
        refuse_options(settings)?;
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        let store = stores.entry(settings.location.clone()).or_insert_with(|| crate::memory(&settings.location));
        Ok(Arc::clone(store))
    }
}

#[cfg(any(feature = "local", feature = "memory"))]
fn refuse_options(settings: &StorageSettings) -> Result<()> {
    match settings.options.keys().next() {
        Some(option) => {
            Err(kronos_core::Error::new(kronos_core::ErrorKind::Config, "this kind of storage has no such option").with("option", option))
        }
        None => Ok(()),
    }
}
