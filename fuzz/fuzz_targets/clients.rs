//! A clients file beside three pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fl::data::{LoadOptions, load_clients};
use splitmix_fuzz::{FIXED, PNG, bounded, check_message, folder, put};

fuzz_target!(|data: &[u8]| {
    let folder = folder();
    for name in ["a.png", "b.png", "c.png"] {
        put(&folder, name, PNG);
    }
    put(&folder, "clients.csv", data);
    match bounded(data.len(), FIXED, || load_clients(&folder.join("clients.csv"), &LoadOptions::new((4, 4)))) {
        Ok(dataset) => dataset.check().expect("what was read is a data set"),
        Err(error) => check_message(&error),
    }
});
