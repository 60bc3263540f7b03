//! NumPy archives: the bytes of the whole archive, or (by the first byte) of arrays in a sound one, or of files side by side.
#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, folder, load, parts, put};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Names that archives have their arrays under: images and labels of the training and the test set, as NumPy users, Keras and MedMNIST
/// have them.
const NAMES: [[&str; 4]; 3] = [
    ["train_images", "train_labels", "test_images", "test_labels"],
    ["x_train", "y_train", "x_test", "y_test"],
    ["train_images", "train_labels", "val_images", "val_labels"],
];

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    if mode == 0 {
        put(&folder, "set/set.npz", bytes);
    } else if mode & 128 != 0 {
        let [images, labels] = parts(bytes);
        for (i, name) in NAMES[usize::from(mode) % NAMES.len()].iter().enumerate() {
            put(&folder, &format!("set/{name}.npy"), if i % 2 == 0 { images } else { labels });
        }
    } else {
        let names = NAMES[usize::from(mode) % NAMES.len()];
        let [images, labels] = parts(bytes);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (i, name) in names.iter().enumerate() {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            archive.start_file(format!("{name}.npy"), options).expect("a vector takes it");
            archive.write_all(if i % 2 == 0 { images } else { labels }).expect("a vector takes it");
        }
        put(&folder, "set/set.npz", archive.finish().expect("a vector takes it").get_ref());
    }
    load(&folder, data.len(), FIXED);
});
