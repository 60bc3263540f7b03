//! SVHN's cropped digits: `train_32x32.mat` and `test_32x32.mat`, MATLAB files of level 5 with the variables X and y. (The crate for
//! MATLAB files unpacks without a limit.)

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::array::Array;
use super::read::{MAX_UNPACKED, RawImages, RawSet, bad, pair, too_large};
use crate::Result;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

/// Images and labels of one file; the label 10 stands for the digit 0.
///
/// # Errors
/// [`crate::Error::Data`] naming the file and the byte or variable.
pub(super) fn svhn(file: &str, bytes: &[u8]) -> Result<RawSet> {
    let big = match (bytes.starts_with(b"MATLAB 5.0"), bytes.get(126..128)) {
        _ if bytes.starts_with(b"MATLAB 7.3") || bytes.get(512..520) == Some(b"\x89HDF\r\n\x1a\n") => {
            return Err(bad(
                file,
                "this is a MATLAB 7.3 (HDF5) file; save it with save(…, '-v7'), or fetch train_32x32.mat and test_32x32.mat",
            ));
        }
        (true, Some(b"IM")) => false,
        (true, Some(b"MI")) => true,
        _ => return Err(bad(file, "byte 0: not a MATLAB file of level 5, whose first bytes are MATLAB 5.0; fetch it again")),
    };
    let (mut images, mut labels) = (None, None);
    let mut reader = Reader { file, bytes: &bytes[128..], at: 128, big };
    while !reader.bytes.is_empty() {
        let (kind, content, at) = reader.element()?;
        let unpacked;
        let (kind, content) = if kind == COMPRESSED {
            unpacked = unpack(file, at, content)?;
            let (kind, content, _) = Reader { file, bytes: &unpacked, at, big }.element()?;
            (kind, content)
        } else {
            (kind, content)
        };
        if kind != MATRIX {
            continue;
        }
        let (name, array) = matrix(&mut Reader { file, bytes: content, at, big })?;
        let called = format!("{file}, variable {name}");
        match name.as_str() {
            "X" => images = Some((pixels(&called, &array)?, called)),
            "y" => labels = Some((digits(&called, &array)?, called)),
            _ => {}
        }
    }
    let (Some((images, images_file)), Some((labels, labels_file))) = (images, labels) else {
        return Err(bad(file, "it holds no variables X (images) and y (labels); fetch SVHN's train_32x32.mat and test_32x32.mat"));
    };
    pair(&images_file, images, &labels_file, labels)
}

fn unpack(file: &str, at: usize, packed: &[u8]) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = ZlibDecoder::new(packed).take(MAX_UNPACKED + 1).read_to_end(&mut content);
    read.map_err(|_| bad(file, format_args!("byte {at}: damaged compressed variable; fetch the file again")))?;
    if content.len() as u64 > MAX_UNPACKED { Err(too_large(file)) } else { Ok(content) }
}

/// Name and numbers of a variable; numbers that are not real, and other kinds of values, have an empty array.
fn matrix<'a>(reader: &mut Reader<'a>) -> Result<(String, Array<'a>)> {
    let (file, big, at) = (reader.file, reader.big, reader.at);
    let word = |bytes: &[u8], i: usize| {
        let word = bytes.get(4 * i..4 * i + 4).and_then(|w| w.first_chunk().copied());
        word.map(|w| if big { u32::from_be_bytes(w) } else { u32::from_le_bytes(w) })
    };
    let (_, flags, _) = reader.element()?;
    // Of its flags, 0x08 says that the numbers are complex; classes 6 to 15 are numbers.
    let flags = word(flags, 0).ok_or_else(|| bad(file, format_args!("byte {at}: a variable has no flags; fetch the file again")))?;
    let (_, dims, _) = reader.element()?;
    let shape: Vec<usize> = (0..dims.len() / 4).filter_map(|i| word(dims, i)).map(|n| n as usize).collect();
    let (_, name, _) = reader.element()?;
    let name = String::from_utf8_lossy(name).into_owned();
    if !(6..=15).contains(&(flags & 0xff)) || flags & 0x0800 != 0 {
        return Array::new("|u1", vec![0], true, Vec::new()).map(|empty| (name, empty)).map_err(|what| bad(file, what));
    }
    let (kind, data, _) = reader.element()?;
    let letter = if big { '>' } else { '<' };
    let (descr, size) = match kind {
        1 => ("i1", 1),
        2 => ("u1", 1),
        3 => ("i2", 2),
        4 => ("u2", 2),
        5 => ("i4", 4),
        6 => ("u4", 4),
        7 => ("f4", 4),
        9 => ("f8", 8),
        12 => ("i8", 8),
        13 => ("u8", 8),
        _ => return Err(bad(file, format_args!("variable {name}: element type {kind} is no number; fetch the file again"))),
    };
    let count = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    if shape.is_empty() || count.and_then(|n| n.checked_mul(size)) != Some(data.len()) {
        return Err(bad(file, format_args!("variable {name}: {} bytes do not fit shape {shape:?}; fetch the file again", data.len())));
    }
    let array = Array::new(&format!("{letter}{descr}"), shape, true, data);
    array.map(|array| (name, array)).map_err(|what| bad(file, what))
}

/// X, height × width × channels × images in MATLAB's order.
fn pixels(file: &str, array: &Array) -> Result<RawImages> {
    let [_, _, 1 | 3, _] = array.shape[..] else {
        return Err(bad(file, format_args!("shape is {:?}, but must be height × width × 3 × images", array.shape)));
    };
    array.pixels(file, [3, 0, 1, 2]).map(|pixels| pixels.images)
}

fn digits(file: &str, array: &Array) -> Result<Vec<u8>> {
    let mut labels = array.labels(file)?;
    for (i, label) in labels.iter_mut().enumerate() {
        match *label {
            10 => *label = 0,
            0..10 => {}
            other => return Err(bad(file, format_args!("row {i}: label {other} is not among 1 to 10 (10 is the digit 0)"))),
        }
    }
    Ok(labels)
}

struct Reader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    /// Byte of the file (of the packed variable in it, where it is compressed).
    at: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    /// Type, content and place of the next element.
    fn element(&mut self) -> Result<(u32, &'a [u8], usize)> {
        let at = self.at;
        let ends = || bad(self.file, format_args!("byte {at}: the file ends inside a variable; fetch it again"));
        let word = |i: usize| {
            let bytes = self.bytes.get(i..i + 4)?.first_chunk().copied()?;
            Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let first = word(0).ok_or_else(ends)?;
        // Up to four bytes lie in the tag itself.
        let (kind, start, len) = match first >> 16 {
            0 => (first, 8, word(4).ok_or_else(ends)? as usize),
            len => (first & 0xffff, 4, len as usize),
        };
        let content = self.bytes.get(start..).and_then(|rest| rest.get(..len)).ok_or_else(ends)?;
        // Elements begin at multiples of eight bytes, compressed ones follow each other without a gap.
        let next = if start == 4 {
            8
        } else if kind == COMPRESSED {
            8 + len
        } else {
            8 + len.next_multiple_of(8)
        };
        let next = next.min(self.bytes.len());
        self.bytes = &self.bytes[next..];
        self.at += next;
        Ok((kind, content, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written by `golden/make_arrays.py`: plain, compressed, and with labels as doubles.
    const GOLDEN: [&[u8]; 3] =
        [include_bytes!("golden/svhn.mat"), include_bytes!("golden/svhn_packed.mat"), include_bytes!("golden/svhn_double.mat")];

    #[test]
    fn files_of_all_forms_are_read() {
        for (i, bytes) in GOLDEN.iter().enumerate() {
            let set = svhn("f", bytes).unwrap();
            assert_eq!(set.labels, [0, 4], "{i}");
            assert_eq!((set.images.height, set.images.width, set.images.channels, set.images.len()), (2, 3, 3, 2));
            // In the source, the image counts fastest, then the channel, the column and the row.
            let wanted: Vec<u8> = (0..2).flat_map(|n| (0..18).map(move |i| 2 * i + n)).collect();
            assert_eq!(set.images.pixels, wanted, "{i}");
        }
    }

    #[test]
    fn damage_and_other_files_are_named() {
        let told = |bytes: &[u8]| svhn("f.mat", bytes).unwrap_err().to_string();
        assert!(told(b"MATLAB 7.3 MAT-file, Platform: GLNXA64").starts_with("f.mat: this is a MATLAB 7.3 (HDF5) file; save it with"));
        assert!(told(b"GIF89a").contains("byte 0: not a MATLAB file of level 5"));
        assert!(told(&GOLDEN[0][..128]).contains("it holds no variables X (images) and y (labels)"));
        for bytes in GOLDEN {
            for cut in 0..bytes.len() {
                assert!(svhn("f", &bytes[..cut]).is_err(), "a file cut to {cut} bytes was taken");
            }
        }
        assert!(told(&GOLDEN[0][..190]).contains("byte 128: the file ends inside a variable"), "{}", told(&GOLDEN[0][..190]));
        let eleven = |label: u8| {
            let mut bytes = GOLDEN[0].to_vec();
            let at = bytes.len() - 8;
            assert_eq!(bytes[at + 4..], [10, 4, 0, 0]);
            bytes[at + 4] = label;
            told(&bytes)
        };
        assert_eq!(eleven(11), "f.mat, variable y: row 0: label 11 is not among 1 to 10 (10 is the digit 0)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn changed_files_never_panic(which in 0usize..3, changes in prop::collection::vec((128usize..320, any::<u8>()), 1..6)) {
            let mut bytes = GOLDEN[which].to_vec();
            for (at, value) in changes {
                let at = at.min(bytes.len() - 1);
                bytes[at] = value;
            }
            let _ = svhn("f", &bytes);
        }
    }
}
