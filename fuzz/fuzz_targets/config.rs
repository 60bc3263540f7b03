//! A configuration file, checked and its network built.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use splitmix_fl::run::TrainConfig;
use splitmix_fuzz::{FIXED, bounded, check_message};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = bounded(data.len(), FIXED, || -> splitmix_fl::Result<()> {
        let config = TrainConfig::from_toml(text, Path::new("run.toml"))?.validate()?;
        let again = TrainConfig::from_toml(&config.to_toml()?, Path::new("again.toml")).expect("what was written is read");
        assert_eq!(again.validate().expect("what was valid stays so"), config);
        config.network(10)?;
        config.warnings();
        Ok(())
    });
    if let Err(error) = read {
        check_message(&error);
    }
});
