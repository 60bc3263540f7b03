//! Twin of `gather_images.wgsl`.

use crate::shape::{Image, check_len};

/// `(x, labels)`: the mini-batch that `indices` picks from an image set.
///
/// `images` holds the whole set as bytes, `[image][height][width][channel]`, and `set_labels` its labels. `x` is
/// N·C·H·W with capacity `batch`, values `byte / 255` in [0, 1]. Samples past the last index are 0 and so are their
/// labels.
pub fn gather_images(shape: &Image, images: &[u8], set_labels: &[u32], indices: &[u32], batch: usize) -> (Vec<f64>, Vec<u32>) {
    check_len("images", images.len(), set_labels.len() * shape.len());
    assert!(indices.len() <= batch, "{} indices in a batch of {batch}", indices.len());
    let mut x = vec![0.0; batch * shape.len()];
    let mut labels = vec![0; batch];
    for (n, &index) in indices.iter().enumerate() {
        let index = index as usize;
        labels[n] = set_labels[index];
        for c in 0..shape.channels {
            for row in 0..shape.height {
                for column in 0..shape.width {
                    let byte = images[((index * shape.height + row) * shape.width + column) * shape.channels + c];
                    x[((n * shape.channels + c) * shape.height + row) * shape.width + column] = f64::from(byte) / 255.0;
                }
            }
        }
    }
    (x, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_outwards_and_spare_samples_are_zero() {
        let shape = Image { channels: 2, height: 1, width: 2 };
        let images = [0, 51, 102, 153, 255, 204, 153, 102];
        let (x, labels) = gather_images(&shape, &images, &[4, 9], &[1, 0], 3);
        assert_eq!(x, [1.0, 0.6, 0.8, 0.4, 0.0, 0.4, 0.2, 0.6, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(labels, [9, 4, 0]);
    }
}
