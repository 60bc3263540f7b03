//! USPS in the form of LIBSVM's page: `usps` for training and `usps.t` for testing, plain or `.bz2`.

use std::borrow::Cow;
use std::io::Read;

use bzip2::read::MultiBzDecoder;

use super::read::{MAX_UNPACKED, RawImages, RawSet, bad, broken, pair, too_large};
use crate::Result;

const SIDE: usize = 16;

/// Most images: a line of two bytes makes one of 256. USPS has 7291 for training.
const MOST: usize = 100_000;

/// Images and labels: one image per line, its class from 1 (the digit 0) to 10, then `index:value` from 1 to 256 with values from
/// −1 to 1, as in `usps.bz2`; a pixel that is not given is 0.
///
/// # Errors
/// [`crate::Error::Data`] naming the file and line.
pub(super) fn usps(file: &str, bytes: &[u8]) -> Result<RawSet> {
    let content = unpack(file, bytes)?;
    let text = std::str::from_utf8(&content)
        .map_err(|e| bad(file, format_args!("byte {}: not text; this is not a file of numbers, fetch it again", e.valid_up_to())))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |what: std::fmt::Arguments| bad(file, format_args!("line {}: {what}", i + 1));
        let mut fields = line.split_ascii_whitespace();
        let Some(label) = fields.next() else { continue };
        if labels.len() == MOST {
            return Err(wrong(format_args!("it holds more than {MOST} images; use fewer")));
        }
        match label.parse::<f32>() {
            Ok(l) if (1.0..=10.0).contains(&l) && l.fract() == 0.0 => labels.push(l as u8 - 1),
            _ => return Err(wrong(format_args!("label {label:?} is not an integer from 1 (the digit 0) to 10"))),
        }
        let mut row = [0_f32; SIDE * SIDE];
        let mut last = 0;
        for field in fields {
            let parsed = field.split_once(':').and_then(|(index, value)| Some((index.parse::<usize>().ok()?, value.parse::<f32>().ok()?)));
            let Some((index, value)) = parsed else {
                return Err(wrong(format_args!("{field:?} is not index:value, for example 12:-0.5")));
            };
            if index <= last || index > row.len() {
                return Err(wrong(format_args!("index {index} after {last}: indices must rise from 1 to {}", row.len())));
            }
            if !(-1.0..=1.0).contains(&value) {
                return Err(wrong(format_args!("pixel {value} is not a number from -1 to 1")));
            }
            (row[index - 1], last) = (value, index);
        }
        pixels.extend(row.map(|value| ((value + 1.0) * 127.5).round() as u8));
    }
    pair(file, RawImages { height: SIDE, width: SIDE, channels: 1, pixels }, file, labels)
}

/// The contents of a file that may be packed by bzip2, recognised by its first bytes.
fn unpack<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !bytes.starts_with(b"BZh") {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut content = Vec::new();
    let read = MultiBzDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut content);
    read.map_err(|e| broken(file, "bzip2", content.len(), &e))?;
    if content.len() as u64 > MAX_UNPACKED { Err(too_large(file)) } else { Ok(Cow::Owned(content)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(label: &str, fill: &str) -> String {
        (1..=256).fold(label.to_owned(), |line, i| format!("{line} {i}:{fill}")) + " \n"
    }

    #[test]
    fn rows_are_read_plain_and_packed() {
        let text = format!("{}{}10 1:-1 256:0.5\n", line("1", "-1"), line("7", "1"));
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        let set = usps("f", text.as_bytes()).unwrap();
        assert_eq!(set, usps("f", &packed).unwrap());
        assert_eq!((set.labels, set.images.height, set.images.width), (vec![0, 6, 9], 16, 16));
        let pixels = &set.images.pixels;
        assert_eq!((pixels[0], pixels[256], pixels[512], pixels[513], pixels[767]), (0, 255, 0, 128, 191));
        let told = usps("f", &packed[..packed.len() - 9]).unwrap_err().to_string();
        assert!(told.starts_with("f: it is cut short after"), "{told}");
    }

    #[test]
    fn damage_is_told_with_the_line() {
        let told = |text: &str| usps("f", text.as_bytes()).unwrap_err().to_string();
        assert_eq!(told("1 1:0\n0 1:0\n"), "f: line 2: label \"0\" is not an integer from 1 (the digit 0) to 10");
        assert!(told("11 1:0").contains("label \"11\""));
        assert_eq!(told("1 0.5"), "f: line 1: \"0.5\" is not index:value, for example 12:-0.5");
        assert!(told("1 2:0 2:0").contains("index 2 after 2: indices must rise from 1 to 256"));
        assert!(told("1 257:0").contains("index 257"));
        assert!(told("1 1:NaN").contains("pixel NaN is not a number from -1 to 1"));
        assert!(told("\n").contains("it holds no image"));
        assert_eq!(told(&"1\n".repeat(100_001)), "f: line 100001: it holds more than 100000 images; use fewer");
        assert!(usps("f", b"1 \xff").unwrap_err().to_string().contains("byte 2: not text"));
    }
}
