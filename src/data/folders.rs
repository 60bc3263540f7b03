//! The pictures of a domain: their split, and their pixels, resized once and kept.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::layout::{Plan, Role};
use super::picture::has_more_pictures;
use super::tree::few;
use super::{GENERATOR_SEED, ImageSet, load_image};
use crate::{Error, Result};

/// Most classes: a label is a byte.
const MAX_CLASSES: usize = 256;
/// Number of the way in which pictures are decoded: kept pixels of another are not taken.
const READER: u32 = 4;

/// The pictures of one domain, with their labels.
pub(super) struct Folders {
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// For training; the last [`validation`](Self::validation) of them are for validation.
    train: Vec<(PathBuf, u8)>,
    test: Vec<(PathBuf, u8)>,
    /// Pictures at the end of the training set that the data set itself keeps for validation.
    pub validation: usize,
}

impl Folders {
    /// These pictures, with their labels.
    pub fn of(classes: Vec<String>, train: Vec<(PathBuf, u8)>, test: Vec<(PathBuf, u8)>) -> Folders {
        Folders { classes, train, test, validation: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.train.len() + self.test.len()
    }

    /// The pictures of `plan`. Without a test split of its own, the share `test_ratio` of each class's training pictures is for testing,
    /// the same pictures every time.
    ///
    /// # Errors
    /// [`Error::Data`] for more than 256 classes.
    pub fn new(plan: &Plan, test_ratio: f64) -> Result<Folders> {
        let classes = plan.classes();
        if classes.len() > MAX_CLASSES {
            return Err(Error::Data(format!(
                "{}: {} class folders, and there can be {MAX_CLASSES}: take some away",
                plan.path.display(),
                classes.len()
            )));
        }
        let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for (label, pictures) in plan.pictures.chunk_by(|a, b| a.class == b.class).enumerate() {
            let of_role = |role| -> Vec<(PathBuf, u8)> {
                pictures.iter().filter(|p| p.role == role).map(|p| (p.path.clone(), label as u8)).collect()
            };
            let mut own = of_role(Role::Train);
            validation.append(&mut of_role(Role::Validation));
            test.append(&mut of_role(Role::Test));
            if !plan.split {
                // Keyed by the class alone, so that more classes or another domain change no other split.
                let mut key = [0u8; 32];
                classes[label].bytes().enumerate().for_each(|(i, b)| key[i % 24] = key[i % 24].wrapping_mul(31).wrapping_add(b));
                key[24..].copy_from_slice(&GENERATOR_SEED.to_le_bytes());
                let mut rng = ChaCha8Rng::from_seed(key);
                rng.next_u64();
                own.shuffle(&mut rng);
                let kept = own.split_off(((own.len() as f64 * test_ratio).round() as usize).min(own.len()));
                test.append(&mut own);
                own = kept;
            }
            train.append(&mut own);
        }
        let count = validation.len();
        train.append(&mut validation);
        Ok(Folders { classes, train, test, validation: count })
    }

    /// That there are training and test pictures.
    ///
    /// # Errors
    /// [`Error::Data`] where the share `test_ratio` of every class is no picture, or all of them.
    pub fn check_halves(&self, plan: &Plan, test_ratio: f64) -> Result<()> {
        let (part, how) = match (&self.train[..], &self.test[..]) {
            ([], _) => ("training", "lower"),
            (_, []) => ("testing", "raise"),
            _ => return Ok(()),
        };
        Err(Error::Data(format!(
            "{}: no picture is left for {part}: the share {test_ratio} of each class, in whole pictures, is for testing; add pictures, or \
             {how} test-ratio",
            plan.path.display()
        )))
    }

    /// What the user should know of the split: how the test images were chosen, and classes without training or test images.
    pub fn notes(&self, plan: &Plan, test_ratio: f64) -> Vec<String> {
        let name = &plan.name;
        let mut notes = Vec::new();
        if !plan.split && plan.trains {
            notes.push(format!(
                "{name}: there is no test split, so the share {test_ratio} (test-ratio) of the training images is for testing"
            ));
        }
        let trained = &self.train[..self.train.len() - self.validation];
        for (part, pictures) in [("training", trained), ("test", &self.test[..])] {
            notes.extend(without_images(name, &self.classes, part, pictures.iter().map(|(_, label)| *label)));
        }
        notes
    }

    /// Training and test images at `size` (height, width), and the files that hold further pictures, which are not used. Images are kept
    /// in the folder `cache` and taken from there while the pictures are the same.
    ///
    /// # Errors
    /// [`Error::Data`] naming a picture that cannot be read.
    pub fn load(&self, size: (u32, u32), cache: Option<&Path>) -> Result<(ImageSet, ImageSet, Vec<PathBuf>)> {
        let all: Vec<&(PathBuf, u8)> = self.train.iter().chain(&self.test).collect();
        let (key, several) = look_through(&all, size);
        let kept = cache.map(|folder| folder.join(format!("{key:016x}.safetensors")));
        let bytes = all.len() * size.0 as usize * size.1 as usize * 3;
        let pixels = match kept.as_ref().and_then(|file| read_kept(file, bytes)) {
            Some(pixels) => pixels,
            None => {
                let mut pixels = Vec::with_capacity(bytes);
                for (path, _) in &all {
                    pixels.extend(read_picture(path, |bytes| load_image(bytes, size.0, size.1))?);
                }
                // Where they cannot be kept, they are decoded again the next time.
                if let Some(error) = kept.as_ref().and_then(|file| keep(file, &pixels).err()) {
                    log::warn!("resized pictures are not kept: {error}");
                }
                pixels
            }
        };
        let (train, test) = pixels.split_at(bytes / all.len().max(1) * self.train.len());
        let set = |pixels: &[u8], pictures: &[(PathBuf, u8)]| ImageSet {
            height: size.0,
            width: size.1,
            pixels: pixels.to_vec(),
            labels: pictures.iter().map(|(_, label)| *label).collect(),
        };
        Ok((set(train, &self.train), set(test, &self.test), several))
    }
}

/// Which classes none of these labels has, in words; `None` where each has one, or there are no labels at all.
pub(super) fn without_images(name: &str, classes: &[String], part: &str, labels: impl Iterator<Item = u8>) -> Option<String> {
    let there: BTreeSet<usize> = labels.map(usize::from).collect();
    let names: Vec<&String> = classes.iter().enumerate().filter(|(label, _)| !there.contains(label)).map(|(_, name)| name).collect();
    if there.is_empty() || names.is_empty() {
        return None;
    }
    let cased = |name: &&String| classes.iter().any(|c| c != *name && c.to_lowercase() == name.to_lowercase());
    let hint = if names.iter().any(cased) { ": names that differ in letter case are different classes" } else { "" };
    let (class, has) = if names.len() == 1 { ("class", "has") } else { ("classes", "have") };
    Some(format!("{name}: {class} {} {has} no {part} images{hint}", few(&names)))
}

/// What `decode` makes of the bytes of a picture's file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; `decode`'s, with the file's name.
pub(crate) fn read_picture(path: &Path, decode: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|source| Error::Io { action: "cannot read the picture", path: path.to_owned(), source })?;
    decode(&bytes).map_err(|e| match e {
        Error::Data(what) => Error::Data(format!("{}: {what}", path.display())),
        other => other,
    })
}

/// A note of the files of a domain that hold further pictures, by their paths in `dir`.
pub(super) fn several_pictures(name: &str, dir: &Path, files: &[PathBuf]) -> Option<String> {
    let shown: Vec<String> = files.iter().map(|path| path.strip_prefix(dir).unwrap_or(path).display().to_string()).collect();
    let (s, hold) = if files.len() == 1 { ("", "holds") } else { ("s", "hold") };
    (!files.is_empty()).then(|| {
        format!("{name}: {} file{s} {hold} several pictures ({}): only the first picture of each file is used", files.len(), few(&shown))
    })
}

/// What the resized pictures depend on: the files' contents in their order, since others may have the same names and times, and the size
/// wanted. And the files that hold more than one picture.
fn look_through(pictures: &[&(PathBuf, u8)], size: (u32, u32)) -> (u64, Vec<PathBuf>) {
    let (mut hasher, mut several) = (DefaultHasher::new(), Vec::new());
    (env!("CARGO_PKG_VERSION"), READER, size).hash(&mut hasher);
    for (path, _) in pictures {
        // What cannot be read has no pixels that could be kept.
        let bytes = fs::read(path).ok();
        if bytes.as_deref().is_some_and(has_more_pictures) {
            several.push(path.clone());
        }
        bytes.hash(&mut hasher);
    }
    (hasher.finish(), several)
}

const TENSOR: &str = "pixels";

fn read_kept(file: &Path, bytes: usize) -> Option<Vec<u8>> {
    let content = fs::read(file).ok()?;
    let tensors = SafeTensors::deserialize(&content).ok()?;
    let pixels = tensors.tensor(TENSOR).ok()?;
    (pixels.dtype() == Dtype::U8 && pixels.data().len() == bytes).then(|| pixels.data().to_vec())
}

fn keep(file: &Path, pixels: &[u8]) -> Result<()> {
    let unwritable = |e: &dyn std::fmt::Display| Error::Data(format!("{}: {e}", file.display()));
    let view = TensorView::new(Dtype::U8, vec![pixels.len()], pixels).map_err(|e| unwritable(&e))?;
    let bytes = safetensors::serialize([(TENSOR, view)], None).map_err(|e| unwritable(&e))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| unwritable(&e))?;
    // Never a half file in place.
    let mut part = tempfile::NamedTempFile::new_in(folder).map_err(|e| unwritable(&e))?;
    std::io::Write::write_all(&mut part, &bytes).map_err(|e| unwritable(&e))?;
    part.persist(file).map_err(|e| unwritable(&e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Layout, layout};
    use super::super::tree::Folder;
    use super::*;
    use image::{Rgb, RgbImage};

    /// The only domain in `dir`.
    fn find(dir: &Path, test_ratio: f64) -> Folders {
        let Layout { plans, left, .. } = layout(&Folder::scan(dir).unwrap()).unwrap();
        assert_eq!((plans.len(), left.len()), (1, 0));
        Folders::new(&plans[0], test_ratio).unwrap()
    }

    fn put(dir: &Path, path: &str, shade: u8) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(4, 3, Rgb([shade, 0, 0])).save(path).unwrap();
    }

    #[test]
    fn a_folder_without_a_split_is_split_by_class_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..10 {
            put(dir.path(), &format!("cat/{i}.png"), i);
            put(dir.path(), &format!("dog/{i}.jpg"), 100 + i);
        }
        fs::write(dir.path().join("cat/notes.txt"), "no picture").unwrap();
        let found = find(dir.path(), 0.2);
        assert_eq!(found.classes, ["cat", "dog"]);
        let (train, test, _) = found.load((3, 4), None).unwrap();
        assert_eq!((train.class_counts(2), test.class_counts(2)), (vec![8, 8], vec![2, 2]));
        let (again, ..) = find(dir.path(), 0.2).load((3, 4), None).unwrap();
        assert_eq!(train, again);
        // A third class changes nothing of the others.
        put(dir.path(), "ape/0.png", 7);
        let three = find(dir.path(), 0.2);
        let cats = |f: &Folders, label: u8| f.test.iter().filter(|(_, l)| *l == label).map(|(p, _)| p.clone()).collect::<Vec<_>>();
        assert_eq!(cats(&three, 1), cats(&found, 0));
        // The same names are drawn as ever: results on these pictures stay comparable.
        let drawn: Vec<_> = found.test.iter().map(|(p, _)| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(drawn, ["5.png", "3.png", "0.jpg", "5.jpg"]);
    }

    #[test]
    fn a_given_split_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/b/9.png"] {
            put(dir.path(), path, 9);
        }
        let (train, test, _) = find(dir.path(), 0.5).load((3, 4), None).unwrap();
        assert_eq!((train.labels, test.labels), (vec![0, 0, 1], vec![1]));
    }

    #[test]
    fn resized_pictures_are_kept_until_a_picture_changes() {
        let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(dir.path(), "a/1.png", 10);
        put(dir.path(), "a/2.png", 20);
        let load = || find(dir.path(), 0.5).load((2, 2), Some(cache.path())).unwrap();
        let first = load();
        let kept: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(load(), first);
        // A damaged file is made anew.
        fs::write(&kept[0], b"half").unwrap();
        assert_eq!(load(), first);
        assert!(fs::metadata(&kept[0]).unwrap().len() > 24);
        RgbImage::from_pixel(40, 30, Rgb([77, 0, 0])).save(dir.path().join("a/1.png")).unwrap();
        let second = load();
        assert_ne!(second, first);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_broken_picture_is_named() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a/1.png", 10);
        fs::write(dir.path().join("a/2.jpeg"), b"GIF89a").unwrap();
        let told = find(dir.path(), 0.0).load((2, 2), None).unwrap_err().to_string();
        assert!(
            told.ends_with(
                "a/2.jpeg: not a readable PNG, JPEG, WebP or BMP picture: it is a GIF picture, which is not read; convert it to PNG"
            ),
            "{told}"
        );
    }
}
