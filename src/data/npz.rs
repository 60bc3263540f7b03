//! Parser of NumPy archives (`.npz`), the form in which data sets are most easily brought from Python.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::read::{MAX_UNPACKED, RawImages, RawSet, bad, check_unpacked, pair, side};
use crate::Result;

/// Train and test split of a NumPy archive with `train_images`, `train_labels`, `test_images` and `test_labels`:
/// `uint8` images of shape N×H×W, N×H×W×1 or N×H×W×3 and labels of shape N and any integer type, in C order.
///
/// # Errors
/// [`Error::Data`] naming the file and the array.
pub(super) fn parse(file: &str, bytes: &[u8], classes: usize) -> Result<(RawSet, RawSet)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| bad(file, format_args!("not a readable npz (zip) archive ({e}); fetch or save it again")))?;
    let mut split = |name: &str| {
        let images_file = format!("{file}, array {name}_images");
        let labels_file = format!("{file}, array {name}_labels");
        let images = npy_images(&images_file, &member(file, &mut archive, &format!("{name}_images"))?)?;
        let labels = npy_labels(&labels_file, &member(file, &mut archive, &format!("{name}_labels"))?, classes)?;
        pair(&images_file, images, &labels_file, labels)
    };
    Ok((split("train")?, split("test")?))
}

/// The unpacked bytes of array `name` of an archive.
fn member(file: &str, archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<u8>> {
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        let mut found: Vec<_> = archive.file_names().filter_map(|n| Some(n.ok()?.trim_end_matches(".npy").to_owned())).collect();
        found.sort_unstable();
        found.truncate(8);
        return Err(bad(
            file,
            format_args!(
                "array {name} is missing (found: {}); save train_images, train_labels, test_images and test_labels",
                if found.is_empty() { "none".to_owned() } else { found.join(", ") }
            ),
        ));
    };
    let mut content = Vec::new();
    let entry = archive.by_index(index).map_err(|e| bad(file, format_args!("array {name}: {e}; save the file again with numpy.savez")))?;
    let read = entry.take(MAX_UNPACKED + 1).read_to_end(&mut content);
    read.map_err(|e| {
        let got = content.len();
        bad(file, format_args!("array {name}: damaged after {got} unpacked bytes ({e}); fetch or save the file again"))
    })?;
    check_unpacked(&format!("{file}, array {name}"), content.len())?;
    Ok(content)
}

/// A NumPy array in C order: element type as in `|u1`, shape, and its raw bytes, whose number fits the two.
struct Npy<'a> {
    descr: &'a str,
    shape: Vec<usize>,
    data: &'a [u8],
}

/// Reads the header of an `.npy` file: `\x93NUMPY`, version, header length, and a Python dictionary such as
/// `{'descr': '|u1', 'fortran_order': False, 'shape': (3000, 28, 28, 3), }`.
///
/// This is hand-made because the crates for it multiply the shape unchecked and parse the dictionary with unbounded
/// recursion, and so crash on hostile files; only the flat dictionaries that NumPy writes for plain arrays are taken.
fn npy<'a>(file: &str, bytes: &'a [u8]) -> Result<Npy<'a>> {
    let broken = |at: usize, what: &str| bad(file, format_args!("byte {at}: {what}; save it as a plain array with numpy.savez"));
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(broken(0, "not a NumPy array, whose first bytes are \\x93NUMPY"));
    }
    let (start, len) = match bytes[6..] {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [0..=3, ..] | [] => return Err(broken(bytes.len(), "the array ends inside its header")),
        [version, ..] => return Err(broken(6, &format!("unknown format version {version}"))),
    };
    let Some((header, data)) = bytes[start..].split_at_checked(len) else {
        return Err(broken(bytes.len(), "the array ends inside its header"));
    };
    let header = std::str::from_utf8(header).map_err(|e| broken(start + e.valid_up_to(), "the header is not text"))?;
    // The text after `'key':`, without leading spaces.
    let value = |key: &str| -> Option<&'a str> {
        let at = header.find(&format!("'{key}'"))? + key.len() + 2;
        Some(header[at..].trim_start().strip_prefix(':')?.trim_start())
    };
    let missing = |key: &str| broken(start, &format!("the header has no readable {key}"));

    let descr = value("descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next()).ok_or_else(|| missing("descr"))?;
    match value("fortran_order").ok_or_else(|| missing("fortran_order"))? {
        v if v.starts_with("False") => {}
        _ => {
            return Err(broken(start, "the array is in Fortran order; use numpy.ascontiguousarray"));
        }
    }
    let shape: Option<Vec<usize>> = value("shape")
        .and_then(|v| v.strip_prefix('(')?.split_once(')'))
        .and_then(|(v, _)| v.split(',').map(str::trim).filter(|v| !v.is_empty()).map(|v| v.parse().ok()).collect());
    let shape = shape.ok_or_else(|| missing("shape"))?;

    let item = descr.get(2..).and_then(|n| n.parse::<usize>().ok()).filter(|&n| n > 0);
    let item = item.ok_or_else(|| broken(start, &format!("unknown element type {descr:?}")))?;
    let wanted = shape.iter().try_fold(item, |product, &n| product.checked_mul(n));
    if wanted != Some(data.len()) {
        return Err(broken(start + len, &format!("{} bytes of data do not fit shape {shape:?} of type {descr:?}", data.len())));
    }
    Ok(Npy { descr, shape, data })
}

fn npy_images(file: &str, bytes: &[u8]) -> Result<RawImages> {
    let array = npy(file, bytes)?;
    if !matches!(array.descr, "|u1" | "<u1" | ">u1" | "=u1") {
        return Err(bad(file, format_args!("elements are of type {:?}, but images must be uint8", array.descr)));
    }
    let (height, width, channels) = match array.shape[..] {
        [_, height, width] => (height, width, 1),
        [_, height, width, channels @ (1 | 3)] => (height, width, channels),
        _ => {
            return Err(bad(file, format_args!("shape is {:?}, but must be N×H×W (grey) or N×H×W×3 (channels last)", array.shape)));
        }
    };
    let height = side(file, height as u64, "the image height")?;
    let width = side(file, width as u64, "the image width")?;
    Ok(RawImages { height, width, channels, pixels: array.data.to_vec() })
}

fn npy_labels(file: &str, bytes: &[u8], classes: usize) -> Result<Vec<u8>> {
    let array = npy(file, bytes)?;
    let [count] = array.shape[..] else {
        return Err(bad(file, format_args!("shape is {:?}, but labels must be a single row", array.shape)));
    };
    let &[order, kind @ (b'i' | b'u'), size @ (b'1' | b'2' | b'4' | b'8')] = array.descr.as_bytes() else {
        return Err(bad(file, format_args!("elements are of type {:?}, but labels must be integers", array.descr)));
    };
    let size = usize::from(size - b'0');
    let mut labels = Vec::with_capacity(count);
    for (i, item) in array.data.chunks_exact(size).enumerate() {
        // Sign-extend to eight little-endian bytes.
        let mut little = item.to_vec();
        if order == b'>' {
            little.reverse();
        }
        let negative = kind == b'i' && little[size - 1] >= 0x80;
        little.resize(8, if negative { 0xff } else { 0 });
        let label = little.iter().rev().fold(0_i64, |value, &byte| (value << 8) | i64::from(byte));
        match u8::try_from(label) {
            Ok(l) if usize::from(l) < classes => labels.push(l),
            _ => {
                return Err(bad(file, format_args!("row {i}: label {label} is not among 0 to {}", classes - 1)));
            }
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn npy_file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    fn npz_file(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in arrays {
            writer.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn good_npz() -> Vec<(&'static str, Vec<u8>)> {
        let labels: Vec<u8> = [7_i64, 0, 9].iter().flat_map(|l| l.to_le_bytes()).collect();
        vec![
            ("train_images", npy_file("|u1", "(3, 2, 2, 3)", &[5; 36])),
            ("train_labels", npy_file("<i8", "(3,)", &labels)),
            ("test_images", npy_file("|u1", "(1, 2, 2, 3)", &[6; 12])),
            ("test_labels", npy_file("|u1", "(1,)", &[4])),
        ]
    }

    #[track_caller]
    fn assert_says(message: &str, parts: &[&str]) {
        assert!(message.starts_with("the-file"), "no file name: {message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }

    #[test]
    fn npz_files_are_read() {
        let (train, test) = parse("f", &npz_file(&good_npz()), 10).unwrap();
        assert_eq!((train.labels, test.labels), (vec![7, 0, 9], vec![4]));
        assert_eq!((train.images.channels, train.images.len(), test.images.pixels[0]), (3, 3, 6));
        // Every integer type and byte order.
        for (descr, item) in [("|i1", &[5][..]), (">i2", &[0, 5]), ("<u4", &[5, 0, 0, 0]), (">i8", &[0, 0, 0, 0, 0, 0, 0, 5])] {
            assert_eq!(npy_labels("f", &npy_file(descr, "(1,)", item), 10).unwrap(), [5], "{descr}");
        }
        let grey = npy_images("f", &npy_file("|u1", "(2, 1, 3)", &[1; 6])).unwrap();
        assert_eq!((grey.channels, grey.len()), (1, 2));
    }

    #[test]
    fn damaged_npz_files_are_told_with_the_array() {
        let f = "the-file";
        let with = |name: &str, array: Vec<u8>| {
            let mut arrays = good_npz();
            arrays.iter_mut().find(|(n, _)| *n == name).unwrap().1 = array;
            parse(f, &npz_file(&arrays), 10).unwrap_err().to_string()
        };
        assert_says(&parse(f, b"PK no zip", 10).unwrap_err().to_string(), &["not a readable npz"]);
        assert_says(
            &parse(f, &npz_file(&good_npz()[..3]), 10).unwrap_err().to_string(),
            &["test_labels is missing", "test_images, train_images"],
        );
        let floats = npy_file("<f4", "(3, 1, 1)", &[0; 12]);
        assert_says(&with("train_images", floats.clone()), &["train_images", "\"<f4\"", "must be uint8"]);
        assert_says(&with("test_labels", npy_file("<f4", "(3,)", &[0; 12])), &["test_labels", "must be integers"]);
        assert_says(&with("train_images", npy_file("|u1", "(3, 3, 2, 2)", &[0; 36])), &["[3, 3, 2, 2]", "channels last"]);
        assert_says(&with("train_images", npy_file("|u1", "(9, 9, 9)", &[0; 36])), &["36 bytes", "[9, 9, 9]"]);
        let overflow = format!("({0}, {0}, {0})", u64::MAX);
        assert_says(&with("train_images", npy_file("|u1", &overflow, &[0; 36])), &["do not fit"]);
        assert_says(&with("train_images", npy_file("|u1", "(2, 2, 3)", &[0; 12])), &["2 images", "3 labels"]);
        assert_says(&with("test_labels", npy_file("|i1", "(1,)", &[0xff])), &["row 0", "label -1", "0 to 9"]);
        let fortran = String::from_utf8_lossy(&npy_file("|u1", "(1, 1, 1)", b"x")[10..]).replace("False", "True ");
        let fortran = [b"\x93NUMPY\x01\x00", &(fortran.len() as u16 - 1).to_le_bytes()[..], fortran.as_bytes()].concat();
        assert_says(&with("train_images", fortran), &["Fortran"]);
        assert_says(&with("train_images", b"\x93NUMPY\x01\x00\xff\xff{}".to_vec()), &["inside its header"]);
        assert_says(&with("train_images", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec()), &["inside its header"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0usize..3) {
            let bytes = [[&b""[..], b"\x93NUMPY\x01\0", b"PK\x03\x04"][magic], &bytes].concat();
            let _ = parse("f", &bytes, 10);
            let _ = npy_images("f", &bytes);
            let _ = npy_labels("f", &bytes, 10);
        }

        #[test]
        fn damaged_files_never_panic(cut: prop::sample::Index, at: prop::sample::Index, value: u8, archive: bool) {
            let file = if archive { npz_file(&good_npz()) } else { good_npz()[1].1.clone() };
            let read = |bytes: &[u8]| match archive {
                true => parse("f", bytes, 10).is_ok(),
                false => npy_labels("f", bytes, 10).is_ok(),
            };
            prop_assert!(read(&file));
            let cut = cut.index(file.len());
            prop_assert!(!read(&file[..cut]), "a file cut to {} bytes was taken", cut);
            let mut changed = file;
            let at = at.index(changed.len());
            changed[at] = value;
            read(&changed);
        }

        #[test]
        fn hostile_npy_headers_never_panic(header in "[{}'()a-z:, 0-9<>|]{0,80}") {
            let text = header.as_bytes();
            let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text].concat();
            let _ = npy_images("f", &bytes);
            let _ = npy_labels("f", &bytes, 10);
        }
    }
}
