//! Images and labels: the embedded default domains, loaders for real sets on disk, and ways to look at them.
//!
//! Everything here is pure: parsers take bytes, random numbers come from an explicitly seeded generator, and only
//! [`load_directory`] touches the file system. Pixels are `u8` in N·H·W·C order with always three channels (grey is
//! repeated); the value `p` stands for `p / 255` in `[0, 1]`, with no mean or deviation taken off, because the attacks
//! clip to `[0, 1]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Channels of every image: red, green, blue.
pub const CHANNELS: usize = 3;

/// Whether the images of a domain were recorded from the world or made by this program.
///
/// Shown wherever a domain is named, so that nobody takes an accuracy on generated images for one on real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Recorded images, at most rescaled and brought to three channels.
    Genuine,
    /// Images drawn, or changed beyond rescaling, by this program.
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
    /// Images to be dealt to clients for training and validation.
    pub train: ImageSet,
    /// Images kept for testing.
    pub test: ImageSet,
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
}

impl Dataset {
    /// A data set whose invariants hold: at least one domain, no empty split, one image size, every label below the
    /// number of classes, distinct domain names.
    ///
    /// # Errors
    /// [`Error::Data`] naming the domain, split and image that break one of these.
    pub fn new(name: impl Into<String>, classes: Vec<String>, domains: Vec<Domain>) -> Result<Self> {
        let name = name.into();
        let Some(first) = domains.first() else {
            return Err(Error::Data(format!("data set {name}: it has no domain; give at least one")));
        };
        let size = (first.train.height, first.train.width);
        for (d, domain) in domains.iter().enumerate() {
            if domains[..d].iter().any(|other| other.name == domain.name) {
                return Err(Error::Data(format!("data set {name}: two domains are called {}; rename one", domain.name)));
            }
            for (split, set) in [("train", &domain.train), ("test", &domain.test)] {
                check_set(set, size, classes.len())
                    .map_err(|what| Error::Data(format!("data set {name}, domain {}, {split}: {what}", domain.name)))?;
            }
        }
        Ok(Self { name, classes, domains })
    }

    /// Rows and columns of every image; `(0, 0)` of a hand-made data set without domains.
    pub fn image_size(&self) -> (u32, u32) {
        self.domains.first().map_or((0, 0), |d| (d.train.height, d.train.width))
    }
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
