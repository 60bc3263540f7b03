//! Parsers of the published file formats. Each takes a name (for messages) and bytes, and checks every count against
//! what is really there before it allocates.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
#[cfg(feature = "native")]
use zip::CompressionMethod;
#[cfg(feature = "native")]
use zip::read::ZipFile;
#[cfg(feature = "native")]
use zip::result::{ZipError, ZipResult};

use crate::{Error, Result};

/// Most bytes that one file or whole CIFAR archive may unpack to (1 GiB; all of SVHN's training images are 0.2 GiB), so that a small
/// hostile file cannot fill the memory.
pub(super) const MAX_UNPACKED: u64 = 1 << 30;

/// Largest height or width of a stored image, far above any digit set and small enough for sizes not to overflow.
const MAX_SIDE: usize = 4096;

/// Images as they are stored, before all domains are brought to three channels and one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawImages {
    pub height: usize,
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `N·H·W·C` bytes.
    pub pixels: Vec<u8>,
}

impl RawImages {
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image_len()
    }

    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// One split of a domain as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawSet {
    pub images: RawImages,
    pub labels: Vec<u8>,
}

#[cfg(feature = "native")]
impl RawSet {
    /// Puts another part of the same set behind this one.
    ///
    /// # Errors
    /// [`Error::Data`] when its images are of another size.
    pub fn append(&mut self, file: &str, other: RawSet) -> Result<()> {
        let (a, b) = (&self.images, &other.images);
        if (a.height, a.width, a.channels) != (b.height, b.width, b.channels) {
            return Err(bad(
                file,
                format_args!(
                    "it holds images of {}×{}×{} and of {}×{}×{}; bring them to one size",
                    a.height, a.width, a.channels, b.height, b.width, b.channels
                ),
            ));
        }
        self.images.pixels.extend(other.images.pixels);
        self.labels.extend(other.labels);
        Ok(())
    }
}

/// What programs save under the name of a file that they did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// What git keeps of a file that git-lfs stores elsewhere.
    Pointer,
    /// HTML.
    Page,
    /// A server's refusal, as object stores send in XML, and others in JSON or a line of text.
    Refusal,
}

impl Instead {
    /// By the start of a file.
    pub fn of(start: &[u8]) -> Option<Instead> {
        const LONG: usize = 1000;
        let text = String::from_utf8_lossy(start.get(..LONG).unwrap_or(start)).to_ascii_lowercase();
        let mut text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
        // What may stand before the first element.
        while let Some((_, rest)) = ["<?xml", "<!--"].into_iter().find(|head| text.starts_with(head)).and_then(|_| text.split_once('>')) {
            text = rest.trim_start();
        }
        let begins = |heads: &[&str]| heads.iter().any(|head| text.starts_with(head));
        let json = text.starts_with('{') && ["\"error\"", "\"message\"", "\"errors\""].iter().any(|key| text.contains(key));
        if begins(&["version https://git-lfs"]) {
            Some(Instead::Pointer)
        } else if begins(&["<!doctype html", "<html", "<head", "<body", "<script", "<meta"]) {
            Some(Instead::Page)
        } else {
            (json || begins(&["<error>", "<error ", "404: not found", "404 not found", "403 forbidden", "access denied"]))
                .then_some(Instead::Refusal)
        }
    }
}

/// A complaint about `file`: what is wrong and what to do.
pub(super) fn bad(file: &str, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{file}: {what}"))
}

/// The contents of a file that may be gzipped, told by its first two bytes.
///
/// # Errors
/// [`Error::Data`] for a damaged or truncated gzip stream and for more than [`MAX_UNPACKED`] bytes.
pub(super) fn unpack<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut content = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut content);
    read.map_err(|e| broken(file, "gzip", content.len(), &e))?;
    check_unpacked(file, content.len())?;
    if content.starts_with(&[0x1f, 0x8b]) {
        return Err(bad(file, "it is gzipped twice: unpack it once, for example with gunzip"));
    }
    Ok(Cow::Owned(content))
}

/// Packed data of that kind that end early or are damaged after so many unpacked bytes.
pub(super) fn broken(file: &str, kind: &str, got: usize, error: &std::io::Error) -> Error {
    bad(
        file,
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => format!("it is cut short after {got} unpacked bytes: fetch or save it again"),
            _ => format!("its {kind} data are damaged after {got} unpacked bytes: fetch or save it again"),
        },
    )
}

/// A member of a zip archive, called `file` in messages; `damaged` says what to do with one that cannot be found.
///
/// # Errors
/// [`Error::Data`] if it is encrypted, or compressed otherwise than by deflate.
#[cfg(feature = "native")]
pub(super) fn member<'a, R: Read>(file: &str, found: ZipResult<ZipFile<'a, R>>, damaged: &str) -> Result<ZipFile<'a, R>> {
    let found = found.map_err(|error| match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            bad(file, "it is encrypted with a password; save the archive without one")
        }
        error => bad(file, format_args!("{error}; {damaged}")),
    })?;
    match found.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(found),
        // What stands there where WinZip has encrypted a member.
        CompressionMethod::AES => Err(bad(file, "it is encrypted with a password; save the archive without one")),
        _ => Err(bad(file, "it is compressed in a way that is not read; save the archive with deflate")),
    }
}

pub(super) fn check_unpacked(file: &str, len: usize) -> Result<()> {
    if len as u64 > MAX_UNPACKED { Err(too_large(file)) } else { Ok(()) }
}

pub(super) fn too_large(file: &str) -> Error {
    bad(file, "it unpacks to more than 1 GiB; split it, or use fewer images")
}

/// The big-endian word at byte `at`.
fn word(file: &str, bytes: &[u8], at: usize) -> Result<u32> {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(word) => Ok(u32::from_be_bytes(*word)),
        None => Err(bad(file, format_args!("the file ends at byte {}, inside its header; fetch it again", bytes.len()))),
    }
}

const IDX_IMAGES: u32 = 0x0803;
const IDX_LABELS: u32 = 0x0801;

fn check_magic(file: &str, bytes: &[u8], wanted: u32, kind: &str) -> Result<()> {
    let magic = word(file, bytes, 0)?;
    if magic == wanted {
        return Ok(());
    }
    let hint = match magic {
        IDX_IMAGES => "this is an image file; were images and labels swapped?".to_owned(),
        IDX_LABELS => "this is a label file; were images and labels swapped?".to_owned(),
        0x0800..=0x08ff => format!("it has {} dimensions, not {}; reshape it", magic & 0xff, wanted & 0xff),
        0x0900..=0x0eff => {
            const TYPES: [&str; 6] = ["signed bytes", "", "16-bit integers", "32-bit integers", "32-bit floats", "64-bit floats"];
            let name = TYPES.get((magic >> 8) as usize - 9).filter(|name| !name.is_empty()).unwrap_or(&"of an unknown type");
            format!("its elements are {name}, and must be unsigned bytes; convert it")
        }
        _ => "this is not such a file; fetch it again".to_owned(),
    };
    Err(bad(file, format_args!("byte 0: magic number {magic:#010x}, but an IDX {kind} file starts with {wanted:#010x}; {hint}")))
}

/// Images of an unpacked IDX file: magic `0x00000803`, count, rows, columns (big-endian words), then one byte a pixel.
///
/// # Errors
/// [`Error::Data`] naming the file and byte.
pub(super) fn idx_images(file: &str, bytes: &[u8]) -> Result<RawImages> {
    check_magic(file, bytes, IDX_IMAGES, "image")?;
    let count = word(file, bytes, 4)?;
    let height = side(file, word(file, bytes, 8)?, "byte 8: the image height")?;
    let width = side(file, word(file, bytes, 12)?, "byte 12: the image width")?;
    let pixels = &bytes[16..];
    // In u64 the product of a 32-bit count and two sides up to 4096 cannot overflow.
    let wanted = u64::from(count) * (height * width) as u64;
    if pixels.len() as u64 != wanted {
        return Err(bad(
            file,
            format_args!(
                "byte 4: the header promises {count} images of {height}×{width}, that is {wanted} bytes after byte 16, \
                 but there are {}; the file is truncated or damaged, fetch it again",
                pixels.len()
            ),
        ));
    }
    Ok(RawImages { height, width, channels: 1, pixels: pixels.to_vec() })
}

pub(super) fn side(file: &str, value: impl Into<u64>, what: &str) -> Result<usize> {
    let value = value.into();
    match usize::try_from(value) {
        Ok(side @ 1..=MAX_SIDE) => Ok(side),
        _ => Err(bad(file, format_args!("{what} is {value}, but must be 1 to {MAX_SIDE}; the file is damaged"))),
    }
}

/// Labels of an unpacked IDX file: magic `0x00000801`, count, then one byte a label.
///
/// # Errors
/// [`Error::Data`] naming the file and byte.
pub(super) fn idx_labels(file: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    check_magic(file, bytes, IDX_LABELS, "label")?;
    let count = word(file, bytes, 4)?;
    let labels = &bytes[8..];
    if labels.len() as u64 != u64::from(count) {
        return Err(bad(
            file,
            format_args!(
                "byte 4: the header promises {count} labels, but {} bytes follow; the file is truncated or damaged, \
                 fetch it again",
                labels.len()
            ),
        ));
    }
    Ok(labels.to_vec())
}

/// Puts images and labels together.
///
/// # Errors
/// [`Error::Data`] when their numbers differ or there is none.
pub(super) fn pair(images_file: &str, images: RawImages, labels_file: &str, labels: Vec<u8>) -> Result<RawSet> {
    if images.len() != labels.len() {
        return Err(bad(
            images_file,
            format_args!("it holds {} images, but {labels_file} holds {} labels; they must belong together", images.len(), labels.len()),
        ));
    }
    if labels.is_empty() {
        return Err(bad(images_file, "it holds no image; give at least one"));
    }
    Ok(RawSet { images, labels })
}

/// The two digit sets that are published as rows of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFormat {
    /// Label first, then 16×16 pixels from −1 (black) to 1 (white), separated by spaces. (Only read from folders.)
    #[cfg_attr(not(feature = "native"), expect(dead_code))]
    Usps,
    /// 8×8 pixels from 0 to 16, then the label, separated by commas.
    Optdigits,
}

impl TextFormat {
    const fn side(self) -> usize {
        match self {
            TextFormat::Usps => 16,
            TextFormat::Optdigits => 8,
        }
    }

    /// A pixel value scaled to 0…255 and rounded.
    fn pixel(self, value: f32) -> Option<u8> {
        let (low, high) = match self {
            TextFormat::Usps => (-1.0, 1.0),
            TextFormat::Optdigits => (0.0, 16.0),
        };
        (low..=high).contains(&value).then(|| ((value - low) * 255.0 / (high - low)).round() as u8)
    }

    const fn range(self) -> &'static str {
        match self {
            TextFormat::Usps => "-1 to 1",
            TextFormat::Optdigits => "0 to 16",
        }
    }
}

/// Images and labels of unpacked text with one image a row. Blank lines are passed over.
///
/// # Errors
/// [`Error::Data`] naming the file and line (from 1) for a wrong number of values, a value that is no number or out of
/// range, a label that is not an integer below `classes`, and for a file without any row.
pub(super) fn text(file: &str, bytes: &[u8], format: TextFormat, classes: usize) -> Result<RawSet> {
    let content = std::str::from_utf8(bytes)
        .map_err(|e| bad(file, format_args!("byte {}: not text; this is not a file of numbers, fetch it again", e.valid_up_to())))?;
    // Some editors begin a text with a mark of its encoding.
    let content = content.trim_start_matches('\u{feff}');
    let (side, mut pixels, mut labels) = (format.side(), Vec::new(), Vec::new());
    let mut row: Vec<&str> = Vec::with_capacity(side * side + 1);
    for (i, line) in content.lines().enumerate() {
        let line_number = i + 1;
        row.clear();
        let mut fields = line.split([' ', '\t', ',']).map(str::trim).filter(|field| !field.is_empty());
        // Those of one image and no more are kept, however long the line.
        row.extend(fields.by_ref().take(side * side + 1));
        if row.is_empty() {
            continue;
        }
        let values = row.len() + fields.count();
        if values != side * side + 1 {
            let s = if values == 1 { "" } else { "s" };
            return Err(bad(
                file,
                format_args!(
                    "line {line_number}: {values} value{s}, but a label and {side}×{side} pixels make {}; the line is cut or \
                     the file is of another kind",
                    side * side + 1
                ),
            ));
        }
        let (label, values) = match format {
            TextFormat::Usps => (row[0], &row[1..]),
            TextFormat::Optdigits => (row[side * side], &row[..side * side]),
        };
        // USPS writes labels as "6.0000".
        match label.parse::<f32>() {
            Ok(l) if l >= 0.0 && l < classes as f32 && l.fract() == 0.0 => labels.push(l as u8),
            _ => {
                return Err(bad(file, format_args!("line {line_number}: label {label:?} is not an integer among 0 to {}", classes - 1)));
            }
        }
        for value in values {
            match value.parse().ok().and_then(|v| format.pixel(v)) {
                Some(pixel) => pixels.push(pixel),
                None => {
                    return Err(bad(file, format_args!("line {line_number}: pixel {value:?} is not a number from {}", format.range())));
                }
            }
        }
    }
    let images = RawImages { height: side, width: side, channels: 1, pixels };
    pair(file, images, file, labels)
}

/// Repeats grey three times; RGB is left as it is.
pub(super) fn rgb(images: RawImages) -> Vec<u8> {
    match images.channels {
        1 => splitmix_pictures::grey_as_rgb(&images.pixels),
        _ => images.pixels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `count` IDX images of 2×3 pixels.
    fn idx(count: u32) -> Vec<u8> {
        let header = [IDX_IMAGES, count, 2, 3].map(u32::to_be_bytes).concat();
        [header, (0..count * 6).map(|p| p as u8).collect()].concat()
    }

    fn idx_label_file(labels: &[u8]) -> Vec<u8> {
        [[IDX_LABELS, labels.len() as u32].map(u32::to_be_bytes).concat(), labels.to_vec()].concat()
    }

    /// The message of a read that has to fail.
    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("the-file"), "no file name: {message}");
        message
    }

    #[track_caller]
    fn assert_says(message: &str, parts: &[&str]) {
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }

    #[test]
    fn idx_files_are_read() {
        let images = idx_images("f", &unpack("f", &gz(&idx(2))).unwrap()).unwrap();
        assert_eq!((images.height, images.width, images.channels, images.len()), (2, 3, 1, 2));
        assert_eq!(images.pixels[6..], [6, 7, 8, 9, 10, 11]);
        assert_eq!(idx_labels("f", &idx_label_file(&[9, 0])).unwrap(), [9, 0]);
    }

    #[test]
    fn damaged_idx_files_are_told_with_the_byte() {
        let f = "the-file";
        assert_says(&message(idx_images(f, &idx_label_file(&[1, 2, 3]))), &["byte 0", "0x00000801", "swapped"]);
        assert_says(&message(idx_labels(f, &idx(1))), &["byte 0", "0x00000803", "swapped"]);
        assert_says(&message(idx_images(f, b"GIF89a...")), &["byte 0", "0x47494638", "not such a file"]);
        assert_says(&message(idx_images(f, &idx(1)[..14])), &["ends at byte 14"]);
        assert_says(&message(idx_images(f, &idx(2)[..20])), &["byte 4", "2 images of 2×3", "12 bytes", "there are 4"]);
        // A count near 2³² is refused by comparing it with the file, before anything is allocated.
        let mut huge = idx(1);
        huge[4..8].copy_from_slice(&[0xff; 4]);
        assert_says(&message(idx_images(f, &huge)), &["4294967295 images"]);
        let mut flat = idx(1);
        flat[11] = 0;
        assert_says(&message(idx_images(f, &flat)), &["byte 8", "height is 0"]);
        let magic = |kind: u8, dims: u8| [vec![0, 0, kind, dims], vec![0; 40]].concat();
        assert_says(&message(idx_images(f, &magic(0x0d, 3))), &["byte 0", "elements are 32-bit floats", "unsigned bytes"]);
        assert_says(&message(idx_labels(f, &magic(0x0c, 1))), &["32-bit integers"]);
        assert_says(&message(idx_images(f, &magic(0x0a, 3))), &["of an unknown type"]);
        assert_says(&message(idx_images(f, &magic(8, 4))), &["4 dimensions, not 3"]);
        let short = idx_label_file(&[1, 2, 3]);
        assert_says(&message(idx_labels(f, &short[..10])), &["3 labels", "2 bytes follow"]);
        let packed = gz(&idx(50));
        assert_says(&message(unpack(f, &packed[..packed.len() - 12])), &["it is cut short after"]);
    }

    #[test]
    fn images_and_labels_must_match() {
        let images = || idx_images("a", &idx(2)).unwrap();
        assert_says(&message(pair("the-file", images(), "the-labels", vec![1])), &["2 images", "the-labels holds 1"]);
        let none = idx_images("a", &idx(0)).unwrap();
        assert_says(&message(pair("the-file", none, "the-labels", vec![])), &["no image"]);
    }

    #[test]
    fn packed_files_are_whole_and_packed_once() {
        let packed = gz(&idx(3));
        assert_eq!(unpack("the-file", &packed).unwrap(), idx(3));
        assert_eq!(message(unpack("the-file", &gz(&packed))), "the-file: it is gzipped twice: unpack it once, for example with gunzip");
        let cut = message(unpack("the-file", &packed[..packed.len() - 9]));
        assert!(cut.starts_with("the-file: it is cut short after ") && cut.ends_with(" unpacked bytes: fetch or save it again"), "{cut}");
        let mut damaged = packed.clone();
        let crc = damaged.len() - 8;
        damaged[crc] ^= 1;
        let damaged = message(unpack("the-file", &damaged));
        assert_eq!(damaged, "the-file: its gzip data are damaged after 34 unpacked bytes: fetch or save it again");
    }

    #[test]
    fn a_mark_of_the_encoding_is_passed_over() {
        let row = format!("{}7\n", "16,".repeat(64));
        let marked = text("the-file", format!("\u{feff}{row}").as_bytes(), TextFormat::Optdigits, 10).unwrap();
        assert_eq!(marked, text("the-file", row.as_bytes(), TextFormat::Optdigits, 10).unwrap());
        let short = message(text("the-file", b"1\n", TextFormat::Optdigits, 10));
        assert!(short.starts_with("the-file: line 1: 1 value, but a label and 8"), "{short}");
    }

    #[test]
    fn text_files_are_read() {
        let usps = format!("6.0000{} \n\n9 1{}\n", " -1.0".repeat(256), " 0".repeat(255));
        let set = text("f", usps.as_bytes(), TextFormat::Usps, 10).unwrap();
        assert_eq!((set.images.height, set.images.len()), (16, 2));
        assert_eq!(set.labels, [6, 9]);
        assert_eq!((set.images.pixels[0], set.images.pixels[256], set.images.pixels[257]), (0, 255, 128));
        let opt = format!("16,{}8,3\r\n", "0,".repeat(62));
        let set = text("f", opt.as_bytes(), TextFormat::Optdigits, 10).unwrap();
        assert_eq!((set.labels[0], set.images.pixels[0], set.images.pixels[1], set.images.pixels[63]), (3, 255, 0, 128));
    }

    #[test]
    fn damaged_text_is_told_with_the_line() {
        let f = "the-file";
        let read = |content: &str| message(text(f, content.as_bytes(), TextFormat::Optdigits, 10));
        let good = format!("{}7\n", "0,".repeat(64));
        assert_says(&read(&format!("{good}{}7\n", "0,".repeat(63))), &["line 2", "64 values", "make 65"]);
        assert_says(&read(&format!("{}10\n", "0,".repeat(64))), &["line 1", "label \"10\"", "0 to 9"]);
        assert_says(&read(&format!("{good}17,{}1\n", "0,".repeat(63))), &["line 2", "pixel \"17\"", "0 to 16"]);
        assert_says(&read(&format!("NaN,{}1\n", "0,".repeat(63))), &["line 1", "pixel \"NaN\""]);
        assert_says(&read(""), &["no image"]);
        assert_says(&message(text(f, b"1 2 \xff", TextFormat::Usps, 10)), &["byte 4", "not text"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0usize..4) {
            let starts: [&[u8]; 4] = [b"", b"\x1f\x8b\x08", &[0, 0, 8, 3], &[0, 0, 8, 1]];
            let bytes = [starts[magic], &bytes].concat();
            let _ = unpack("f", &bytes);
            let _ = idx_images("f", &bytes);
            let _ = idx_labels("f", &bytes);
            let _ = text("f", &bytes, TextFormat::Usps, 10);
            let _ = text("f", &bytes, TextFormat::Optdigits, 10);
        }

        #[test]
        fn damaged_files_never_panic(cut: prop::sample::Index, at: prop::sample::Index, value: u8, truncate: bool) {
            let text_file = format!("{}7\n", "0,".repeat(64)).repeat(2).into_bytes();
            let files = [idx(3), idx_label_file(&[1, 2, 3]), gz(&idx(3)), text_file];
            for (kind, mut bytes) in files.into_iter().enumerate() {
                if truncate {
                    bytes.truncate(cut.index(bytes.len()));
                } else {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
                // A truncated file is always noticed, but for text, which may be cut at the end of a row.
                let failed = match kind {
                    0 => idx_images("f", &bytes).is_err(),
                    1 => idx_labels("f", &bytes).is_err(),
                    2 => unpack("f", &bytes).and_then(|b| idx_images("f", &b)).is_err(),
                    _ => text("f", &bytes, TextFormat::Optdigits, 10).is_err() || truncate,
                };
                prop_assert!(failed || !truncate, "file {} cut to {} bytes was taken", kind, bytes.len());
            }
        }
    }
}
