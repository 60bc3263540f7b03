//! Folder trees: each byte opens a folder, closes one, or puts a file or a link there, with names and contents that layouts know.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, PNG, folder, load};

const FOLDERS: [&str; 24] = [
    "train",
    "test",
    "val",
    "Train",
    "TEST",
    "valid",
    "validation",
    "cat",
    "dog",
    "Cat",
    "caf\u{e9}",
    "cafe\u{301}",
    "__MACOSX",
    ".git",
    "raw",
    "MNIST",
    "a",
    "b",
    "training",
    "testing",
    "mnist",
    "usps",
    " ",
    "\u{202e}x",
];
const FILES: [&str; 24] = [
    "0.png",
    "1.png",
    "2.PNG",
    "3.jpg",
    "4.jfif",
    "._0.png",
    "Thumbs.db",
    ".DS_Store",
    "readme.txt",
    "5.webp",
    "6.bmp",
    "7.gif",
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "zip.train",
    "zip.test",
    "a.npz",
    "x_train.npy",
    "data_batch_1.bin",
    "test_batch.bin",
    "train_32x32.mat",
    "usps.bz2",
];

fuzz_target!(|data: &[u8]| {
    let root = folder();
    let mut here = root.clone();
    let mut bytes = data.iter().take(96);
    while let (Some(&what), Some(&which)) = (bytes.next(), bytes.next()) {
        let which = usize::from(which);
        match what % 8 {
            0..=2 => {
                here.push(FOLDERS[which % FOLDERS.len()]);
                let _ = std::fs::create_dir(&here);
            }
            3 if here != root => {
                here.pop();
            }
            4 if which % 4 == 0 => {
                let target = [root.as_path(), &here, &root.join("nowhere"), std::path::Path::new("..")][which / 4 % 4].to_owned();
                let _ = std::os::unix::fs::symlink(target, here.join(["link", "8.png", "sub"][which / 16 % 3]));
            }
            _ => {
                let content: &[u8] = match what / 8 % 4 {
                    0 | 1 => PNG,
                    2 => b"",
                    _ => b"\0\0\x08\x03 no picture",
                };
                let _ = std::fs::write(here.join(FILES[which % FILES.len()]), content);
            }
        }
    }
    load(&root, data.len(), 2 * FIXED);
});
