//! Tells a registry which storages this build has, and which feature brings the others.

use kronos_core::Registry;
#[cfg(any(feature = "local", feature = "memory"))]
use kronos_core::{Error, ErrorKind, Result, StorageSettings};

/// Adds every storage of this build under the scheme of its URLs.
pub fn register(registry: &mut Registry) {
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
}

/// One store per name, for as long as the registry lives.
#[cfg(feature = "memory")]
fn shared_memory() -> impl Fn(&StorageSettings) -> Result<std::sync::Arc<dyn kronos_core::Storage>> + Send + Sync {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, PoisonError};

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
            Err(Error::new(ErrorKind::Config, "this kind of storage has no such option").with("option", option))
        }
        None => Ok(()),
    }
}
