//! Whether a picture's file can hold the pixels that its header claims: looked at before memory is taken for them, so that a file of a few
//! bytes cannot take half a gigabyte.

use image::ImageFormat;

/// Bytes that one byte of deflate can unpack to: its longest match, 258 bytes, takes two bits at least (RFC 1951).
const DEFLATE: u64 = 1032;

/// Pixels that one byte of a JPEG can hold: every block of 8×8 takes a bit at least in each component, and the least blocks for 32×32
/// pixels are nine, of two components sampled 4×1 and 1×4 and a third one.
const JPEG: u64 = 1024;

/// Pixels that one byte of a run-length coded BMP can hold: 255 by two bytes.
const BMP_RUNS: u64 = 128;

/// Whether a file of these bytes can hold `width`×`height` pixels. A WebP always can: one of a single colour takes no bit for a pixel.
pub(super) fn can_hold(bytes: &[u8], format: ImageFormat, (width, height): (u32, u32)) -> bool {
    let pixels = u64::from(width) * u64::from(height);
    let length = bytes.len() as u64;
    let byte = |at: usize| bytes.get(at).copied().map_or(0, u64::from);
    match format {
        ImageFormat::Png => {
            // The header is always the first chunk: bit depth and colour type are bytes 24 and 25.
            let channels = match byte(25) {
                2 => 3,
                4 => 2,
                6 => 4,
                _ => 1,
            };
            (pixels * byte(24) * channels).div_ceil(8) <= length * DEFLATE
        }
        ImageFormat::Jpeg => pixels <= length * JPEG,
        // Bits of a pixel and the kind of compression are at bytes 28 and 30, but for the oldest header, of 12 bytes.
        ImageFormat::Bmp if byte(14) == 12 => (pixels * byte(24)).div_ceil(8) <= length,
        ImageFormat::Bmp if matches!(byte(30), 1 | 2) => pixels <= length * BMP_RUNS,
        ImageFormat::Bmp => (pixels * byte(28)).div_ceil(8) <= length,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};
    use std::io::Cursor;

    #[test]
    fn the_emptiest_pictures_can_hold_themselves_and_cut_ones_cannot() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(2000, 1500).write_to(&mut png, ImageFormat::Png).unwrap();
        let mut jpeg = Cursor::new(Vec::new());
        GrayImage::new(2000, 1500).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        for (bytes, format, short) in [(png.into_inner(), ImageFormat::Png, 8000), (jpeg.into_inner(), ImageFormat::Jpeg, 2500)] {
            assert!(can_hold(&bytes, format, (2000, 1500)));
            assert!(bytes.len() > short && !can_hold(&bytes[..short], format, (2000, 1500)), "{format:?}: {} bytes", bytes.len());
        }
        // Headers of 54 bytes: 24 bits a pixel, stored plainly, and 8 bits in runs.
        let bmp = |bits, compression, length| {
            let mut bytes = vec![0; length];
            (bytes[14], bytes[28], bytes[30]) = (40, bits, compression);
            bytes
        };
        assert!(can_hold(&bmp(24, 0, 354), ImageFormat::Bmp, (10, 10)) && !can_hold(&bmp(24, 0, 299), ImageFormat::Bmp, (10, 10)));
        assert!(can_hold(&bmp(8, 1, 100), ImageFormat::Bmp, (100, 100)) && !can_hold(&bmp(8, 1, 60), ImageFormat::Bmp, (100, 100)));
        assert!(can_hold(b"", ImageFormat::WebP, (9000, 9000)));
    }
}
