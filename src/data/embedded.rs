//! The default data set, compiled into the program.

use super::read::{self, TextFormat};
use super::{Dataset, Domain, ImageSet, Origin, digit_names, mnist_m_style, resize, synth_digits};
use crate::Result;

/// Rows and columns of the default images.
const SIZE: (u32, u32) = (28, 28);

/// Files of `datasets/`, with the names they have there (for messages).
macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../datasets/", $path)).as_slice())
    };
}

/// The four default domains at 28×28: `mnist` and `optdigits` (genuine), `synth-digits` and `mnist-m-style`
/// (generated), 1 200 training images each and 1 000 test images (`optdigits`: 597).
///
/// The same pixels every time and on every platform. Nothing is read from disk; the generated domains are drawn anew
/// at each call, which takes a fraction of a second. Provenance and licences: `datasets/README.md`.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) if a file was damaged when the program was built.
pub fn embedded() -> Result<Dataset> {
    let classes = digit_names();
    let idx = |images: (&str, &[u8]), labels: (&str, &[u8])| -> Result<ImageSet> {
        let raw = read::pair(
            images.0,
            read::idx_images(images.0, &read::unpack(images.0, images.1)?)?,
            labels.0,
            read::idx_labels(labels.0, &read::unpack(labels.0, labels.1)?)?,
        )?;
        Ok(resize::image_set(raw, SIZE))
    };
    let text = |(name, bytes): (&str, &[u8])| -> Result<ImageSet> {
        let raw = read::text(name, &read::unpack(name, bytes)?, TextFormat::Optdigits, classes.len())?;
        Ok(resize::image_set(raw, SIZE))
    };
    let mnist = Domain {
        name: "mnist".into(),
        origin: Origin::Genuine,
        train: idx(file!("mnist/train-images-idx3-ubyte.gz"), file!("mnist/train-labels-idx1-ubyte.gz"))?,
        test: idx(file!("mnist/t10k-images-idx3-ubyte.gz"), file!("mnist/t10k-labels-idx1-ubyte.gz"))?,
        validation: 0,
    };
    let optdigits = Domain {
        name: "optdigits".into(),
        origin: Origin::Genuine,
        train: text(file!("optdigits/optdigits.tra.gz"))?,
        test: text(file!("optdigits/optdigits.tes.gz"))?,
        validation: 0,
    };
    // As many generated images as there are genuine ones.
    let synth_digits = Domain {
        name: "synth-digits".into(),
        origin: Origin::Generated,
        train: synth_digits::train(mnist.train.len())?,
        test: synth_digits::test(mnist.test.len())?,
        validation: 0,
    };
    let mnist_m_style = Domain {
        name: "mnist-m-style".into(),
        origin: Origin::Generated,
        train: mnist_m_style::train(&mnist.train),
        test: mnist_m_style::test(&mnist.test),
        validation: 0,
    };
    Dataset::new("embedded", classes, vec![mnist, optdigits, synth_digits, mnist_m_style])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32 of all pixels and labels, train then test.
    fn checksum(domain: &Domain) -> u32 {
        let mut crc = flate2::Crc::new();
        for set in [&domain.train, &domain.test] {
            crc.update(&set.pixels);
            crc.update(&set.labels);
        }
        crc.sum()
    }

    #[test]
    fn the_four_domains_are_there() {
        let set = embedded().unwrap();
        assert_eq!(set.image_size(), (28, 28));
        let found: Vec<_> = set.domains.iter().map(|d| (d.title(), d.train.len(), d.test.len())).collect();
        assert_eq!(
            found,
            [
                ("mnist (genuine)".to_owned(), 1200, 1000),
                ("optdigits (genuine)".to_owned(), 1200, 597),
                ("synth-digits (generated)".to_owned(), 1200, 1000),
                ("mnist-m-style (generated)".to_owned(), 1200, 1000),
            ]
        );
        for domain in &set.domains {
            for split in [&domain.train, &domain.test] {
                let counts = split.class_counts(10);
                assert_eq!(counts.iter().sum::<usize>(), split.len());
                let mean = split.len() / 10;
                assert!(counts.iter().all(|c| c.abs_diff(mean) <= 5), "{}: {counts:?}", domain.name);
            }
        }
    }

    // Accuracies are compared across versions, so a change here is a change of the data sets, to be made on purpose.
    // The generators use integers and IEEE-exact operations only; the resizing of optdigits is plain f32 in a fixed
    // order, which Rust does not contract or reorder.
    #[test]
    fn pixels_are_the_same_on_every_platform() {
        let set = embedded().unwrap();
        let found: Vec<_> = set.domains.iter().map(|d| (d.name.as_str(), format!("{:08x}", checksum(d)))).collect();
        let pinned = [("mnist", "d45bb6d2"), ("optdigits", "4bfeaad3"), ("synth-digits", "d080c0a4"), ("mnist-m-style", "bf788b72")];
        assert_eq!(found, pinned.map(|(name, crc)| (name, crc.to_owned())));
    }

    #[test]
    fn no_image_is_flat_and_no_test_image_was_trained_on() {
        for domain in embedded().unwrap().domains {
            let seen: std::collections::HashSet<_> = (0..domain.train.len()).map(|i| domain.train.image(i)).collect();
            for i in 0..domain.test.len() {
                let image = domain.test.image(i);
                assert!(!seen.contains(image), "{} test image {i} is also a training image", domain.name);
                let (low, high) = image.iter().fold((255, 0), |(l, h), &p| (p.min(l), p.max(h)));
                assert!(high - low >= 50, "{} test image {i} is nearly flat: {low} to {high}", domain.name);
            }
        }
    }
}
