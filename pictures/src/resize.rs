//! Antialiased bilinear resizing, as the Python imaging library does it: the triangle filter is widened when an image is
//! made smaller, so that every source pixel counts. Within one level (of 255) of PIL's `resize(size, BILINEAR)`, which works in
//! fixed point and rounds after each of its two passes.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

/// One image with the channels of `P`, H·W·C, resized to `to` (height, width).
fn resize<P: Pixel<Subpixel = u8> + 'static>(pixels: &[u8], (height, width): (u32, u32), to: (u32, u32)) -> Vec<u8> {
    // The buffer is refused only if it is too short for its size, which would be a fault of the caller; nothing comes
    // of it then.
    ImageBuffer::<P, &[u8]>::from_raw(width, height, pixels)
        .map(|image| imageops::resize(&image, to.1, to.0, FilterType::Triangle).into_raw())
        .unwrap_or_default()
}

/// One image resized from `from` to `to` (height, width).
pub fn rgb(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    resize::<Rgb<u8>>(pixels, from, to)
}

/// One image of a single channel resized from `from` to `to` (height, width).
pub fn grey(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    resize::<Luma<u8>>(pixels, from, to)
}
