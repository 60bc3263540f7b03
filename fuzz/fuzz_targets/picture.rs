//! A picture, of any format that is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fl::data::load_image;
use splitmix_fuzz::{PICTURE, bounded, check_message};

fuzz_target!(|data: &[u8]| {
    match bounded(data.len(), PICTURE, || load_image(data, 5, 7)) {
        Ok(pixels) => assert_eq!(pixels.len(), 5 * 7 * 3),
        Err(error) => check_message(&error),
    }
});
