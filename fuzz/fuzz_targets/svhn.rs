//! SVHN's MATLAB files: the bytes of the whole file, or (by the first byte) one compressed variable in a sound file.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, folder, load, put};

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    let file = if mode & 1 == 0 {
        bytes.to_vec()
    } else {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
        packed.write_all(bytes).expect("a vector takes it");
        let packed = packed.finish().expect("a vector takes it");
        let head = [&b"MATLAB 5.0 MAT-file"[..], &[b' '; 105], b"\x00\x01IM"].concat();
        [&head, &15_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &packed].concat()
    };
    for name in ["train_32x32.mat", "test_32x32.mat"] {
        put(&folder, &format!("set/{name}"), &file);
    }
    load(&folder, 2 * data.len(), FIXED);
});
