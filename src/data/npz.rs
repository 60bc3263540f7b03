//! Arrays of NumPy: `.npz` archives, the form in which data sets are most easily taken over from Python, and `.npy` files side by side.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::array::{Array, Pixels};
use super::read::{self, RawSet, bad, broken, pair};
use super::source::{Arrays, load};
use super::unread;
use crate::{Error, Result};

/// Where the arrays are.
pub(super) enum Store {
    /// One `.npz` archive.
    Archive(PathBuf),
    /// `.npy` files with their names in lower case, without the extension.
    Files(PathBuf, Vec<(String, PathBuf)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Split {
    Train,
    Validation,
    Test,
}

/// The split of an array, and whether it holds images (or else labels), by its name: MedMNIST's and ours (`train_images`), Keras's
/// (`x_train`), and what people write like them.
fn role(name: &str) -> Option<(Split, bool)> {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let split = |word: &str| match word {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "dev" => Some(Split::Validation),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    };
    let part = |word: &str| match word {
        "images" | "image" | "imgs" | "data" | "x" => Some(true),
        "labels" | "label" | "targets" | "y" => Some(false),
        _ => None,
    };
    let either = |a: &str, b: &str| split(a).zip(part(b)).or_else(|| split(b).zip(part(a)));
    match name.split_once('_') {
        Some((a, b)) => either(a, b),
        // xtrain, trainx.
        None => [1, name.len().saturating_sub(1)].into_iter().find_map(|at| name.split_at_checked(at).and_then(|(a, b)| either(a, b))),
    }
}

const WANTED: &str = "train_images, train_labels, test_images and test_labels, or x_train, y_train, x_test and y_test; val_images and \
                      val_labels if there is a validation split";

impl Store {
    /// The data set among the `.npy` files of a folder (its files with their names in lower case), if there is one.
    pub fn files_of(dir: &Path, files: &[(String, PathBuf)]) -> Option<Self> {
        let arrays: Vec<(String, PathBuf)> =
            files.iter().filter_map(|(name, path)| Some((name.strip_suffix(".npy")?.to_owned(), path.clone()))).collect();
        arrays.iter().any(|(name, _)| role(name).is_some()).then(|| Store::Files(dir.to_owned(), arrays))
    }

    /// The files that are used.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Store::Archive(path) => vec![path.clone()],
            Store::Files(_, files) => files.iter().filter(|(name, _)| role(name).is_some()).map(|(_, path)| path.clone()).collect(),
        }
    }

    /// All images and labels.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and the array.
    pub fn read(&self) -> Result<Arrays> {
        match self {
            Store::Archive(path) => {
                let (name, mut archive, most) = open(path)?;
                let mut zipped = Zipped { file: &name, archive: &mut archive, most };
                let mut arrays = parse(&name, &mut zipped)?;
                let mut unused: Vec<String> = zipped.names().into_iter().filter(|name| role(name).is_none()).collect();
                unused.sort_unstable();
                if !unused.is_empty() {
                    let (s, is) = if unused.len() == 1 { ("", "is") } else { ("s", "are") };
                    arrays.notes.push(format!("{} array{s} of {name} {is} not used: {}", unused.len(), list(&unused)));
                }
                Ok(arrays)
            }
            Store::Files(dir, files) => parse(&dir.display().to_string(), &mut Beside(files)),
        }
    }

    /// The largest label of all splits; their images are not read.
    ///
    /// # Errors
    /// As [`read`](Self::read), of the labels.
    pub fn largest_label(&self) -> Result<u8> {
        match self {
            Store::Archive(path) => {
                let (name, mut archive, most) = open(path)?;
                largest_label(&name, &mut Zipped { file: &name, archive: &mut archive, most })
            }
            Store::Files(dir, files) => largest_label(&dir.display().to_string(), &mut Beside(files)),
        }
    }
}

type OpenArchive = (String, ZipArchive<BufReader<File>>, u64);

/// An archive with its name, and the most bytes that an array of it may unpack to: 64 times its size, but at least 1 and at most 8 GiB.
/// Images seldom shrink to less than a tenth, so no real file reaches that, and a small hostile one cannot fill the memory.
fn open(path: &Path) -> Result<OpenArchive> {
    let name = path.display().to_string();
    let fail = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(fail)?;
    let mut start = Vec::new();
    (&mut file).take(unread::START).read_to_end(&mut start).map_err(fail)?;
    unread::check(&name, &start)?;
    file.rewind().map_err(fail)?;
    let most = file.metadata().map_err(fail)?.len().saturating_mul(64).clamp(1 << 30, 8 << 30);
    let archive = ZipArchive::new(BufReader::new(file)).map_err(|_| {
        let what = match start[..] {
            [] => "the file is empty",
            [b'P', b'K', ..] => "not a readable npz (zip) archive: it is cut short or damaged",
            _ => "not an npz (zip) archive",
        };
        bad(&name, format_args!("{what}; fetch or save it again"))
    })?;
    Ok((name, archive, most))
}

/// Named arrays.
trait Named {
    /// The names of all of them.
    fn names(&self) -> Vec<String>;
    /// The `.npy` file of that name.
    fn get(&mut self, name: &str) -> Result<Vec<u8>>;
    /// How messages call an array.
    fn called(&self, name: &str) -> String;
}

struct Zipped<'a, R> {
    file: &'a str,
    archive: &'a mut ZipArchive<R>,
    most: u64,
}

impl<R: Read + Seek> Named for Zipped<'_, R> {
    fn names(&self) -> Vec<String> {
        self.archive.file_names().filter_map(|n| Some(n.ok()?.trim_end_matches(".npy").to_owned())).collect()
    }

    fn get(&mut self, name: &str) -> Result<Vec<u8>> {
        let called = self.called(name);
        let member = [format!("{name}.npy"), name.to_owned()].iter().find_map(|n| self.archive.index_for_name(n));
        let entry = self.archive.by_index(member.unwrap_or(usize::MAX));
        let entry = read::member(&called, entry, "save the file again with numpy.savez")?;
        let mut content = Vec::new();
        let read = entry.take(self.most + 1).read_to_end(&mut content);
        read.map_err(|e| broken(&called, "zip", content.len(), &e))?;
        if content.len() as u64 > self.most {
            return Err(bad(&called, format_args!("it unpacks to more than {} GiB; use fewer or smaller images", self.most >> 30)));
        }
        Ok(content)
    }

    fn called(&self, name: &str) -> String {
        format!("{}, array {name}", self.file)
    }
}

struct Beside<'a>(&'a [(String, PathBuf)]);

impl Named for Beside<'_> {
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    fn get(&mut self, name: &str) -> Result<Vec<u8>> {
        self.0.iter().find(|(n, _)| n == name).map_or(Ok(Vec::new()), |(_, path)| load(path))
    }

    fn called(&self, name: &str) -> String {
        self.0.iter().find(|(n, _)| n == name).map_or(name.to_owned(), |(_, path)| path.display().to_string())
    }
}

/// The first twelve names.
fn list(names: &[String]) -> String {
    let more = if names.len() > 12 { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(12)].join(", "))
}

/// The names of images and labels of the three splits; none for validation where there is none.
fn find(file: &str, arrays: &dyn Named) -> Result<[Option<(String, String)>; 3]> {
    let mut names = arrays.names();
    names.sort_unstable();
    let found = if names.is_empty() { "none".to_owned() } else { list(&names) };
    let one = |split: Split, images: bool, word: &str| {
        let mut fits = names.iter().filter(|name| role(name) == Some((split, images)));
        match (fits.next(), fits.next()) {
            (Some(first), Some(second)) => {
                Err(bad(file, format_args!("arrays {first} and {second} are both the {word}; keep one of them")))
            }
            (name, _) => Ok(name.cloned()),
        }
    };
    let mut splits = [const { None }; 3];
    for (place, (split, word)) in splits.iter_mut().zip([(Split::Train, "train"), (Split::Validation, "val"), (Split::Test, "test")]) {
        *place = match (one(split, true, &format!("{word} images"))?, one(split, false, &format!("{word} labels"))?) {
            (Some(images), Some(labels)) => Some((images, labels)),
            (None, None) if split == Split::Validation => None,
            (images, labels) => {
                let missing = [(images, "images"), (labels, "labels")].into_iter().filter(|(name, _)| name.is_none());
                let missing: Vec<String> = missing.map(|(_, what)| format!("{word}_{what}")).collect();
                let verb = if missing.len() == 1 { "array {} is missing" } else { "arrays {} are missing" };
                return Err(bad(file, format_args!("{} (found: {found}); save {WANTED}", verb.replace("{}", &missing.join(" and ")))));
            }
        };
    }
    Ok(splits)
}

fn largest_label(file: &str, arrays: &mut dyn Named) -> Result<u8> {
    let mut largest = 0;
    for (_, labels) in find(file, arrays)?.into_iter().flatten() {
        let called = arrays.called(&labels);
        let all = npy(&called, &arrays.get(&labels)?)?.labels(&called)?;
        largest = all.into_iter().max().unwrap_or(0).max(largest);
    }
    Ok(largest)
}

/// The splits of these arrays; those of validation are appended to those of training.
fn parse(file: &str, arrays: &mut dyn Named) -> Result<Arrays> {
    let [Some(train), validation, Some(test)] = find(file, arrays)? else {
        return Err(bad(file, format_args!("arrays are missing; save {WANTED}")));
    };
    let mut notes: Vec<String> = Vec::new();
    // The first array of numbers from 0 to 1, and the first of bytes: one scale holds for all.
    let mut scales: [Option<String>; 2] = [const { None }; 2];
    let mut read = |(images, labels): (String, String)| -> Result<RawSet> {
        let (images_file, labels_file) = (arrays.called(&images), arrays.called(&labels));
        let Pixels { images, note, from_unit } = npy(&images_file, &arrays.get(&images)?)?.images(&images_file)?;
        notes.extend(note.map(str::to_owned).filter(|note| !notes.contains(note)));
        // Black images fit either scale.
        if images.pixels.iter().any(|&p| p > 0) {
            scales[usize::from(from_unit)].get_or_insert(images_file.clone());
        }
        let labels = npy(&labels_file, &arrays.get(&labels)?)?.labels(&labels_file)?;
        pair(&images_file, images, &labels_file, labels)
    };
    let mut train = read(train)?;
    let validation = validation.map(&mut read).transpose()?;
    let test = read(test)?;
    if let [Some(bytes), Some(unit)] = &scales {
        return Err(bad(unit, format_args!("its pixels go from 0 to 1, but those of {bytes} to 255; save all of them as uint8")));
    }
    let kept = validation.as_ref().map_or(0, |v| v.labels.len());
    if let Some(validation) = validation {
        train.append(file, validation)?;
    }
    Ok(Arrays { train, test, validation: kept, notes })
}

/// Reads an `.npy` file: `\x93NUMPY`, version, header length, and a Python dictionary such as
/// `{'descr': '|u1', 'fortran_order': False, 'shape': (3000, 28, 28, 3), }`.
///
/// This is hand-made because the crates for it multiply the shape unchecked and parse the dictionary with unbounded
/// recursion, and so crash on hostile files; only the flat dictionaries that NumPy writes for plain arrays are taken.
pub(super) fn npy<'a>(file: &str, bytes: &'a [u8]) -> Result<Array<'a>> {
    let broken = |at: usize, what: &str| bad(file, format_args!("byte {at}: {what}; save it as a plain array with numpy.savez"));
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(broken(0, "not a NumPy array, whose first bytes are \\x93NUMPY"));
    }
    let (start, len) = match bytes[6..] {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [0..=3, ..] | [] => return Err(broken(bytes.len(), "the array ends inside its header")),
        [version, ..] => return Err(broken(6, &format!("unknown format version {version}"))),
    };
    let Some((header, data)) = bytes[start..].split_at_checked(len) else {
        return Err(broken(bytes.len(), "the array ends inside its header"));
    };
    let header = std::str::from_utf8(header).map_err(|e| broken(start + e.valid_up_to(), "the header is not text"))?;
    // The text after `'key':`, without leading spaces.
    let value = |key: &str| -> Option<&'a str> {
        let at = header.find(&format!("'{key}'"))? + key.len() + 2;
        Some(header[at..].trim_start().strip_prefix(':')?.trim_start())
    };
    let missing = |key: &str| broken(start, &format!("the header has no readable {key}"));

    let descr = value("descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next()).ok_or_else(|| missing("descr"))?;
    let order = value("fortran_order").ok_or_else(|| missing("fortran_order"))?;
    let fortran = if order.starts_with("True") {
        true
    } else if order.starts_with("False") {
        false
    } else {
        return Err(missing("fortran_order"));
    };
    let shape: Option<Vec<usize>> = value("shape")
        .and_then(|v| v.strip_prefix('(')?.split_once(')'))
        .and_then(|(v, _)| v.split(',').map(str::trim).filter(|v| !v.is_empty()).map(|v| v.parse().ok()).collect());
    let shape = shape.ok_or_else(|| missing("shape"))?;

    Array::new(descr, shape, fortran, data).map_err(|what| broken(start + len, &what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn npy_file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    fn npz_file(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in arrays {
            writer.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Arrays> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("the-file.npz");
        std::fs::write(&path, bytes).unwrap();
        let store = Store::Archive(path);
        // The class count is known without the images.
        if let Ok(arrays) = store.read() {
            let labels = arrays.train.labels.iter().chain(&arrays.test.labels);
            assert_eq!(store.largest_label().unwrap(), *labels.max().unwrap());
        }
        store.read()
    }

    fn good_npz() -> Vec<(&'static str, Vec<u8>)> {
        let labels: Vec<u8> = [7_i64, 0, 9].iter().flat_map(|l| l.to_le_bytes()).collect();
        vec![
            ("train_images", npy_file("|u1", "(3, 2, 2, 3)", &[5; 36])),
            ("train_labels", npy_file("<i8", "(3,)", &labels)),
            ("test_images", npy_file("|u1", "(1, 2, 2, 3)", &[6; 12])),
            ("test_labels", npy_file("|u1", "(1,)", &[4])),
        ]
    }

    fn told(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    fn told_with(name: &str, array: Vec<u8>) -> String {
        let mut arrays = good_npz();
        arrays.iter_mut().find(|(n, _)| *n == name).unwrap().1 = array;
        told(&npz_file(&arrays))
    }

    #[track_caller]
    fn assert_says(message: &str, parts: &[&str]) {
        assert!(message.contains("the-file.npz"), "no file name: {message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }

    #[test]
    fn npz_files_are_read() {
        let Arrays { train, test, validation, notes } = read(&npz_file(&good_npz())).unwrap();
        assert_eq!((train.labels, test.labels), (vec![7, 0, 9], vec![4]));
        assert_eq!((train.images.channels, train.images.len(), test.images.pixels[0]), (3, 3, 6));
        assert_eq!((validation, notes), (0, vec![]));
    }

    #[test]
    fn names_of_all_kinds() {
        for (name, wanted) in [
            ("train_images", (Split::Train, true)),
            ("val_labels", (Split::Validation, false)),
            ("x_train", (Split::Train, true)),
            ("X_test", (Split::Test, true)),
            ("y_valid", (Split::Validation, false)),
            ("x_dev", (Split::Validation, true)),
            ("xtrain", (Split::Train, true)),
            ("testY", (Split::Test, false)),
            ("train_x", (Split::Train, true)),
            ("test-targets", (Split::Test, false)),
        ] {
            assert_eq!(role(name), Some(wanted), "{name}");
        }
        for name in ["", "x", "arr_0", "train", "images", "é", "xé", "train_images_2"] {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn arrays_without_a_part_are_named() {
        let notes = |more: &[&str]| {
            let more: Vec<_> = more.iter().map(|&name| (name, npy_file("|u1", "(1,)", &[1]))).collect();
            let notes = read(&npz_file(&[good_npz(), more].concat())).unwrap().notes;
            let without_folder = |note: &String| {
                let (count, rest) = note.split_once(" of ").unwrap();
                format!("{count} of {}", &rest[rest.find("the-file").unwrap()..])
            };
            notes.iter().map(without_folder).collect::<Vec<_>>()
        };
        assert_eq!(notes(&["label_names"]), ["1 array of the-file.npz is not used: label_names"]);
        assert_eq!(
            notes(&["x_unlabeled", "label_names", "x_extra", "y_extra"]),
            ["4 arrays of the-file.npz are not used: label_names, x_extra, x_unlabeled, y_extra"]
        );
    }

    #[test]
    fn medmnist_with_its_validation_split() {
        let labels = |labels: &[u8]| npy_file("|u1", &format!("({}, 1)", labels.len()), labels);
        let images = |shades: &[u8]| npy_file("|u1", &format!("({}, 1, 2)", shades.len() / 2), shades);
        let file = npz_file(&[
            ("train_images", images(&[10, 11, 20, 21])),
            ("val_images", images(&[30, 31])),
            ("test_images", images(&[40, 41])),
            ("train_labels", labels(&[1, 0])),
            ("val_labels", labels(&[10])),
            ("test_labels", labels(&[2])),
        ]);
        let read = read(&file).unwrap();
        assert_eq!((read.train.labels, read.validation, read.test.labels), (vec![1, 0, 10], 1, vec![2]));
        assert_eq!(read.train.images.pixels, [10, 11, 20, 21, 30, 31]);
        // ChestMNIST has 14 findings an image.
        let many = npz_file(&[
            ("train_images", images(&[10, 11, 20, 21])),
            ("test_images", images(&[40, 41])),
            ("train_labels", npy_file("|u1", "(2, 14)", &[[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1; 14]].concat())),
            ("test_labels", labels(&[2])),
        ]);
        assert_says(&told(&many), &["array train_labels", "row 0 marks 2 of 14 classes: these are multi-label data"]);
    }

    #[test]
    fn keras_names_and_files_side_by_side() {
        let arrays = [
            ("x_train", npy_file("<f4", "(2, 1, 1)", &[0_f32, 1.0].map(f32::to_le_bytes).concat())),
            ("Y_train", npy_file("<f4", "(2, 2)", &[0_f32, 1.0, 1.0, 0.0].map(f32::to_le_bytes).concat())),
            ("x_test", npy_file("<f4", "(1, 1, 1)", &(51_f32 / 255.0).to_le_bytes())),
            ("y_test", npy_file("<i4", "(1,)", &[1, 0, 0, 0])),
        ];
        let one = read(&npz_file(&arrays)).unwrap();
        assert_eq!((&one.train.images.pixels[..], &one.test.images.pixels[..]), (&[0, 255][..], &[51][..]));
        assert_eq!((&one.train.labels[..], &one.test.labels[..]), (&[1, 0][..], &[1][..]));
        assert_eq!(one.notes, ["numbers from 0 to 1 are taken as 255ths"]);
        let dir = tempfile::tempdir().unwrap();
        arrays.iter().for_each(|(name, content)| std::fs::write(dir.path().join(format!("{name}.npy")), content).unwrap());
        let beside = Store::files_of(dir.path(), &super::super::source::files_of(dir.path()).unwrap()).unwrap();
        assert_eq!((beside.files().len(), beside.largest_label().unwrap()), (4, 1));
        let other = beside.read().unwrap();
        assert_eq!((other.train, other.test), (one.train, one.test));
        std::fs::remove_file(dir.path().join("y_test.npy")).unwrap();
        let beside = Store::files_of(dir.path(), &super::super::source::files_of(dir.path()).unwrap()).unwrap();
        let told = beside.read().unwrap_err().to_string();
        assert!(told.contains("array test_labels is missing (found: x_test, x_train, y_train); save train_images"), "{told}");
    }

    #[test]
    fn damaged_npz_files_are_told_with_the_array() {
        assert_says(&told(b"PK no zip"), &["not a readable npz (zip) archive: it is cut short or damaged; fetch or save it again"]);
        assert_says(&told(b"no zip"), &["the-file.npz: not an npz (zip) archive; fetch or save it again"]);
        assert_says(&told(b""), &["the-file.npz: the file is empty; fetch or save it again"]);
        assert_says(&told(b"version https://git-lfs.github.com/spec/v1"), &["this is a git-lfs pointer"]);
        assert_says(
            &told(&npz_file(&good_npz()[..3])),
            &["array test_labels is missing (found: test_images, train_images, train_labels); save train_images", "or x_train"],
        );
        assert_says(&told(&npz_file(&[("arr_0", vec![])])), &["arrays train_images and train_labels are missing (found: arr_0)"]);
        let mut twice = good_npz();
        twice.push(("x_train", twice[0].1.clone()));
        assert_says(&told(&npz_file(&twice)), &["arrays train_images and x_train are both the train images; keep one"]);
        let floats = npy_file("<f4", "(3, 1, 1)", &[0x3f; 12]);
        assert_says(&told_with("train_images", floats), &["train_images", "is no 255th"]);
        assert_says(&told_with("test_labels", npy_file("<f4", "(1,)", &[0x3f; 4])), &["test_labels", "is no whole number"]);
        assert_says(&told_with("train_images", npy_file("|u1", "(9, 9, 9)", &[0; 36])), &["36 bytes", "[9, 9, 9]"]);
        let overflow = format!("({0}, {0}, {0})", u64::MAX);
        assert_says(&told_with("train_images", npy_file("|u1", &overflow, &[0; 36])), &["do not fit"]);
        assert_says(&told_with("train_images", npy_file("|u1", "(2, 2, 3)", &[0; 12])), &["2 images", "3 labels"]);
        assert_says(&told_with("test_labels", npy_file("|i1", "(1,)", &[0xff])), &["row 0", "label -1", "0 to 255"]);
        assert_says(&told_with("train_images", b"\x93NUMPY\x01\x00\xff\xff{}".to_vec()), &["inside its header"]);
        assert_says(&told_with("train_images", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec()), &["inside its header"]);
        assert_says(&told_with("train_images", npy_file("|O", "(3,)", &[0; 24])), &["its elements are Python objects"]);
        let unit = npy_file("<f4", "(1, 2, 2, 3)", &[1_f32; 12].map(f32::to_le_bytes).concat());
        assert_says(&told_with("test_images", unit), &["array test_images: its pixels go from 0 to 1, but those of", "to 255"]);
    }

    #[test]
    fn an_encrypted_member_is_named_as_such() {
        let mut bytes = npz_file(&good_npz());
        // The first bit of the flags, in front of each member and in the list of all.
        for (head, at) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
            let starts: Vec<usize> = (0..bytes.len() - 4).filter(|i| bytes[*i..].starts_with(head)).collect();
            starts.iter().for_each(|start| bytes[start + at] |= 1);
        }
        assert_says(&told(&bytes), &["it is encrypted with a password; save the archive without one"]);
        let mut packed = npz_file(&good_npz());
        for (head, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
            let starts: Vec<usize> = (0..packed.len() - 4).filter(|i| packed[*i..].starts_with(head)).collect();
            starts.iter().for_each(|start| packed[start + at] = 14);
        }
        assert_says(&told(&packed), &["it is compressed in a way that is not read; save the archive with deflate"]);
    }

    #[test]
    fn fortran_order_is_put_right() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 3), }\n";
        let file = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &[1, 4, 2, 5, 3, 6]].concat();
        assert_eq!(npy("f", &file).unwrap().images("f").unwrap().images.pixels, [1, 2, 3, 4, 5, 6]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0usize..3) {
            let bytes = [[&b""[..], b"\x93NUMPY\x01\0", b"PK\x03\x04"][magic], &bytes].concat();
            let _ = read(&bytes);
            let _ = npy("f", &bytes).and_then(|array| array.images("f"));
            let _ = npy("f", &bytes).and_then(|array| array.labels("f"));
        }

        #[test]
        fn damaged_files_never_panic(cut: prop::sample::Index, at: prop::sample::Index, value: u8, archive: bool) {
            let file = if archive { npz_file(&good_npz()) } else { good_npz()[1].1.clone() };
            let read = |bytes: &[u8]| match archive {
                true => read(bytes).is_ok(),
                false => npy("f", bytes).and_then(|array| array.labels("f")).is_ok(),
            };
            prop_assert!(read(&file));
            let cut = cut.index(file.len());
            prop_assert!(!read(&file[..cut]), "a file cut to {} bytes was taken", cut);
            let mut changed = file;
            let at = at.index(changed.len());
            changed[at] = value;
            read(&changed);
        }

        #[test]
        fn hostile_npy_headers_never_panic(header in "[{}'()a-z:, 0-9<>|]{0,80}") {
            let text = header.as_bytes();
            let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text].concat();
            let _ = npy("f", &bytes).and_then(|array| array.images("f"));
            let _ = npy("f", &bytes).and_then(|array| array.labels("f"));
        }
    }
}
