//! Text files of USPS, in two forms, and optdigits. The first byte says which and how it is packed; the test file is good.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splitmix_fuzz::{FIXED, ROWS, folder, gzip, load, put};

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let folder = folder();
    if mode & 4 != 0 {
        let packed = if mode & 1 == 0 { "" } else { ".bz2" };
        put(&folder, &format!("set/usps{packed}"), bytes);
        put(&folder, "set/usps.t", b"1 1:0.5 256:-1\n");
        load(&folder, data.len(), ROWS);
        return;
    }
    let (train, test, good) = match mode & 1 {
        0 => ("zip.train", "zip.test", format!("1{}\n", " 0".repeat(256))),
        _ => ("optdigits.tra", "optdigits.tes", format!("{}1\n", "0,".repeat(64))),
    };
    put(&folder, &format!("set/{test}"), good.as_bytes());
    match mode & 2 {
        0 => put(&folder, &format!("set/{train}"), bytes),
        _ => put(&folder, &format!("set/{train}.gz"), &gzip(bytes)),
    }
    load(&folder, data.len(), FIXED);
});
