//! The default data set, compiled into the program.

use super::read::{self, TextFormat};
use super::{Dataset, Domain, ImageSet, Origin, digit_names, resize, unknown_domain};
use crate::{Error, Result};
use splitmix_pictures::{mnist_m_style, synth_digits};

/// Rows and columns of the default images.
const SIZE: (u32, u32) = (28, 28);

/// Files of `datasets/`, with the names they have there (for messages).
macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../datasets/", $path)).as_slice())
    };
}

/// The default domains, in their order.
const NAMES: [&str; 4] = ["mnist", "optdigits", "synth-digits", "mnist-m-style"];

/// The four default domains at 28×28: `mnist` and `optdigits` (genuine), `synth-digits` and `mnist-m-style`
/// (generated), 1 200 training images each and 1 000 test images (`optdigits`: 597).
///
/// The same pixels every time and on every platform. Nothing is read from disk; the generated domains are drawn anew
/// at each call, which takes a fraction of a second. Provenance and licences: `datasets/README.md`.
///
/// # Errors
/// [`Error::Data`] if a file was damaged when the program was built.
pub fn embedded() -> Result<Dataset> {
    embedded_domains(&[])
}

/// Those of the default domains that are named, in the order of the names; all four where none is. The others are not drawn.
///
/// # Errors
/// As [`embedded`]; [`Error::Config`] for another name, with those there are.
pub fn embedded_domains(wanted: &[String]) -> Result<Dataset> {
    let mnist = mnist()?;
    let names: Vec<&str> = if wanted.is_empty() { NAMES.to_vec() } else { wanted.iter().map(String::as_str).collect() };
    let domain = |name: &str| {
        let (origin, train, test) = match name {
            "mnist" => (Origin::Genuine, mnist.0.clone(), mnist.1.clone()),
            "optdigits" => {
                (Origin::Genuine, optdigits(file!("optdigits/optdigits.tra.gz"))?, optdigits(file!("optdigits/optdigits.tes.gz"))?)
            }
            // As many generated images as there are genuine ones.
            "synth-digits" => (Origin::Generated, drawn(synth_digits::train(mnist.0.len()))?, drawn(synth_digits::test(mnist.1.len()))?),
            "mnist-m-style" => (
                Origin::Generated,
                ImageSet { pixels: mnist_m_style::train(&mnist.0.pixels, SIZE), ..mnist.0.clone() },
                ImageSet { pixels: mnist_m_style::test(&mnist.1.pixels, SIZE), ..mnist.1.clone() },
            ),
            _ => return Err(unknown_domain("embedded", name, &NAMES)),
        };
        Ok(Domain { name: name.into(), origin, train, test, validation: 0 })
    };
    Dataset::new("embedded", digit_names(), names.into_iter().map(domain).collect::<Result<_>>()?)
}

/// Training and test images of `mnist`.
fn mnist() -> Result<(ImageSet, ImageSet)> {
    let idx = |images: (&str, &[u8]), labels: (&str, &[u8])| -> Result<ImageSet> {
        let raw = read::pair(
            images.0,
            read::idx_images(images.0, &read::unpack(images.0, images.1)?)?,
            labels.0,
            read::idx_labels(labels.0, &read::unpack(labels.0, labels.1)?)?,
        )?;
        Ok(resize::image_set(raw, SIZE))
    };
    Ok((
        idx(file!("mnist/train-images-idx3-ubyte.gz"), file!("mnist/train-labels-idx1-ubyte.gz"))?,
        idx(file!("mnist/t10k-images-idx3-ubyte.gz"), file!("mnist/t10k-labels-idx1-ubyte.gz"))?,
    ))
}

/// The images of a file of `optdigits`.
fn optdigits((name, bytes): (&str, &[u8])) -> Result<ImageSet> {
    let raw = read::text(name, &read::unpack(name, bytes)?, TextFormat::Optdigits, digit_names().len())?;
    Ok(resize::image_set(raw, SIZE))
}

/// The images of `synth-digits`.
fn drawn(images: Option<(Vec<u8>, Vec<u8>)>) -> Result<ImageSet> {
    let damaged = || Error::Data("datasets/dejavu/digits.bin is damaged: take the original and rebuild".into());
    let (pixels, labels) = images.ok_or_else(damaged)?;
    Ok(ImageSet { height: SIZE.0, width: SIZE.1, pixels, labels })
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

    #[test]
    fn domains_that_are_named_are_those_of_all_four() {
        let all = embedded().unwrap();
        let named = ["mnist-m-style", "optdigits"].map(str::to_owned);
        assert_eq!(embedded_domains(&named).unwrap().domains, [all.domains[3].clone(), all.domains[1].clone()]);
        let unknown = ["mnist", "svhn"].map(str::to_owned);
        let (named, before) = (embedded_domains(&unknown).unwrap_err(), all.with_domains(&unknown).unwrap_err());
        let words = "domains: the embedded data has no \"svhn\"; it has mnist, optdigits, synth-digits, mnist-m-style";
        assert_eq!([named.to_string(), before.to_string()], [words, words]);
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
