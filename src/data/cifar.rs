//! CIFAR-10 in its binary format: records of a label and 32×32 red, green, blue planes.

use super::read::{RawImages, RawSet, bad};
use crate::Result;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

/// The classes, where no `batches.meta.txt` names them.
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names of the classes: the lines of `batches.meta.txt`, or those of CIFAR-10.
pub(super) fn classes(meta: Option<&str>) -> Vec<String> {
    let named: Vec<String> = meta.unwrap_or_default().lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if named.is_empty() { CLASSES.map(str::to_owned).to_vec() } else { named }
}

/// The images of one batch file.
///
/// # Errors
/// [`crate::Error::Data`] naming the file and the record.
pub(super) fn batch(file: &str, bytes: &[u8], classes: usize) -> Result<RawSet> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(bad(
            file,
            format_args!(
                "{} bytes are no number of records of {RECORD} bytes: it is truncated or no CIFAR-10 batch; fetch it again",
                bytes.len()
            ),
        ));
    }
    let count = bytes.len() / RECORD;
    let (mut pixels, mut labels) = (Vec::with_capacity(count * 3 * PLANE), Vec::with_capacity(count));
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if usize::from(label) >= classes {
            return Err(bad(file, format_args!("record {i} has label {label}, but there are {classes} classes; the file is damaged")));
        }
        labels.push(label);
        pixels.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
    }
    Ok(RawSet { images: RawImages { height: SIDE, width: SIDE, channels: 3, pixels }, labels })
}

/// Several batches as one.
pub(super) fn joined(batches: Vec<RawSet>) -> RawSet {
    let mut batches = batches.into_iter();
    let mut all = batches
        .next()
        .unwrap_or(RawSet { images: RawImages { height: SIDE, width: SIDE, channels: 3, pixels: Vec::new() }, labels: Vec::new() });
    for batch in batches {
        all.images.pixels.extend(batch.images.pixels);
        all.labels.extend(batch.labels);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let mut bytes = vec![7];
        bytes.extend((0..3 * PLANE).map(|i| (i / PLANE * 50 + i % PLANE % 5) as u8));
        let set = batch("b", &bytes, 10).unwrap();
        assert_eq!(set.labels, [7]);
        assert_eq!(set.images.pixels[..9], [0, 50, 100, 1, 51, 101, 2, 52, 102]);
        assert_eq!(joined(vec![set.clone(), set]).labels, [7, 7]);
    }

    #[test]
    fn damage_is_told_by_record() {
        let told = |bytes: &[u8]| batch("b.bin", bytes, 10).unwrap_err().to_string();
        assert!(told(&[]).contains("b.bin: 0 bytes"));
        assert!(told(&[0; RECORD + 1]).contains("truncated"));
        let mut two = vec![0; 2 * RECORD];
        two[RECORD] = 10;
        assert!(told(&two).contains("record 1 has label 10"));
    }

    #[test]
    fn classes_have_their_own_names() {
        assert_eq!(classes(None)[3], "cat");
        assert_eq!(classes(Some("a\nb\n\n")), ["a", "b"]);
    }
}
