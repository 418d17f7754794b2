//! The places where the files of a configuration are looked for.

use std::fs;

use kronos_core::ErrorKind;
use kronos_service::{LayerKind, SearchPlaces, config_files};

#[test]
fn each_place_is_a_layer_and_a_named_file_is_the_only_one() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let make = |name: &str| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), "").unwrap();
    };
    let mut places = SearchPlaces {
        current: Some(at("current")),
        home: Some(at("home")),
        system: Some(at("system")),
        ..SearchPlaces::default()
    };
    assert_eq!(config_files(&places).unwrap(), []);
    let mut wanted = Vec::new();
    for (kind, name) in [
        (LayerKind::System, "system/kronos.yaml"),
        (LayerKind::User, "home/.config/kronos/kronos.toml"),
        (LayerKind::Project, "current/kronos.yml"),
    ] {
        make(name);
        wanted.push((kind, at(name)));
        assert_eq!(config_files(&places).unwrap(), wanted);
    }
    places.current = Some(at("system/../system"));
    assert_eq!(config_files(&places).unwrap(), wanted[..2], "the same file is read once");
    make("variable.toml");
    places.variable = Some(at("variable.toml"));
    assert_eq!(config_files(&places).unwrap(), [(LayerKind::Project, at("variable.toml"))]);
    places.explicit = Some(at("explicit.toml"));
    assert_eq!(config_files(&places).unwrap_err().kind(), ErrorKind::NotFound);
    make("explicit.toml");
    assert_eq!(config_files(&places).unwrap(), [(LayerKind::Project, at("explicit.toml"))]);
}

#[test]
fn two_files_side_by_side_are_not_guessed_between() {
    let place = tempfile::tempdir().unwrap();
    for name in ["kronos.toml", "kronos.yaml"] {
        fs::write(place.path().join(name), "").unwrap();
    }
    let places = SearchPlaces { current: Some(place.path().to_owned()), ..SearchPlaces::default() };
    assert_eq!(config_files(&places).unwrap_err().kind(), ErrorKind::Config);
}
