//! MNIST's four IDX files, under the names of MNIST or of a split of EMNIST. The first byte says which of them is fuzzed, under which
//! name, and whether it lies in a gzip file; the others are good.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, folder, gzip, load, put};

const NAMES: [&str; 4] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
const IMAGES: &[u8] = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02abcdefgh";
const LABELS: &[u8] = b"\0\0\x08\x01\0\0\0\x02\0\x01";

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    for (i, name) in NAMES.iter().enumerate() {
        let name = match mode >> 3 & 3 {
            1 => name.replace("t10k", "test").replace("train", "emnist-letters-train").replace("test", "emnist-letters-test"),
            2 => name.replace("-idx", ".idx"),
            _ => name.to_string(),
        };
        let good = if i % 2 == 0 { IMAGES } else { LABELS };
        match (usize::from(mode) % 4 == i, mode & 4 != 0) {
            (false, _) => put(&folder, &format!("set/{name}"), good),
            (true, false) => put(&folder, &format!("set/{name}"), bytes),
            (true, true) => put(&folder, &format!("set/{name}.gz"), &gzip(bytes)),
        }
    }
    load(&folder, data.len(), FIXED);
});
