//! Images and labels: the embedded default domains, loaders for real sets on disk, and ways to look at them.
//!
//! Everything here is pure: parsers take bytes, random numbers come from an explicitly seeded generator, and only
//! [`load_directory`] touches the file system. Pixels are `u8` in N·H·W·C order with always three channels (grey is
//! repeated); the value `p` stands for `p / 255` in `[0, 1]`, with no mean or deviation taken off, because the attacks
//! clip to `[0, 1]`.

#[cfg(feature = "native")]
mod array;
#[cfg(feature = "native")]
mod cifar;
mod claims;
#[cfg(feature = "native")]
mod clients_csv;
#[cfg(feature = "native")]
mod directory;
mod embedded;
#[cfg(feature = "native")]
pub mod fetch;
#[cfg(feature = "native")]
mod folders;
#[cfg(feature = "native")]
mod idx;
mod jpeg;
#[cfg(feature = "native")]
mod layout;
#[cfg(feature = "native")]
mod libsvm;
#[cfg(feature = "native")]
mod mat;
#[cfg(feature = "native")]
mod npz;
#[cfg(feature = "native")]
mod pickle;
mod picture;
mod read;
mod resize;
#[cfg(feature = "native")]
mod sheet;
#[cfg(feature = "native")]
mod source;
mod table;
#[cfg(feature = "native")]
mod tree;
#[cfg(feature = "native")]
mod unread;
mod upsample;

use std::fmt;

use serde::{Deserialize, Serialize};
use splitmix_pictures::resize::rgb;

use crate::{Error, Result};

#[cfg(feature = "native")]
pub use clients_csv::load_clients;
#[cfg(feature = "native")]
pub use directory::{LoadOptions, check_domains, load_directory};
pub use embedded::{embedded, embedded_domains};
#[cfg(feature = "native")]
pub(crate) use folders::read_picture;
#[cfg(feature = "native")]
pub(crate) use picture::has_more_pictures;
pub use picture::load_image;
#[cfg(feature = "native")]
pub use picture::load_inverted;
#[cfg(feature = "native")]
pub use sheet::contact_sheet;
pub use splitmix_pictures::GENERATOR_SEED;
pub use table::{ClientRow, Splits, class_table, describe};

/// Channels of every image: red, green, blue.
pub const CHANNELS: usize = 3;

/// Whether the images of a domain are those of a published data set or were made in its manner.
///
/// Shown wherever a domain is named, so that nobody takes an accuracy on generated images for a published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Images of a published data set as they are, at most rescaled and brought to three channels.
    Genuine,
    /// Images drawn or blended by a generator, this program's own or another's.
    Generated,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Origin::Genuine => "genuine",
            Origin::Generated => "generated",
        })
    }
}

/// Labelled images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// Rows of an image.
    pub height: u32,
    /// Columns of an image.
    pub width: u32,
    /// `N·H·W·C` bytes, channels last, three channels.
    pub pixels: Vec<u8>,
    /// `N` class indices.
    pub labels: Vec<u8>,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image, `H·W·3`.
    pub fn image_len(&self) -> usize {
        self.height as usize * self.width as usize * CHANNELS
    }

    /// Pixels of image `i` in H·W·C order.
    ///
    /// # Panics
    /// If `i` is not below [`len`](Self::len).
    pub fn image(&self, i: usize) -> &[u8] {
        let n = self.image_len();
        &self.pixels[i * n..(i + 1) * n]
    }

    /// How many images each of the classes `0..classes` has. Labels of other classes are not counted.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }
}

/// One kind of images, with a fixed train/test split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Short name, as in `mnist`.
    pub name: String,
    /// Recorded or generated.
    pub origin: Origin,
    /// Images for training; the last [`validation`](Self::validation) of them are for validation only.
    pub train: ImageSet,
    /// Images for testing.
    pub test: ImageSet,
    /// How many images at the end of `train` the data set itself keeps for validation; 0 if it has no validation split, and each client
    /// then keeps a share of its training images.
    pub validation: usize,
}

impl Domain {
    /// Name and origin, as in `mnist (genuine)`: the form in which a domain is always shown.
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.origin)
    }
}

/// Several domains over the same classes, all images of equal size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Short name, as in `embedded` or the folder it was read from.
    pub name: String,
    /// Names of the classes; a label is an index into this list.
    pub classes: Vec<String>,
    /// In the order in which clients are numbered.
    pub domains: Vec<Domain>,
    /// Who has which images, where that is given; empty: they are dealt.
    pub clients: Vec<Holding>,
    /// What was left out while reading it and what is unusual about it, in words, for the user; one line each.
    pub notes: Vec<String>,
}

/// The images of a client, where they are given. All are indices into its domain's sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Name of the client.
    pub name: String,
    /// Index of its domain.
    pub domain: usize,
    /// Images to train on, in the domain's training set.
    pub train: Vec<u32>,
    /// Images to validate on, in the domain's training set; empty: a share of those to train on.
    pub validation: Vec<u32>,
    /// Images to test on, in the domain's test set.
    pub test: Vec<u32>,
}

impl Dataset {
    /// A data set whose invariants hold, see [`check`](Self::check).
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn new(name: impl Into<String>, classes: Vec<String>, domains: Vec<Domain>) -> Result<Self> {
        let dataset = Self { name: name.into(), classes, domains, clients: Vec::new(), notes: Vec::new() };
        dataset.check()?;
        Ok(dataset)
    }

    /// Whether at least one domain is there, names are distinct, no split is empty, all images are of one size, and all
    /// labels are below the number of classes. [`new`](Self::new) sees to it; this is for sets changed afterwards.
    ///
    /// # Errors
    /// [`Error::Data`] naming the domain, split and image that break one of these.
    pub fn check(&self) -> Result<()> {
        let name = &self.name;
        let Some(first) = self.domains.first() else {
            return Err(Error::Data(format!("data set {name}: it has no domain; give at least one")));
        };
        let size = (first.train.height, first.train.width);
        for (d, domain) in self.domains.iter().enumerate() {
            if self.domains[..d].iter().any(|other| other.name == domain.name) {
                return Err(Error::Data(format!("data set {name}: two domains are called {}; rename one", domain.name)));
            }
            for (split, set) in [("train", &domain.train), ("test", &domain.test)] {
                check_set(set, size, self.classes.len())
                    .map_err(|what| Error::Data(format!("data set {name}, domain {}, {split}: {what}", domain.name)))?;
            }
        }
        Ok(())
    }

    /// The domains of these names alone, in their order; all where none is named.
    ///
    /// # Errors
    /// [`Error::Config`] for a domain that there is not, with those there are.
    pub fn with_domains(mut self, wanted: &[String]) -> Result<Self> {
        if wanted.is_empty() {
            return Ok(self);
        }
        let find = |name: &String| {
            self.domains.iter().find(|d| d.name == *name).cloned().ok_or_else(|| {
                let names: Vec<&str> = self.domains.iter().map(|d| d.name.as_str()).collect();
                unknown_domain(&self.name, name, &names)
            })
        };
        self.domains = wanted.iter().map(find).collect::<Result<_>>()?;
        Ok(self)
    }

    /// The same images brought to `size` (height, width; antialiased bilinear), each side 1 to 4096.
    ///
    /// # Errors
    /// [`Error::Config`] for another side, or where the images take more than 8 GiB (1 GiB in a browser) at that size.
    pub fn resized(mut self, size: (u32, u32)) -> Result<Self> {
        check_room(self.domains.iter().map(|d| d.train.len() + d.test.len()).sum(), size)?;
        let from = self.image_size();
        for set in self.domains.iter_mut().flat_map(|d| [&mut d.train, &mut d.test]).filter(|_| from != size) {
            let pixels = rgb(&set.pixels, from, size);
            *set = ImageSet { height: size.0, width: size.1, pixels, labels: std::mem::take(&mut set.labels) };
        }
        Ok(self)
    }

    /// Rows and columns of every image; `(0, 0)` of a hand-made data set without domains.
    pub fn image_size(&self) -> (u32, u32) {
        self.domains.first().map_or((0, 0), |d| (d.train.height, d.train.width))
    }
}

fn unknown_domain(data: &str, name: &str, names: &[&str]) -> Error {
    Error::Config(format!("domains: the {data} data has no {name:?}; it has {}", names.join(", ")))
}

/// Whether so many images have room in memory at `size` (height, width). No adapter's two buffers of images hold more.
///
/// # Errors
/// [`Error::Config`] for a side that is not 1 to 4096, and for too many bytes.
fn check_room(images: usize, size: (u32, u32)) -> Result<()> {
    const MOST: u64 = if usize::BITS > 32 { 8 << 30 } else { 1 << 30 };
    let (height, width) = size;
    if let Some(side) = [height, width].into_iter().find(|side| !(1..=4096).contains(side)) {
        return Err(Error::Config(format!("image size {side} is not possible; give 1 to 4096")));
    }
    let bytes = (images as u64).saturating_mul(u64::from(height) * u64::from(width) * CHANNELS as u64);
    if bytes > MOST {
        return Err(Error::Config(format!(
            "{images} images of {height}×{width} take {} GiB, and there may be {}: describe a network with a smaller input, or choose \
             fewer domains with domains",
            bytes.div_ceil(1 << 30),
            MOST >> 30
        )));
    }
    Ok(())
}

/// What keeps `set` from being part of a data set of this image size and class count, in words.
fn check_set(set: &ImageSet, (height, width): (u32, u32), classes: usize) -> std::result::Result<(), String> {
    if set.is_empty() {
        return Err("there is no image; every domain needs at least one in each split".into());
    }
    if (set.height, set.width) != (height, width) || set.image_len() == 0 {
        return Err(format!("images are {}×{} where {height}×{width} (and not empty) is wanted; resize them", set.height, set.width));
    }
    if set.pixels.len() != set.len() * set.image_len() {
        return Err(format!("{} labels need {} pixel bytes, but there are {}", set.len(), set.len() * set.image_len(), set.pixels.len()));
    }
    match set.labels.iter().position(|&l| usize::from(l) >= classes) {
        Some(i) => Err(format!("image {i} has label {}, but there are {classes} classes", set.labels[i])),
        None => Ok(()),
    }
}

/// The class names of every digit set: `0` to `9`.
fn digit_names() -> Vec<String> {
    (0..10).map(|d| d.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[u8]) -> ImageSet {
        ImageSet { height: 1, width: 2, pixels: (0..6 * labels.len() as u8).collect(), labels: labels.to_vec() }
    }

    fn domain(name: &str) -> Domain {
        Domain { name: name.into(), origin: Origin::Genuine, train: set(&[0, 1, 1]), test: set(&[1]), validation: 0 }
    }

    #[test]
    fn images_and_counts() {
        let set = set(&[0, 2, 2]);
        assert_eq!((set.len(), set.is_empty(), set.image_len()), (3, false, 6));
        assert_eq!(set.image(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(set.class_counts(2), [1, 0]);
        assert_eq!(domain("usps").title(), "usps (genuine)");
        assert_eq!(serde_json::to_string(&Origin::Generated).unwrap(), "\"generated\"");
    }

    #[test]
    fn a_size_that_has_no_room_is_told() {
        let many = ImageSet { height: 1, width: 1, pixels: vec![9; 600], labels: vec![0; 200] };
        let domain = Domain { name: "a".into(), origin: Origin::Genuine, train: many, test: set(&[1]), validation: 0 };
        let resized = |size| {
            Dataset { name: "demo".into(), classes: vec![], domains: vec![domain.clone()], clients: vec![], notes: vec![] }.resized(size)
        };
        let told = |size| resized(size).unwrap_err().to_string();
        assert!(told((4096, 4096)).contains("201 images of 4096×4096 take 10 GiB, and there may be 8: "), "{}", told((4096, 4096)));
        assert!(told((0, 8)).contains("image size 0") && told((8, u32::MAX)).contains("give 1 to 4096"));
        assert_eq!(resized((2, 3)).unwrap().domains[0].train.pixels, [9; 3600]);
    }

    #[test]
    fn broken_sets_are_refused_by_name() {
        let error = |change: fn(&mut Vec<Domain>)| {
            let mut domains = vec![domain("a"), domain("b")];
            change(&mut domains);
            Dataset::new("demo", digit_names()[..2].to_vec(), domains).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error(|d| d.clear()).contains("no domain"));
        assert!(error(|d| d[1].name = "a".into()).contains("two domains are called a"));
        assert!(error(|d| d[1].test = set(&[])).contains("domain b, test: there is no image"));
        assert!(error(|d| d[1].train.width = 1).contains("images are 1×1 where 1×2"));
        assert!(error(|d| d[1].train.labels[2] = 7).contains("image 2 has label 7, but there are 2 classes"));
        assert!(error(|d| d[0].train.pixels.truncate(5)).contains("3 labels need 18 pixel bytes, but there are 5"));
    }
}
