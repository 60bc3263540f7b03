//! Decodes the pictures that a user provides.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

use super::claims;
use super::jpeg::{self, End};
use crate::{Error, Result};

/// Largest height or width that is decoded, in pixels.
pub(super) const MAX_SIDE: u32 = 16_384;
/// Largest height or width that is resized to, as for data sets.
const MAX_RESULT: u32 = 4096;
/// Most memory that decoding may take, in bytes.
const MAX_MEMORY: u64 = 512 << 20;

/// The formats that are read. Each costs download size in a browser.
#[cfg(feature = "native")]
const FORMATS: &str = "PNG, JPEG, WebP or BMP";
#[cfg(not(feature = "native"))]
const FORMATS: &str = "PNG or JPEG";

/// A PNG or JPEG file (in the native program also WebP or BMP, of a moving WebP picture its first frame) as RGB pixels in H·W·C order at
/// `height`×`width`, resized with the same antialiased bilinear filter as the training images (the aspect ratio is not kept). The content
/// decides the format. The camera's orientation tag is obeyed; transparent parts are laid on white, as viewers show them.
///
/// # Errors
/// [`Error::Data`] if `bytes` is in no such format, is damaged or cut short at any point (a missing end marker alone is harmless), or is
/// larger than 16 384 pixels a side or 512 MiB decoded; [`Error::Config`] if `height` or `width` is not 1 to 4096. Messages do not name
/// the file, which is not known here.
pub fn load_image(bytes: &[u8], height: u32, width: u32) -> Result<Vec<u8>> {
    load(bytes, height, width, |_| {})
}

/// The same of the picture's negative: every value `p` is `255 − p` before it is resized.
///
/// # Errors
/// As [`load_image`].
#[cfg(feature = "native")]
pub fn load_inverted(bytes: &[u8], height: u32, width: u32) -> Result<Vec<u8>> {
    load(bytes, height, width, |image| image.iter_mut().for_each(|value| *value = 255 - *value))
}

fn load(bytes: &[u8], height: u32, width: u32, change: impl Fn(&mut [u8])) -> Result<Vec<u8>> {
    if !(1..=MAX_RESULT).contains(&height) || !(1..=MAX_RESULT).contains(&width) {
        return Err(Error::Config(format!("a picture cannot be resized to {height}×{width}; give sides from 1 to {MAX_RESULT}")));
    }
    let image = decode(bytes).map_err(|what| Error::Data(format!("not a readable {FORMATS} picture: {what}")))?;
    let mut image = on_white(image);
    change(&mut image);
    let from = (image.height(), image.width());
    Ok(splitmix_pictures::resize::rgb(image.as_raw(), from, (height, width)))
}

const CUT: &str = "the file is cut short; fetch, convert or export it again";

/// The picture, or what is wrong with it and what to do, in plain words.
fn decode(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(Cow::Borrowed(bytes))).with_guessed_format().map_err(|e| e.to_string())?;
    let format = match reader.format() {
        Some(format) if format.reading_enabled() => format,
        _ => return Err(foreign(bytes)),
    };
    // Before anything of the size that the header claims is allocated.
    let claimed = limited(ImageReader::with_format(Cursor::new(Cow::Borrowed(bytes)), format)).into_dimensions();
    if let Ok((width, height)) = claimed
        && !claims::can_hold(bytes, format, (width, height))
    {
        let length = bytes.len();
        return Err(format!("its {length} bytes cannot hold the {width}×{height} pixels of its header; it is cut short or damaged"));
    }
    // The decoders fill what is missing with grey, or take no notice of it.
    let (end, missing): (End, &[u8]) = match format {
        ImageFormat::Jpeg => (jpeg::end(bytes), &[0xff, 0xd9]),
        ImageFormat::Png => png_end(bytes),
        ImageFormat::WebP => (webp_end(bytes), &[]),
        _ => (End::Marked, &[]),
    };
    match end {
        End::Marked => {}
        End::Unmarked => reader = ImageReader::with_format(Cursor::new(Cow::Owned([bytes, missing].concat())), format),
        End::Cut => return Err(CUT.into()),
        End::Damaged => return Err("the JPEG is damaged; fetch, convert or export it again".into()),
    }
    let first = if format == ImageFormat::Bmp { first_colour(bytes) } else { None };
    if let Some((colour, palette)) = &first {
        let mut changed = bytes.to_vec();
        xor_each(&mut changed[palette.clone()], &[colour[0], colour[1], colour[2], 0]);
        reader = ImageReader::with_format(Cursor::new(Cow::Owned(changed)), format);
    }
    let mut decoder = limited(reader).into_decoder().map_err(|error| plain(&error, format))?;
    let orientation = decoder.orientation();
    let image = orientation.and_then(|orientation| {
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(image)
    });
    match image {
        // The decoder does not look at it.
        Ok(_) if format == ImageFormat::Png && !checksum_fits(bytes) => {
            Err("the checksum (Adler-32) of the PNG's pixels is wrong, so the file is damaged; fetch, convert or export it again".into())
        }
        image => {
            let image = image.map_err(|error| plain(&error, format))?;
            let Some(([blue, green, red], _)) = first else { return Ok(image) };
            let mut image = image.into_rgb8();
            xor_each(&mut image, &[red, green, blue]);
            Ok(image.into())
        }
    }
}

/// The first colour (blue, green, red) of a run-length coded BMP, and where its colours are. Runs may skip pixels, which have this colour.
/// The decoder leaves them black; so it decodes all colours xor the first one, which makes that black, and the result is put right.
fn first_colour(bytes: &[u8]) -> Option<([u8; 3], Range<usize>)> {
    let number = |at: usize| bytes.get(at..at + 4).and_then(|rest| rest.first_chunk()).map(|n| u32::from_le_bytes(*n) as usize);
    let (header, end) = (number(14)?, number(10)?.min(bytes.len()));
    let start = header.checked_add(14).filter(|start| matches!(number(30), Some(1 | 2)) && start + 4 <= end)?;
    Some((*bytes[start..].first_chunk()?, start..end))
}

fn xor_each(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with.iter().cycle()).for_each(|(byte, other)| *byte ^= other);
}

/// The reader with the limits of a picture.
fn limited<R>(mut reader: ImageReader<R>) -> ImageReader<R>
where
    R: std::io::BufRead + std::io::Seek,
{
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    reader
}

/// A decoder's error in plain words.
fn plain(error: &ImageError, format: ImageFormat) -> String {
    let name = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "PNG",
    };
    match error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError => format!("it has more than {MAX_SIDE} pixels on a side; make it smaller"),
            _ => format!("it takes more than {} MiB of memory; make it smaller", MAX_MEMORY >> 20),
        },
        ImageError::Unsupported(_) => format!("this kind of {name} is not supported; convert or export it again"),
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => CUT.into(),
        // The decoder gives this kind of damage no type of its own.
        other if format == ImageFormat::Png && other.to_string().contains("CRC") => {
            "a checksum (CRC) in the PNG is wrong, so the file is damaged; fetch, convert or export it again".into()
        }
        _ => format!("the {name} is damaged; fetch, convert or export it again"),
    }
}

/// What a file is that is no picture of a known format, by its first bytes, and what to do.
fn foreign(bytes: &[u8]) -> String {
    let at = |place: usize, mark: &[u8]| bytes.get(place..).is_some_and(|rest| rest.starts_with(mark));
    let text: String = bytes.iter().take(64).map(|b| char::from(b.to_ascii_lowercase())).collect();
    let text = text.trim_start();
    let named = match () {
        () if bytes.is_empty() => return "the file is empty; fetch or export it again".into(),
        () if text.starts_with("version https://git-lfs") => {
            return "it is a git-lfs pointer; run git lfs pull to fetch the picture".into();
        }
        () if text.starts_with("<!doctype html") || text.starts_with("<html") => {
            return "it is a web page saved under the name of a picture; fetch the picture itself".into();
        }
        () if at(0, b"GIF8") => "a GIF",
        () if at(0, b"II*\0") || at(0, b"MM\0*") => "a TIFF",
        () if at(4, b"ftypavif") => "an AVIF",
        () if at(4, b"ftyphe") || at(4, b"ftypmif1") => "a HEIC photo",
        () if at(0, b"RIFF") && at(8, b"WEBP") => "a WebP",
        () if at(0, b"BM") => "a BMP",
        () if at(0, b"%PDF") => "a PDF",
        () if text.starts_with("<svg") || text.starts_with("<?xml") => "an SVG or XML file",
        () => return "its content is that of no picture; convert or export it again".into(),
    };
    format!("it is {named}; convert or export it again")
}

/// Whether the checksum behind the pixels of a PNG is theirs; one that is cut off is no harm.
fn checksum_fits(bytes: &[u8]) -> bool {
    let mut unpacker = flate2::Decompress::new(true);
    let mut pixels = vec![0; 1 << 16];
    let mut at = 8;
    while let Some((length, kind)) =
        bytes.get(at..at + 8).map(|head| (u32::from_be_bytes([head[0], head[1], head[2], head[3]]), &head[4..]))
    {
        let end = (at + 8).saturating_add(length as usize).min(bytes.len());
        let mut packed = if kind == b"IDAT" { &bytes[at + 8..end] } else { &[] };
        while !packed.is_empty() && unpacker.total_out() <= MAX_MEMORY {
            let before = unpacker.total_in();
            match unpacker.decompress(packed, &mut pixels, flate2::FlushDecompress::None) {
                Ok(flate2::Status::StreamEnd) => return true,
                Ok(_) => packed = &packed[(unpacker.total_in() - before) as usize..],
                Err(_) => return false,
            }
        }
        at = end.saturating_add(4);
    }
    true
}

/// How a PNG ends, and what is missing if it is the end chunk alone.
fn png_end(bytes: &[u8]) -> (End, &'static [u8]) {
    const LAST: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";
    let (mut at, mut pixels) = (8, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if pixels && rest.len() < LAST.len() && LAST.starts_with(rest) {
            return (End::Unmarked, &LAST[rest.len()..]);
        }
        let Some((length, kind)) = rest.first_chunk().map(|n| u32::from_be_bytes(*n) as usize).zip(rest.get(4..8)) else {
            return (End::Cut, &[]);
        };
        if rest.len() < length.saturating_add(12) {
            return (End::Cut, &[]);
        }
        if kind == b"IEND" {
            return (End::Marked, &[]);
        }
        pixels |= kind == b"IDAT";
        at += length + 12;
    }
}

/// A WebP file says how long it is, and each chunk in it too.
fn webp_end(bytes: &[u8]) -> End {
    let number = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|n| u32::from_le_bytes(*n) as usize);
    let Some(end) = number(4).map(|stated| stated.saturating_add(8)).filter(|end| *end <= bytes.len()) else { return End::Cut };
    let mut at = 12;
    while at + 8 <= end {
        // The last one may lack the byte that makes its length even.
        let Some(next) = number(at + 4).map(|length| (at + 8).saturating_add(length)).filter(|next| *next <= end) else { return End::Cut };
        at = next + next % 2;
    }
    End::Marked
}

/// RGB pixels, with what is transparent mixed with white.
fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u16::from);
        Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a) + 127) / 255) as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgba, RgbaImage};
    use proptest::prelude::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn png_of_the_wanted_size_comes_back_unchanged() {
        let image = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 7]));
        let png = encoded(image.clone(), ImageFormat::Png);
        assert_eq!(load_image(&png, 4, 5).unwrap(), image.into_raw());
    }

    #[test]
    fn a_negative_is_that_of_the_picture_before_it_is_resized() {
        let image = RgbImage::from_fn(9, 7, |x, y| Rgb([(x * 29) as u8, (y * 37) as u8, (x * y * 5) as u8]));
        let negative = RgbImage::from_fn(9, 7, |x, y| Rgb(image.get_pixel(x, y).0.map(|p| 255 - p)));
        for (height, width) in [(7, 9), (4, 5), (28, 28)] {
            let inverted = load_inverted(&encoded(image.clone(), ImageFormat::Png), height, width).unwrap();
            assert_eq!(inverted, load_image(&encoded(negative.clone(), ImageFormat::Png), height, width).unwrap());
        }
    }

    #[test]
    fn jpeg_grey_and_deep_pictures_are_read() {
        let grey = image::GrayImage::from_pixel(40, 30, image::Luma([200]));
        let jpeg = encoded(grey, ImageFormat::Jpeg);
        assert!(load_image(&jpeg, 28, 28).unwrap().iter().all(|&p| p.abs_diff(200) <= 2));
        let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_pixel(3, 3, image::Luma([0x8080]));
        let png = encoded(DynamicImage::ImageLuma16(deep), ImageFormat::Png);
        assert_eq!(load_image(&png, 2, 2).unwrap(), [0x80; 12]);
    }

    #[test]
    fn transparent_parts_are_white() {
        let mut image = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 0]));
        image.put_pixel(1, 0, Rgba([10, 20, 30, 255]));
        let png = encoded(image, ImageFormat::Png);
        assert_eq!(load_image(&png, 1, 2).unwrap(), [255, 255, 255, 10, 20, 30]);
    }

    #[test]
    fn a_turned_photo_is_set_upright() {
        // JPEG with an EXIF orientation of 6 (turn right): the left half, dark, comes out on top.
        let image = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 0 } else { 255 }; 3]));
        let jpeg = encoded(image, ImageFormat::Jpeg);
        let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut turned = jpeg[..2].to_vec();
        turned.extend([0xff, 0xe1]);
        turned.extend((exif.len() as u16 + 2).to_be_bytes());
        turned.extend(exif);
        turned.extend(&jpeg[2..]);
        let pixels = load_image(&turned, 2, 1).unwrap();
        assert!(pixels[0] < 60 && pixels[3] > 195, "{pixels:?}");
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |r: Result<Vec<u8>>| r.unwrap_err().to_string();
        let of = |bytes: &[u8]| message(load_image(bytes, 28, 28));
        assert_eq!(of(b"GIF89a"), "not a readable PNG, JPEG, WebP or BMP picture: it is a GIF; convert or export it again");
        assert_eq!(of(b""), "not a readable PNG, JPEG, WebP or BMP picture: the file is empty; fetch or export it again");
        assert!(of(b"version https://git-lfs.github.com/spec/v1\n").contains("it is a git-lfs pointer; run git lfs pull"));
        assert!(of(b"\n<!DOCTYPE html>").contains("it is a web page saved under the name of a picture"));
        let mut png = encoded(RgbImage::new(3, 3), ImageFormat::Png);
        png[30] ^= 1;
        assert_eq!(
            of(&png),
            "not a readable PNG, JPEG, WebP or BMP picture: a checksum (CRC) in the PNG is wrong, so the file is damaged; fetch, convert or \
             export it again"
        );
        let wide = encoded(image::GrayImage::new(20_000, 1), ImageFormat::Png);
        assert!(of(&wide).ends_with("it has more than 16384 pixels on a side; make it smaller"), "{}", of(&wide));
        let wide = encoded(image::GrayImage::new(20_000, 1), ImageFormat::Jpeg);
        assert!(of(&wide).ends_with("it has more than 16384 pixels on a side; make it smaller"), "{}", of(&wide));
        assert!(message(load_image(b"", 0, 28)).contains("0×28"));
        // A header that promises far more than the limits allow.
        let mut huge = encoded(RgbImage::new(1, 1), ImageFormat::Png);
        huge[16..20].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
        assert!(load_image(&huge, 28, 28).is_err());
        // One within the limits, but not within 69 bytes.
        huge[16..24].copy_from_slice(&[0, 0, 0x30, 0, 0, 0, 0x30, 0]);
        let checksum = crc(&huge[12..29]).to_be_bytes();
        huge[29..33].copy_from_slice(&checksum);
        let short = message(load_image(&huge, 28, 28));
        assert!(short.contains("bytes cannot hold the 12288×12288 pixels of its header; it is cut short or damaged"), "{short}");
    }

    #[test]
    fn a_png_with_a_wrong_checksum_of_its_pixels_is_refused() {
        let mut png = encoded(gradient(), ImageFormat::Png);
        // The end chunk takes 12 bytes, the checksum (CRC) of the chunk before it 4, that of the pixels 4 more.
        let end = png.len() - 16;
        png[end - 1] ^= 1;
        let data = png.windows(4).position(|w| w == b"IDAT").unwrap();
        let checksum = crc(&png[data..end]).to_be_bytes();
        png[end..end + 4].copy_from_slice(&checksum);
        assert_eq!(
            load_image(&png, 9, 7).unwrap_err().to_string(),
            "not a readable PNG, JPEG, WebP or BMP picture: the checksum (Adler-32) of the PNG's pixels is wrong, so the file is damaged; \
             fetch, convert or export it again"
        );
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    /// Pictures of 9×7 pixels that the encoders of `image` cannot write, made by Pillow 13 from one gradient:
    /// `save(…, progressive=True, quality=80)`, the same in grey, and `save("….webp", quality=60)`.
    const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive.jpg");
    const PROGRESSIVE_GREY: &[u8] = include_bytes!("fixtures/progressive-grey.jpg");
    const LOSSY_WEBP: &[u8] = include_bytes!("fixtures/lossy.webp");
    /// In the order of the file above; its baseline JPEG with restart markers, and an interlaced PNG written by hand.
    const RESTARTS: &[u8] = include_bytes!("fixtures/restarts.jpg");
    const INTERLACED: &[u8] = include_bytes!("fixtures/interlaced.png");

    fn gradient() -> RgbImage {
        RgbImage::from_fn(21, 18, |x, y| Rgb([(x * y) as u8, 10 * x as u8, 200 - 9 * y as u8]))
    }

    /// Cut at every byte; `harmless`: how many bytes may be missing at most (the end marker).
    fn cut_everywhere(name: &str, bytes: &[u8], harmless: usize) {
        let whole = load_image(bytes, 9, 7).unwrap_or_else(|e| panic!("{name}: {e}"));
        for missing in 1..=bytes.len() {
            match load_image(&bytes[..bytes.len() - missing], 9, 7) {
                Ok(pixels) => assert!(missing <= harmless && pixels == whole, "{name} without {missing} bytes is taken"),
                Err(error) => {
                    assert!(missing > harmless, "{name} without {missing} bytes: {error}");
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_picture_cut_at_any_byte_is_refused() {
        let deep = image::ImageBuffer::from_fn(9, 7, |x, y| Rgb([x as u16 * 7000, y as u16 * 9000, 77]));
        cut_everywhere("jpeg", &encoded(gradient(), ImageFormat::Jpeg), 2);
        cut_everywhere("grey jpeg", &encoded(DynamicImage::from(gradient()).into_luma8(), ImageFormat::Jpeg), 2);
        cut_everywhere("restarts", RESTARTS, 2);
        cut_everywhere("progressive", PROGRESSIVE, 2);
        cut_everywhere("progressive grey", PROGRESSIVE_GREY, 2);
        cut_everywhere("png", &encoded(gradient(), ImageFormat::Png), 12);
        cut_everywhere("deep png", &encoded(DynamicImage::ImageRgb16(deep), ImageFormat::Png), 12);
        cut_everywhere("interlaced png", INTERLACED, 12);
        cut_everywhere("lossy webp", LOSSY_WEBP, 0);
        cut_everywhere("lossless webp", &encoded(gradient(), ImageFormat::WebP), 0);
        cut_everywhere("bmp", &encoded(gradient(), ImageFormat::Bmp), 0);
    }

    #[test]
    fn webp_and_bmp_are_read_by_their_content() {
        for format in [ImageFormat::WebP, ImageFormat::Bmp] {
            assert_eq!(load_image(&encoded(gradient(), format), 18, 21).unwrap(), gradient().into_raw(), "{format:?}");
        }
        // The first and last pixel as Pillow reads them.
        let lossy = load_image(LOSSY_WEBP, 7, 9).unwrap();
        assert_eq!((&lossy[..3], &lossy[lossy.len() - 3..]), (&[6, 6, 0][..], &[223, 211, 227][..]));
    }

    #[test]
    fn pixels_that_runs_skip_have_the_first_colour() {
        // 4×2 pixels in 8 bits, from the bottom: three of colour 1 and the end of the line; one of colour 2, a jump of two to the right, and
        // one of colour 1.
        let runs = [3, 1, 0, 0, 1, 2, 0, 2, 2, 0, 1, 1, 0, 1];
        let colours = [[50, 60, 70, 0], [1, 2, 3, 0], [200, 100, 0, 0]].concat();
        let header = [40_u32, 4, 2, 1 | 8 << 16, 1, runs.len() as u32, 0, 0, 3, 0].map(u32::to_le_bytes).concat();
        let start = 14 + 40 + 12_u32;
        let bmp = [b"BM", &(start + 14).to_le_bytes()[..], &[0; 4], &start.to_le_bytes(), &header, &colours, &runs].concat();
        let (first, one, two) = ([70, 60, 50], [3, 2, 1], [0, 100, 200]);
        assert_eq!(load_image(&bmp, 2, 4).unwrap(), [two, first, first, one, one, one, one, first].concat());
    }

    const DAMAGED: &str = "not a readable PNG, JPEG, WebP or BMP picture: the JPEG is damaged; fetch, convert or export it again";

    #[test]
    fn a_jpeg_closed_by_an_end_marker_before_its_last_block_is_refused() {
        let colour = encoded(gradient(), ImageFormat::Jpeg);
        let grey = encoded(DynamicImage::from(gradient()).into_luma8(), ImageFormat::Jpeg);
        for (name, bytes) in [("colour", &colour[..]), ("grey", &grey), ("restarts", RESTARTS)] {
            let whole = load_image(bytes, 9, 7).unwrap();
            let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
            let start = scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
            for cut in start..bytes.len() - 2 {
                let error = load_image(&[&bytes[..cut], &[0xff, 0xd9]].concat(), 9, 7).unwrap_err().to_string();
                assert_eq!(error, DAMAGED, "{name} up to byte {cut}");
            }
            // Bytes behind the last block are no harm.
            let longer = [&bytes[..bytes.len() - 2], &[0, 1, 2, 0xff, 0xd9]].concat();
            assert_eq!(load_image(&longer, 9, 7).unwrap(), whole, "{name}");
        }
        // Codes that no table has: the first block's are too long.
        let start = colour.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 14;
        let mut garbage = colour.clone();
        let middle = start..colour.len() - 2;
        garbage[middle].chunks_mut(2).for_each(|pair| pair.copy_from_slice(&[0xff, 0][..pair.len()]));
        assert_eq!(load_image(&garbage, 9, 7).unwrap_err().to_string(), DAMAGED);
        // The marker of a frame that is not decoded, within the blocks.
        let mut other = colour.clone();
        other[start + 20..start + 22].copy_from_slice(&[0xff, 0xcd]);
        assert!(load_image(&other, 9, 7).unwrap_err().to_string().ends_with(CUT));
    }

    #[test]
    fn a_progressive_jpeg_damaged_within_is_refused() {
        // A scan that ends too early, where the decoder would drop all later ones.
        let scan = PROGRESSIVE.windows(2).rposition(|w| w == [0xff, 0xda]).unwrap();
        let mut bytes = PROGRESSIVE.to_vec();
        bytes.drain(scan + 12..bytes.len() - 2);
        assert_eq!(load_image(&bytes, 7, 9).unwrap_err().to_string(), DAMAGED);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_pictures_never_panic(cut in 0usize..2000, at in 0usize..2000, value: u8, jpeg: bool) {
            let image = RgbImage::from_fn(20, 20, |x, y| Rgb([(x * y) as u8, x as u8, y as u8]));
            let mut bytes = encoded(image, if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png });
            let n = bytes.len();
            bytes[at % n] = value;
            bytes.truncate(cut.min(n));
            if let Ok(pixels) = load_image(&bytes, 28, 28) {
                prop_assert_eq!(pixels.len(), 28 * 28 * 3);
            }
        }
    }
}
