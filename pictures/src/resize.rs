//! Antialiased bilinear resizing, as the Python imaging library does it: the triangle filter is widened when an image is
//! made smaller, so that every source pixel counts. Within one level (of 255) of PIL's `resize(size, BILINEAR)`, which works in
//! fixed point and rounds after each of its two passes.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

/// Images with the channels of `P` resized to `to` (height, width).
fn resize<P: Pixel<Subpixel = u8> + 'static>(pixels: &[u8], (height, width): (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let length = |(height, width): (u32, u32)| height as usize * width as usize * usize::from(P::CHANNEL_COUNT);
    let images = pixels.chunks_exact(length((height, width)).max(1));
    let mut resized = Vec::with_capacity(images.len() * length(to));
    for image in images {
        // Refused is a buffer that is too short for its size: a chunk has it.
        if let Some(image) = ImageBuffer::<P, &[u8]>::from_raw(width, height, image) {
            resized.extend_from_slice(&imageops::resize(&image, to.1, to.0, FilterType::Triangle));
        }
    }
    resized
}

/// Images resized from `from` to `to` (height, width).
pub fn rgb(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    resize::<Rgb<u8>>(pixels, from, to)
}

/// Images of a single channel resized from `from` to `to` (height, width).
pub fn grey(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    resize::<Luma<u8>>(pixels, from, to)
}
