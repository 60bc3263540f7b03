//! Twin of `gather_images.wgsl`.

use crate::attack::pcg4d;
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

/// Random changes to an image, as `gather_augmented` makes them.
#[derive(Clone, Copy, Debug)]
pub struct Augment {
    /// Zero pixels on every side of which a crop is taken.
    pub padding: u32,
    /// Flip left and right every other time.
    pub flip: bool,
    /// Most degrees of a rotation.
    pub rotation: f64,
    pub seed: u32,
    pub round: u32,
    /// Local step.
    pub step: u32,
}

/// What was drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Pixels that the crop begins below and to the right of the image's corner.
    pub down: i64,
    pub right: i64,
    pub flipped: bool,
    /// Cosine and sine · 2¹⁴ of the angle.
    pub turn: (i64, i64),
}

impl Augment {
    /// The draw for image `image` of the set.
    pub fn draw(&self, image: u32) -> Drawn {
        let k = pcg4d([self.seed, self.round, self.step, u32::from_be_bytes(*b"AUGE")]);
        let v = pcg4d([k[0] ^ image, k[1], k[2], k[3]]);
        let moved = |bits: u32| i64::from((bits >> 8) % (2 * self.padding + 1)) - i64::from(self.padding);
        let angle = self.rotation.to_radians() * (f64::from((v[3] >> 8) % 127) - 63.0) / 63.0;
        let fixed = |v: f64| (v * 16384.0).round() as i64;
        Drawn {
            down: moved(v[0]),
            right: moved(v[1]),
            flipped: self.flip && v[2] >> 31 == 1,
            turn: (fixed(angle.cos()), fixed(angle.sin())),
        }
    }
}

/// One image, N·C·H·W with N = 1, changed: cropped, then flipped, then rotated.
pub fn augment(shape: &Image, x: &[f64], drawn: &Drawn) -> Vec<f64> {
    check_len("x", x.len(), shape.len());
    let (height, width) = (shape.height as i64, shape.width as i64);
    let at = |x: &[f64], c: usize, row: i64, column: i64| {
        let inside = (0..height).contains(&row) && (0..width).contains(&column);
        if inside { x[(c * shape.height + row as usize) * shape.width + column as usize] } else { 0.0 }
    };
    let mapped = |x: &[f64], source: &dyn Fn(i64, i64) -> (i64, i64)| -> Vec<f64> {
        let mut out = Vec::with_capacity(x.len());
        for c in 0..shape.channels {
            for row in 0..height {
                for column in 0..width {
                    let (row, column) = source(row, column);
                    out.push(at(x, c, row, column));
                }
            }
        }
        out
    };
    let cropped = mapped(x, &|row, column| (row + drawn.down, column + drawn.right));
    let flipped = mapped(&cropped, &|row, column| (row, if drawn.flipped { width - 1 - column } else { column }));
    let (cosine, sine) = drawn.turn;
    mapped(&flipped, &|row, column| {
        // Twice the distance from the centre, turned; then the nearest pixel, halves upwards.
        let (v, u) = (2 * row - height + 1, 2 * column - width + 1);
        let nearest = |turned: i64, size: i64| (turned + size * 16384).div_euclid(32768);
        (nearest(cosine * v - sine * u, height), nearest(cosine * u + sine * v, width))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_by_hand() {
        let shape = Image { channels: 1, height: 3, width: 3 };
        let x: Vec<f64> = (1..10).map(f64::from).collect();
        let still = Drawn { down: 0, right: 0, flipped: false, turn: (16384, 0) };
        assert_eq!(augment(&shape, &x, &still), x);
        assert_eq!(augment(&shape, &x, &Drawn { down: 1, right: -1, ..still }), [0.0, 4.0, 5.0, 0.0, 7.0, 8.0, 0.0, 0.0, 0.0]);
        assert_eq!(augment(&shape, &x, &Drawn { flipped: true, ..still }), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0, 9.0, 8.0, 7.0]);
        // A quarter turn, and half of one, which leaves the cross and loses the corners.
        assert_eq!(augment(&shape, &x, &Drawn { turn: (0, 16384), ..still }), [7.0, 4.0, 1.0, 8.0, 5.0, 2.0, 9.0, 6.0, 3.0]);
        let half = augment(&shape, &x, &Drawn { turn: (11585, 11585), ..still });
        assert_eq!(half[4], 5.0);
        // Flipped after the crop: what came in from the left stands on the right.
        assert_eq!(augment(&shape, &x, &Drawn { right: -1, flipped: true, ..still })[..3], [2.0, 1.0, 0.0]);
    }

    #[test]
    fn draws_are_even() {
        let of = |image| Augment { padding: 4, flip: true, rotation: 30.0, seed: 1, round: 2, step: 3 }.draw(image);
        let all: Vec<Drawn> = (0..3600).map(of).collect();
        for place in -4..=4 {
            let count = all.iter().filter(|d| d.down == place).count();
            assert!((320..480).contains(&count), "{place}: {count}");
        }
        assert!((1650..1950).contains(&all.iter().filter(|d| d.flipped).count()));
        let steepest = all.iter().map(|d| d.turn.1.abs()).max().unwrap();
        assert_eq!(steepest, 8192);
    }

    #[test]
    fn channels_move_outwards_and_spare_samples_are_zero() {
        let shape = Image { channels: 2, height: 1, width: 2 };
        let images = [0, 51, 102, 153, 255, 204, 153, 102];
        let (x, labels) = gather_images(&shape, &images, &[4, 9], &[1, 0], 3);
        assert_eq!(x, [1.0, 0.6, 0.8, 0.4, 0.0, 0.4, 0.2, 0.6, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(labels, [9, 4, 0]);
    }
}
