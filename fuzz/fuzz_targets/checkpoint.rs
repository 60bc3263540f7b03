//! Checkpoints: the bytes of the whole file, or (by the first byte) the JSON of the header and the values of a sound safetensors file;
//! read as a checkpoint of this program and as parameters to import.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fl::run::Checkpoint;
use splitmix_fl::run::checkpoint::import;
use splitmix_fl::run::model::wanted_tensors;
use splitmix_fuzz::{FIXED, bounded, check_message, parts};

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let file = match mode % 3 {
        0 => bytes.to_vec(),
        1 => {
            let [header, values] = parts(bytes);
            [&(header.len() as u64).to_le_bytes()[..], header, values].concat()
        }
        _ => {
            // Only the splitmix metadata, in JSON's own quoting.
            let tensors: String = ["0.conv1.weight", "0.conv1.bias", "1.conv1.weight", "1.conv1.bias"]
                .iter()
                .enumerate()
                .map(|(i, name)| format!(",\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{},{}]}}", 4 * i, 4 * i + 4))
                .collect();
            let text: String = String::from_utf8_lossy(bytes).escape_default().collect::<String>().replace("\\'", "'");
            let header = format!("{{\"__metadata__\":{{\"splitmix\":\"{text}\"}}{tensors}}}");
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 16]].concat()
        }
    };
    // What the file describes is built: a network's list of tensors.
    let checkpoint = bounded(data.len(), FIXED, || Checkpoint::from_bytes(&file, "the-file"));
    match checkpoint {
        Ok(checkpoint) => {
            let bytes = checkpoint.to_bytes().expect("what was read can be written");
            assert!(Checkpoint::from_bytes(&bytes, "again").is_ok());
            if let Ok(network) = bounded(data.len(), FIXED, || checkpoint.header.network()) {
                let wanted = wanted_tensors(&network);
                if let Err(error) = bounded(data.len(), FIXED, || checkpoint.take_parameters(&wanted, "the-file")) {
                    check_message(&error);
                }
            }
        }
        Err(error) => check_message(&error),
    }
    let wanted = [("conv1.weight".to_owned(), vec![1]), ("bn1.adversarial.weight".to_owned(), vec![2]), ("fc3.bias".to_owned(), vec![3])];
    for bases in [1, 2] {
        if let Err(error) = bounded(data.len(), FIXED, || import(&file, "the-file", &wanted, bases)) {
            check_message(&error);
        }
    }
});
