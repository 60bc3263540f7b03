//! The files of a run's folder that a report reads: one of them is fuzzed, by the first byte, and the page is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fl::report::{Run, groups, page};
use splitmix_fuzz::{FIXED, bounded, check_message, folder, put};

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    put(&folder, "run/config.toml", b"rounds = 2\n");
    let name = ["metrics.jsonl", "test.json", "grid.json", "clients.json", "config.toml"][usize::from(mode) % 5];
    put(&folder, &format!("run/{name}"), bytes);
    // The charts of a page and their text take more than the numbers.
    let read = bounded(data.len(), 2 * FIXED, || Run::find(&[folder.join("run")]).and_then(groups).and_then(|groups| page(&groups)));
    if let Err(error) = read {
        check_message(&error);
    }
});
