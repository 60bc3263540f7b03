//! The texts of options: attacks, widths, budgets, schedules, and every option of a configuration by its key.
#![no_main]

use std::path::Path;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use splitmix_fl::fl::{Attack, Budgets, Ratio, Schedule};
use splitmix_fl::run::TrainConfig;
use splitmix_fuzz::{FIXED, bounded, check_message};

fn try_as<T: FromStr<Err = splitmix_fl::Error>>(text: &str) -> Option<T> {
    match bounded(text.len(), FIXED, || text.parse()) {
        Ok(value) => Some(value),
        Err(error) => {
            check_message(&error);
            None
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&key, bytes)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(attack) = try_as::<Attack>(text) {
        assert_eq!(try_as::<Attack>(&attack.to_string()), Some(attack));
    }
    if let Some(ratio) = try_as::<Ratio>(text) {
        assert_eq!(try_as::<Ratio>(&ratio.to_string()), Some(ratio));
    }
    try_as::<Budgets>(text);
    try_as::<Schedule>(text);
    // As the value of an option, bare and in quotes.
    let keys = TrainConfig::keys();
    let key = &keys[usize::from(key) % keys.len()];
    for value in [text.to_owned(), format!("{text:?}")] {
        let line = format!("{key} = {value}");
        let read = bounded(line.len(), FIXED, || TrainConfig::from_toml(&line, Path::new("run.toml")).and_then(TrainConfig::validate));
        if let Err(error) = read {
            check_message(&error);
        }
    }
});
