//! CIFAR: a binary or Python batch, the file with the names of the classes, or an archive, by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, folder, gzip, load, put};

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    let record = [&[1][..], &[9; 3 * 32 * 32]].concat();
    match mode % 9 {
        // The whole archive, and a tar file whose gzip layer is sound.
        0 => put(&folder, "set/cifar-10-binary.tar.gz", bytes),
        1 => put(&folder, "set/cifar-10-binary.tar.gz", &gzip(bytes)),
        2 => {
            // Sound layers around the batch.
            let mut archive = tar::Builder::new(Vec::new());
            for (name, content) in [("data_batch_1.bin", bytes), ("test_batch.bin", &record)] {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), content).expect("a vector takes it");
            }
            put(&folder, "set/cifar-10-binary.tar.gz", &gzip(&archive.into_inner().expect("a vector takes it")));
        }
        3 => {
            put(&folder, "set/data_batch_1.bin", bytes);
            put(&folder, "set/test_batch.bin", &record);
        }
        4 => {
            put(&folder, "set/data_batch_1.bin", &record);
            put(&folder, "set/test_batch.bin", &record);
            put(&folder, "set/batches.meta.txt", bytes);
        }
        5 => {
            for name in ["data_batch_1", "test_batch"] {
                put(&folder, &format!("set/cifar-10-batches-py/{name}"), bytes);
            }
        }
        6 => {
            for name in ["train", "test", "meta"] {
                put(&folder, &format!("set/cifar-100-python/{name}"), bytes);
            }
        }
        7 => put(&folder, "set/cifar-100-python.tar.gz", &gzip(bytes)),
        _ => {
            for name in ["train.bin", "test.bin"] {
                put(&folder, &format!("set/cifar-100-binary/{name}"), bytes);
            }
            put(&folder, "set/cifar-100-binary/fine_label_names.txt", &bytes[..bytes.len() / 2]);
        }
    }
    // The good record and its copies.
    load(&folder, data.len(), FIXED);
});
