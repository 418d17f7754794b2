//! The order in which the places of a configuration are looked at.

use std::fs;

use kronos_core::ErrorKind;
use kronos_service::{SearchPlaces, find_config};

#[test]
fn the_first_place_wins_and_a_named_file_must_exist() {
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
    assert_eq!(find_config(&places).unwrap(), None);
    for name in ["system/kronos.yaml", "home/.config/kronos/kronos.toml", "current/kronos.yml"] {
        make(name);
        assert_eq!(find_config(&places).unwrap(), Some(at(name)));
    }
    make("variable.toml");
    places.variable = Some(at("variable.toml"));
    assert_eq!(find_config(&places).unwrap(), places.variable);
    places.explicit = Some(at("explicit.toml"));
    assert_eq!(find_config(&places).unwrap_err().kind(), ErrorKind::NotFound);
    make("explicit.toml");
    assert_eq!(find_config(&places).unwrap(), places.explicit);
}

#[test]
fn two_files_side_by_side_are_not_guessed_between() {
    let place = tempfile::tempdir().unwrap();
    for name in ["kronos.toml", "kronos.yaml"] {
        fs::write(place.path().join(name), "").unwrap();
    }
    let places = SearchPlaces { current: Some(place.path().to_owned()), ..SearchPlaces::default() };
    assert_eq!(find_config(&places).unwrap_err().kind(), ErrorKind::Config);
}
