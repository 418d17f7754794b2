//! Layers of a configuration: files over each other, the environment over them, and over all what is
//! given for one run.

use std::fmt;
use std::path::Path;

use kronos_core::{Error, ErrorKind, Result};

use super::find::{SearchPlaces, config_files};
use super::merge::{Shape, merge};
use super::origin::{Layer, LayerKind, Place};
use super::problems::{Context, Problems};
use super::section::Section;
use super::show::Effective;
use super::tree::{At, Node};
use super::{Config, Environment, Format, TOP, check, expand, exposed, variables};

/// The layers of a configuration. Whatever the order in which they are added, a stronger kind wins;
/// of two of the same kind the later one does.
///
/// ```
/// use kronos_service::{Format, LayerKind, Layers};
///
/// let loaded = Layers::new()
///     .with_text(LayerKind::System, "[storages.main]\nurl = '/srv/backups'\n", Format::Toml)?
///     .with_text(LayerKind::Project, "[jobs.app]\nsource = 'app.db'\n", Format::Toml)?
///     .with_variables([("KRONOS__JOBS__APP__SCHEDULE".to_owned(), "@daily".to_owned())])
///     .load(&|_| None)?;
/// assert_eq!(loaded.config.jobs["app"].storages, ["main"]);
/// assert_eq!(loaded.config.jobs["app"].schedule.as_ref().unwrap().cron, "@daily");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Layers {
    files: Vec<(Layer, Node)>,
    variables: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    broken: Vec<Error>,
}

/// A configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its values and their origins.
    pub effective: Effective,
}

impl fmt::Debug for Layers {
    /// Without the values, among which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&Layer> = self.files.iter().map(|(layer, _)| layer).collect();
        f.debug_struct("Layers").field("files", &files).finish_non_exhaustive()
    }
}

impl Layers {
    /// None yet: what holds by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files that are found in these places.
    pub fn of_places(places: &SearchPlaces) -> Result<Self> {
        let mut layers = Self::new();
        for (kind, file) in config_files(places)? {
            layers = layers.with_file(kind, &file)?;
        }
        Ok(layers)
    }

    /// Adds a file. One that is not valid TOML or YAML is told of by [`load`](Self::load), with all
    /// else that is wrong; one that cannot be read is an error here.
    pub fn with_file(mut self, kind: LayerKind, file: &Path) -> Result<Self> {
        let format = Format::of(file)?;
        let text = std::fs::read_to_string(file).map_err(|e| {
            let kind = match ErrorKind::from(e.kind()) {
                ErrorKind::Io => ErrorKind::Config,
                kind => kind,
            };
            Error::new(kind, "the configuration could not be read").with("file", file.display()).with_source(e)
        })?;
        match format.read(&text) {
            Ok(tree) => self.files.push((Layer { kind, place: Place::File(file.to_owned()) }, tree)),
            Err(e) => self.broken.push(e.with("file", file.display())),
        }
        Ok(self)
    }

    /// Adds a text.
    pub fn with_text(mut self, kind: LayerKind, text: &str, format: Format) -> Result<Self> {
        self.files.push((Layer { kind, place: Place::Text }, format.read(text)?));
        Ok(self)
    }

    /// Adds variables of the environment: those whose names begin with `KRONOS__`; others are left
    /// alone.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let of_kronos = |(name, _): &(String, String)| name.starts_with(variables::PREFIX);
        self.variables.extend(variables.into_iter().filter(of_kronos));
        // The order of an environment means nothing.
        self.variables.sort();
        self
    }

    /// Adds what is given for one run: a key as TOML has it, such as `jobs.shop.limits.parallel`, and
    /// its value as a text.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Merges them, puts variables into texts, and checks all of it.
    pub fn load(mut self, environment: Environment<'_>) -> Result<Loaded, Problems> {
        if !self.broken.is_empty() {
            return Err(Problems::of(self.broken));
        }
        self.files.sort_by_key(|(layer, _)| layer.kind);
        let (mut layers, trees): (Vec<Layer>, Vec<Node>) = self.files.into_iter().unzip();
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let above = layers.len();
        layers.push(Layer { kind: LayerKind::Environment, place: Place::Variables(names(&self.variables)) });
        layers.push(Layer { kind: LayerKind::Flags, place: Place::Settings(names(&self.settings)) });
        let context = Context::new(&layers);
        let mut tree = Node::empty();
        for (number, mut layer) in trees.into_iter().enumerate() {
            layer.belongs_to(number);
            merge(&mut tree, layer, Shape::Keys(&TOP));
        }
        for (line, (name, value)) in self.variables.iter().enumerate() {
            let (at, name) = (At { layer: above, line: line + 1 }, name.trim_start_matches(variables::PREFIX));
            if let Some(over) = variables::variable(&context, &tree, &TOP, name, value, at) {
                merge(&mut tree, over, Shape::Keys(&TOP));
            }
        }
        for (line, (key, value)) in self.settings.iter().enumerate() {
            let at = At { layer: above + 1, line: line + 1 };
            if let Some(over) = variables::setting(&context, &TOP, key, value, at) {
                merge(&mut tree, over, Shape::Keys(&TOP));
            }
        }
        expand::expand(&context, &mut tree, "", environment);
        check::table(&context, "", &tree, &TOP);
        exposed::warn(&context, &layers, &tree, &TOP);
        let mut config = Config::from_section(&Section::new(&context, "", At::line(1), &tree, &TOP));
        config.files = layers.iter().filter_map(|layer| layer.file().map(Path::to_owned)).collect();
        config.warnings = context.finish()?;
        Ok(Loaded { config, effective: Effective { tree, layers } })
    }
}
