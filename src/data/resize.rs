//! Stored sets brought to the size that is wanted.

use splitmix_pictures::resize::{grey, rgb};

use super::ImageSet;
use super::read::{self, RawImages, RawSet};

/// Brings a stored set to three channels and `to` (height, width).
pub(super) fn image_set(raw: RawSet, to: (u32, u32)) -> ImageSet {
    let RawSet { mut images, labels } = raw;
    // Stored sides are at most 4096, so they fit u32.
    let from = (images.height as u32, images.width as u32);
    if from != to {
        let resize = if images.channels == 1 { grey } else { rgb };
        let pixels = resize(&images.pixels, from, to);
        images = RawImages { height: to.0 as usize, width: to.1 as usize, channels: images.channels, pixels };
    }
    ImageSet { height: to.0, width: to.1, pixels: read::rgb(images), labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test pattern of `golden/make_resize.py`.
    fn pattern(height: usize, width: usize, channels: usize) -> Vec<u8> {
        (0..height * width * channels)
            .map(|i| {
                let (c, x, y) = (i % channels, i / channels % width, i / channels / width);
                ((x * 37 + y * 91 + x * y * 13 + c * 59) % 256) as u8
            })
            .collect()
    }

    #[test]
    fn agrees_with_pil() {
        // Enlarged USPS and optdigits, MNIST-M, meter digits, and strong reduction.
        let cases = [
            (16, 16, 1, include_bytes!("golden/resize_16x16x1.bin").as_slice()),
            (8, 8, 1, include_bytes!("golden/resize_8x8x1.bin")),
            (32, 32, 3, include_bytes!("golden/resize_32x32x3.bin")),
            (32, 20, 3, include_bytes!("golden/resize_32x20x3.bin")),
            (150, 101, 3, include_bytes!("golden/resize_150x101x3.bin")),
        ];
        for (height, width, channels, golden) in cases {
            let images = RawImages { height, width, channels, pixels: pattern(height, width, channels) };
            let set = image_set(RawSet { images, labels: vec![3] }, (28, 28));
            assert_eq!(set.pixels.len(), 28 * 28 * 3);
            let golden: Vec<u8> = match channels {
                1 => golden.iter().flat_map(|&p| [p; 3]).collect(),
                _ => golden.to_vec(),
            };
            assert_eq!(golden.len(), set.pixels.len());
            let worst = set.pixels.iter().zip(&golden).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{height}×{width}×{channels}: off by {worst:?} levels");
        }
    }

    #[test]
    fn equal_size_is_untouched_and_grey_is_repeated() {
        let images = RawImages { height: 2, width: 1, channels: 1, pixels: vec![9, 200] };
        let set = image_set(RawSet { images, labels: vec![1] }, (2, 1));
        assert_eq!(set.pixels, [9, 9, 9, 200, 200, 200]);
    }
}
