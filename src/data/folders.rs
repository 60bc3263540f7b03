//! Pictures in a folder a class, resized once and kept.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{GENERATOR_SEED, ImageSet, load_image};
use crate::{Error, Result};

/// Most classes: a label is a byte.
const MAX_CLASSES: usize = 256;

/// The pictures of one domain: `class/picture`, or `train/class/picture` and `test/class/picture`.
pub(super) struct Folders {
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    train: Vec<(PathBuf, u8)>,
    test: Vec<(PathBuf, u8)>,
}

impl Folders {
    /// These pictures, with their labels.
    pub fn of(classes: Vec<String>, train: Vec<(PathBuf, u8)>, test: Vec<(PathBuf, u8)>) -> Folders {
        Folders { classes, train, test }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.train.len() + self.test.len()
    }

    /// The pictures in the sub-folders of `dir`, if there are any. Where the folder has no split, the share `test_ratio` of each class
    /// is for testing, the same pictures every time.
    ///
    /// # Errors
    /// [`Error::Io`] where a folder cannot be read; [`Error::Data`] for more than 256 classes.
    pub fn find(dir: &Path, test_ratio: f64) -> Result<Option<Folders>> {
        let parts = [dir.join("train"), dir.join("test")];
        let split = parts.iter().all(|p| p.is_dir());
        let found = if split { [pictures(&parts[0])?, pictures(&parts[1])?] } else { [pictures(dir)?, Vec::new()] };
        let classes: Vec<String> = found.iter().flatten().map(|(class, _)| class.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        if classes.is_empty() {
            return Ok(None);
        }
        if classes.len() > MAX_CLASSES {
            return Err(Error::Data(format!("{}: {} class folders; there can be {MAX_CLASSES}", dir.display(), classes.len())));
        }
        let label = |class: &String| classes.binary_search(class).unwrap_or(0) as u8;
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for class in &classes {
            let of_class = |all: &[(String, PathBuf)]| -> Vec<(PathBuf, u8)> {
                all.iter().filter(|(c, _)| c == class).map(|(_, path)| (path.clone(), label(class))).collect()
            };
            let mut own = of_class(&found[0]);
            if split {
                test.extend(of_class(&found[1]));
            } else {
                // Keyed by the class alone, so that more classes or another domain change no other split.
                let mut key = [0u8; 32];
                class.bytes().enumerate().for_each(|(i, b)| key[i % 24] = key[i % 24].wrapping_mul(31).wrapping_add(b));
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
        Ok(Some(Folders { classes, train, test }))
    }

    /// Training and test images at `size` (height, width). They are kept in the folder `cache` and taken from there while the
    /// pictures are the same.
    ///
    /// # Errors
    /// [`Error::Io`] where a picture cannot be read, [`Error::Data`] naming one that is no PNG or JPEG.
    pub fn load(&self, size: (u32, u32), cache: Option<&Path>) -> Result<(ImageSet, ImageSet)> {
        let all: Vec<&(PathBuf, u8)> = self.train.iter().chain(&self.test).collect();
        let kept = cache.map(|folder| folder.join(format!("{:016x}.safetensors", key(&all, size))));
        let bytes = all.len() * size.0 as usize * size.1 as usize * 3;
        let pixels = match kept.as_ref().and_then(|file| read_kept(file, bytes)) {
            Some(pixels) => pixels,
            None => {
                let mut pixels = Vec::with_capacity(bytes);
                for (path, _) in &all {
                    let file =
                        fs::read(path).map_err(|source| Error::Io { action: "cannot read the picture", path: path.clone(), source })?;
                    let picture = load_image(&file, size.0, size.1);
                    pixels.extend(picture.map_err(|e| Error::Data(format!("{}: {e}", path.display())))?);
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
        Ok((set(train, &self.train), set(test, &self.test)))
    }
}

/// Class and path of every picture in the sub-folders of `dir`, sorted.
fn pictures(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for class in super::directory::entries(dir)?.into_iter().filter(|p| p.is_dir()) {
        let Some(name) = class.file_name().and_then(|n| n.to_str()) else { continue };
        let is_picture = |path: &PathBuf| {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            ["png", "jpg", "jpeg"].contains(&extension.as_str()) && path.is_file()
        };
        found.extend(super::directory::entries(&class)?.into_iter().filter(is_picture).map(|path| (name.to_owned(), path)));
    }
    Ok(found)
}

/// What the resized pictures depend on: the files with their sizes and times, and the size wanted.
fn key(pictures: &[&(PathBuf, u8)], size: (u32, u32)) -> u64 {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), size).hash(&mut hasher);
    for (path, _) in pictures {
        let data = fs::metadata(path).ok();
        (path, data.as_ref().map(fs::Metadata::len), data.and_then(|d| d.modified().ok())).hash(&mut hasher);
    }
    hasher.finish()
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
    use super::*;
    use image::{Rgb, RgbImage};

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
        let found = Folders::find(dir.path(), 0.2).unwrap().unwrap();
        assert_eq!(found.classes, ["cat", "dog"]);
        let (train, test) = found.load((3, 4), None).unwrap();
        assert_eq!((train.class_counts(2), test.class_counts(2)), (vec![8, 8], vec![2, 2]));
        let (again, _) = Folders::find(dir.path(), 0.2).unwrap().unwrap().load((3, 4), None).unwrap();
        assert_eq!(train, again);
        // A third class changes nothing of the others.
        put(dir.path(), "ape/0.png", 7);
        let three = Folders::find(dir.path(), 0.2).unwrap().unwrap();
        let cats = |f: &Folders, label: u8| f.test.iter().filter(|(_, l)| *l == label).map(|(p, _)| p.clone()).collect::<Vec<_>>();
        assert_eq!(cats(&three, 1), cats(&found, 0));
        assert!(Folders::find(&dir.path().join("cat"), 0.2).unwrap().is_none());
    }

    #[test]
    fn a_given_split_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/b/9.png"] {
            put(dir.path(), path, 9);
        }
        let (train, test) = Folders::find(dir.path(), 0.5).unwrap().unwrap().load((3, 4), None).unwrap();
        assert_eq!((train.labels, test.labels), (vec![0, 0, 1], vec![1]));
    }

    #[test]
    fn resized_pictures_are_kept_until_a_picture_changes() {
        let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(dir.path(), "a/1.png", 10);
        put(dir.path(), "a/2.png", 20);
        let load = || Folders::find(dir.path(), 0.5).unwrap().unwrap().load((2, 2), Some(cache.path())).unwrap();
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
        let told = Folders::find(dir.path(), 0.0).unwrap().unwrap().load((2, 2), None).unwrap_err().to_string();
        assert!(told.contains("2.jpeg") && told.contains("PNG or JPEG"), "{told}");
    }
}
