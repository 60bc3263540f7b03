//! The description of a network, built at several widths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fl::net::Architecture;
use splitmix_fuzz::{FIXED, bounded, check_message};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = bounded(data.len(), FIXED, || -> splitmix_fl::Result<()> {
        let architecture = Architecture::from_toml(text)?;
        architecture.base(1, 1, 10)?;
        architecture.base(1, 8, 256)?;
        architecture.corner(1, 3, 2)?;
        Ok(())
    });
    if let Err(error) = read {
        check_message(&error);
    }
});
