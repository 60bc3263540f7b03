//! Pictures that a user brings for a prediction.

use std::io::Cursor;

use image::error::DecodingError;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, Rgb, RgbImage};

use super::{claims, resize};
use crate::{Error, Result};

/// Largest height or width that is decoded, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Largest height or width that is resized to, as for data sets.
const MAX_RESULT: u32 = 4096;
/// Most memory that decoding may take, in bytes.
const MAX_MEMORY: u64 = 512 << 20;

/// A PNG or JPEG file as RGB pixels in H·W·C order at `height`×`width`, resized with the same antialiased bilinear
/// filter as the training images (the aspect ratio is not kept). The camera's orientation tag is obeyed; transparent
/// parts are laid on white, as viewers show them.
///
/// # Errors
/// [`Error::Data`] if `bytes` is no PNG or JPEG, is damaged, or is larger than 16 384 pixels a side or 512 MiB decoded;
/// [`Error::Config`] if `height` or `width` is not 1 to 4096. Messages do not name the file, which is not known here.
pub fn load_image(bytes: &[u8], height: u32, width: u32) -> Result<Vec<u8>> {
    if !(1..=MAX_RESULT).contains(&height) || !(1..=MAX_RESULT).contains(&width) {
        return Err(Error::Config(format!("a picture cannot be resized to {height}×{width}; give sides from 1 to {MAX_RESULT}")));
    }
    let image = decode(bytes).map_err(|e| Error::Data(format!("not a readable PNG or JPEG picture: {e}; convert or export it again")))?;
    let image = on_white(image);
    let from = (image.height(), image.width());
    Ok(resize::rgb(image.as_raw(), from, (height, width)))
}

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let size = decoder.dimensions();
    if let Some(format) = format.filter(|&format| !claims::can_hold(bytes, format, size)) {
        let what = format!("{} bytes cannot hold the {}×{} pixels of its header: it is cut short or damaged", bytes.len(), size.0, size.1);
        return Err(ImageError::Decoding(DecodingError::new(format.into(), what)));
    }
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
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
        assert!(message(load_image(b"GIF89a", 28, 28)).contains("not a readable PNG or JPEG"));
        assert!(message(load_image(b"", 28, 28)).contains("export it again"));
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
        assert!(short.contains("bytes cannot hold the 12288×12288 pixels of its header: it is cut short or damaged"), "{short}");
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
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
