//! The files of one domain: which known set of files a folder holds, its classes and its images.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::cifar;
use super::idx::Set;
use super::libsvm;
use super::mat;
use super::npz::Store;
use super::read::{self, RawSet, TextFormat};
use super::tree::entries;
use super::{digit_names, unread};
use crate::{Error, Result};

/// The files of one domain.
pub(super) enum Source {
    /// MNIST's format.
    Idx(Set),
    /// Training, then test rows.
    Text(TextFormat, [PathBuf; 2]),
    /// USPS from LIBSVM's page: training, then test rows.
    Libsvm([PathBuf; 2]),
    /// SVHN's cropped digits: training and test images, and further training images, which are left out.
    Svhn([PathBuf; 2], Option<PathBuf>),
    Numpy(Store),
    Cifar(cifar::Files),
}

/// A domain as it is stored.
#[derive(Debug)]
pub(super) struct Arrays {
    pub train: RawSet,
    pub test: RawSet,
    /// How many images at the end of `train` are a validation split.
    pub validation: usize,
    /// What is unusual about it, in words.
    pub notes: Vec<String>,
}

impl Source {
    /// The set of files in the folder of one domain, or in one of the folders that programs make in it, if there is a known one.
    ///
    /// # Errors
    /// [`Error::Io`] where a folder cannot be read; [`Error::Data`] if only a part of a set is there, or several are.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let domain = name_of(dir);
        if let Some(source) = Self::among(dir, &domain, &files_of(dir)?)? {
            return Ok(Some(source));
        }
        // torchvision's raw/ and MNIST/raw/, EMNIST's gzip/, and what the archives of CIFAR unpack to.
        let torchvision = ["mnist", "fashionmnist", "kmnist", "qmnist", "emnist"];
        let mut found = Vec::new();
        for folder in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
            let own = name_of(&folder);
            let (place, named) = match own.to_ascii_lowercase().as_str() {
                "raw" | "gzip" => (folder, &domain),
                name if cifar::Version::folder_of(name).is_some() => (folder, &own),
                name if torchvision.contains(&name) && folder.join("raw").is_dir() => (folder.join("raw"), &own),
                _ => continue,
            };
            found.extend(Self::among(&place, named, &files_of(&place)?)?);
        }
        // Several are domains of their own, one level further down.
        if found.len() < 2
            && let Some(source) = found.pop()
        {
            return Ok(Some(source));
        }
        let files = files_of(dir)?;
        let archives: Vec<&(String, PathBuf)> = files.iter().filter(|(name, _)| name.ends_with(".npz")).collect();
        if !archives.is_empty() {
            let names: Vec<&str> = archives.iter().map(|(name, _)| name.trim_end_matches(".npz")).collect();
            let chosen = pick(dir, &domain, &names, ".npz files").map_err(|error| match error {
                Error::Data(what) => Error::Data(format!("{what}; where they are parts of one set, save all its arrays in one file")),
                other => other,
            })?;
            let path = archives.iter().zip(&names).find(|(_, name)| **name == chosen).map(|((_, path), _)| path.clone());
            return Ok(path.map(|path| Source::Numpy(Store::Archive(path))));
        }
        Ok(Store::files_of(dir, &files).map(Source::Numpy))
    }

    /// The set among these files of a folder, named in lower case; NumPy's files apart.
    fn among(dir: &Path, domain: &str, files: &[(String, PathBuf)]) -> Result<Option<Self>> {
        if let Some(set) = Set::of(dir, domain, files)? {
            return Ok(Some(Source::Idx(set)));
        }
        for (format, names) in [(TextFormat::Usps, ["zip.train", "zip.test"]), (TextFormat::Optdigits, ["optdigits.tra", "optdigits.tes"])]
        {
            if let Some(files) = quorum(dir, files, names, ".gz")? {
                return Ok(Some(Source::Text(format, files)));
            }
        }
        if let Some(files) = quorum(dir, files, ["usps", "usps.t"], ".bz2")? {
            return Ok(Some(Source::Libsvm(files)));
        }
        if let Some(pair) = quorum(dir, files, ["train_32x32.mat", "test_32x32.mat"], "")? {
            let extra = files.iter().find(|(name, _)| name == "extra_32x32.mat").map(|(_, path)| path.clone());
            return Ok(Some(Source::Svhn(pair, extra)));
        }
        if let Some(set) = cifar::Files::of(dir, files)? {
            return Ok(Some(Source::Cifar(set)));
        }
        let archives: Vec<&(String, PathBuf)> = files.iter().filter(|(name, _)| cifar::Files::is_archive(name)).collect();
        if archives.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = archives.iter().map(|(name, _)| name.as_str()).collect();
        let chosen = pick(dir, domain, &names, "archives")?;
        Ok(archives.iter().find(|(name, _)| name == chosen).map(|(_, path)| Source::Cifar(cifar::Files::Archive(path.clone()))))
    }

    /// The files that are used.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Source::Idx(set) => set.files(),
            Source::Text(_, files) | Source::Libsvm(files) => files.to_vec(),
            // The third is left out with a note of its own.
            Source::Svhn(files, extra) => files.iter().chain(extra).cloned().collect(),
            Source::Numpy(store) => store.files(),
            Source::Cifar(set) => set.files(),
        }
    }

    /// Names of the classes; where the set has none, the numbers from 0 to its largest label.
    ///
    /// # Errors
    /// [`Error::Data`] naming a damaged file; [`Error::Io`].
    pub fn classes(&self) -> Result<Vec<String>> {
        let numbers = |largest: u8| (0..=largest).map(|class| class.to_string()).collect();
        Ok(match self {
            Source::Idx(set) => match set.class_names() {
                Some(names) => names,
                None => numbers(set.largest_label()?),
            },
            Source::Text(..) | Source::Libsvm(_) | Source::Svhn(..) => digit_names(),
            Source::Numpy(store) => numbers(store.largest_label()?),
            Source::Cifar(set) => set.classes()?,
        })
    }

    /// All images and labels, with notes of those of `classes` that have none.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and what is wrong in it; [`Error::Io`].
    pub fn read(&self, classes: &[String]) -> Result<Arrays> {
        let both = |[train, test]: &[PathBuf; 2], split: &dyn Fn(&str, &[u8]) -> Result<RawSet>| {
            let split = |path: &PathBuf| split(&path.display().to_string(), &load(path)?);
            Ok::<_, Error>(Arrays { train: split(train)?, test: split(test)?, validation: 0, notes: Vec::new() })
        };
        let mut arrays = match self {
            Source::Idx(set) => set.read()?,
            Source::Text(format, files) => {
                let classes = digit_names().len();
                both(files, &|name, bytes| read::text(name, &read::unpack(name, bytes)?, *format, classes))?
            }
            Source::Libsvm(files) => both(files, &libsvm::usps)?,
            Source::Svhn(files, extra) => {
                let mut arrays = both(files, &mat::svhn)?;
                arrays
                    .notes
                    .extend(extra.iter().map(|path| format!("{} is left out: train_32x32.mat alone is for training", path.display())));
                arrays
            }
            Source::Numpy(store) => store.read()?,
            Source::Cifar(set) => set.read()?,
        };
        arrays.notes.extend(missing_classes(classes, &arrays));
        Ok(arrays)
    }
}

/// A note of the classes without an image, without one for training and without one for testing.
fn missing_classes(classes: &[String], arrays: &Arrays) -> Option<String> {
    let has = |set: &RawSet| {
        let mut has = [false; 256];
        set.labels.iter().for_each(|&label| has[usize::from(label)] = true);
        has
    };
    let (train, test) = (has(&arrays.train), has(&arrays.test));
    let listed = |what: &str, lacks: &dyn Fn(usize) -> bool| {
        let names: Vec<&str> = (0..classes.len()).filter(|&class| lacks(class)).map(|class| classes[class].as_str()).collect();
        let few = if names.len() > 8 { format!("{}, … ({})", names[..7].join(", "), names.len()) } else { names.join(", ") };
        let (noun, verb) = if names.len() == 1 { ("class", "has") } else { ("classes", "have") };
        (!names.is_empty()).then(|| format!("{noun} {few} {verb} no {what}"))
    };
    let parts = [
        listed("image", &|class| !train[class] && !test[class]),
        listed("training image", &|class| !train[class] && test[class]),
        listed("test image", &|class| train[class] && !test[class]),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The classes of two domains together, if they have the same: names must be equal, in any order; where classes are only numbers, the
/// longer row holds.
pub(super) fn merged(one: &[String], other: &[String]) -> Option<Vec<String>> {
    let set = |classes: &[String]| Some(classes.iter().cloned().collect::<BTreeSet<_>>()).filter(|set| set.len() == classes.len());
    if set(one).is_some() && set(one) == set(other) {
        return Some(one.to_vec());
    }
    let numbers = |classes: &[String]| classes.iter().enumerate().all(|(i, class)| *class == i.to_string());
    let longer = if one.len() < other.len() { other } else { one };
    (one == other || (numbers(one) && numbers(other))).then(|| longer.to_vec())
}

/// The one of `found` that the name of the domain's folder names, or the only one.
///
/// # Errors
/// [`Error::Data`] naming them, if there are several and none or more than one is named.
pub(super) fn pick<'a>(dir: &Path, domain: &str, found: &[&'a str], what: &str) -> Result<&'a str> {
    if let [one] = found {
        return Ok(one);
    }
    let letters = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let domain = letters(domain);
    // emnist-letters is named by emnist_letters, by Letters, an archive also by its beginning.
    let named = |name: &&&str| letters(name) == domain;
    let tail = |name: &&&str| name.rsplit_once('-').is_some_and(|(_, tail)| letters(tail) == domain);
    let starts = |name: &&&str| !domain.is_empty() && letters(name).starts_with(&domain);
    let only = |fits: &dyn Fn(&&&'a str) -> bool| {
        let mut fitting = found.iter().filter(|name| fits(name));
        fitting.next().filter(|_| fitting.next().is_none()).copied()
    };
    only(&named).or_else(|| only(&tail)).or_else(|| only(&starts)).ok_or_else(|| {
        Error::Data(format!(
            "{}: it holds {} {what}: {}; put one of them into a folder of its own, or name the folder after the one that is wanted, for \
             example {} (a link to this folder is enough)",
            dir.display(),
            found.len(),
            found.join(", "),
            found.first().unwrap_or(&"")
        ))
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The files of a folder by their names in lower case; hidden ones are passed over. A folder that holds a file of its own name, as some
/// programs unpack a file, counts as that file, and a copy that a browser numbered as the file itself, if it is the only one.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read.
pub(super) fn files_of(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let visible = entries(dir)?.into_iter().filter(|path| !name_of(path).starts_with('.'));
    let mut files: Vec<(String, PathBuf)> = visible
        .filter_map(|path| {
            let name = name_of(&path);
            let path = if path.is_dir() { path.join(&name) } else { path };
            path.is_file().then(|| (name.to_ascii_lowercase(), path))
        })
        .collect();
    let mut same: BTreeMap<String, usize> = BTreeMap::new();
    files.iter().for_each(|(name, _)| *same.entry(unnumbered(name)).or_default() += 1);
    for (name, _) in &mut files {
        let plain = unnumbered(name);
        if same[&plain] == 1 {
            *name = plain;
        }
    }
    Ok(files)
}

/// A file's name without the number that browsers give to further copies: `data(1).gz`, `data (2).gz`, `data.gz (1)`.
fn unnumbered(name: &str) -> String {
    let numbered = |(at, _): (usize, &str)| {
        let (digits, rest) = name[at + 1..].split_once(')')?;
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        (at > 0 && is_number && (rest.is_empty() || rest.starts_with('.'))).then(|| format!("{}{rest}", name[..at].trim_end()))
    };
    name.match_indices('(').find_map(numbered).unwrap_or_else(|| name.to_owned())
}

/// The content of a data file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Data`] where it is empty, a git-lfs pointer, a web page or a server's error message.
pub(super) fn load(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|source| Error::Io { action: "cannot read", path: path.to_owned(), source })?;
    let file = path.display().to_string();
    if bytes.is_empty() {
        return Err(read::bad(&file, "the file is empty: fetch or save it again"));
    }
    unread::check(&file, &bytes)?;
    Ok(bytes)
}

/// The files of these names, each plain or with `packed` behind it (plain first); `None` if there is none of them.
///
/// # Errors
/// [`Error::Data`] if only some are there.
fn quorum<const N: usize>(dir: &Path, files: &[(String, PathBuf)], names: [&str; N], packed: &str) -> Result<Option<[PathBuf; N]>> {
    let found = names.map(|name| {
        let is = |wanted: String| files.iter().find(|(own, _)| *own == wanted).map(|(_, path)| path.clone());
        is(name.to_owned()).or_else(|| is(format!("{name}{packed}")))
    });
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let missing: Vec<_> = names.iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let or = if packed.is_empty() { String::new() } else { format!(" (or {packed})") };
        return Err(Error::Data(format!("{}: {}{or} missing beside its companions; put it there", dir.display(), missing.join(", "))));
    }
    Ok(Some(found.map(Option::unwrap_or_default)))
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, LoadOptions, load_directory};
    use super::*;
    use std::io::Write;

    fn put(dir: &Path, name: &str, content: &[u8]) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(dir: &Path) -> Result<Dataset> {
        load_directory(dir, &[], &LoadOptions::new((8, 8)))
    }

    /// An IDX set with one grey image of 2×2 per label.
    fn put_idx(dir: &Path, train: &[u8], test: &[u8]) {
        for (half, labels) in [("train", train), ("t10k", test)] {
            let count = labels.len() as u32;
            let images = [[0x0803, count, 2, 2].map(u32::to_be_bytes).concat(), vec![99; 4 * labels.len()]].concat();
            put(dir, &format!("{half}-images-idx3-ubyte"), &images);
            put(dir, &format!("{half}-labels-idx1-ubyte"), &[[0x0801, count].map(u32::to_be_bytes).concat(), labels.to_vec()].concat());
        }
    }

    #[test]
    fn classes_without_an_image_are_named() {
        let dir = tempfile::tempdir().unwrap();
        put_idx(&dir.path().join("nine"), &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let set = read(dir.path()).unwrap();
        assert_eq!((set.classes.len(), &set.notes[..]), (10, &["nine: class 0 has no image".to_owned()][..]));
        put_idx(&dir.path().join("nine"), &[0, 2, 5], &[0, 1]);
        let notes = read(dir.path()).unwrap().notes;
        assert_eq!(notes, ["nine: classes 3, 4 have no image; class 1 has no training image; classes 2, 5 have no test image"]);
        put_idx(&dir.path().join("nine"), &[0, 40], &[0, 40]);
        assert_eq!(read(dir.path()).unwrap().notes, ["nine: classes 1, 2, 3, 4, 5, 6, 7, … (39) have no image"]);
    }

    #[test]
    fn copies_that_browsers_number_are_taken_where_they_are_alone() {
        for (name, plain) in [
            ("train-images-idx3-ubyte(1).gz", "train-images-idx3-ubyte.gz"),
            ("train-images-idx3-ubyte (2).gz", "train-images-idx3-ubyte.gz"),
            ("cifar-10-python.tar (1).gz", "cifar-10-python.tar.gz"),
            ("zip.train (1)", "zip.train"),
            ("data(a).npz", "data(a).npz"),
            ("mnist(2017) digits.npz", "mnist(2017) digits.npz"),
            ("mnist(2017).npz", "mnist(2017).npz"),
            ("(1).npz", "(1).npz"),
        ] {
            assert_eq!(unnumbered(name), plain);
        }
        let dir = tempfile::tempdir().unwrap();
        put_idx(dir.path(), &[0, 1], &[0, 1]);
        let at = |name: &str| dir.path().join(name);
        fs::rename(at("train-images-idx3-ubyte"), at("train-images-idx3-ubyte (1)")).unwrap();
        fs::rename(at("t10k-labels-idx1-ubyte"), at("t10k-labels-idx1-ubyte(1)")).unwrap();
        assert_eq!(read(dir.path()).unwrap().notes, [""; 0]);
        // Beside the file itself it is one more file, and is noted as such.
        fs::copy(at("train-images-idx3-ubyte (1)"), at("train-images-idx3-ubyte")).unwrap();
        let notes = read(dir.path()).unwrap().notes;
        assert!(notes.len() == 1 && notes[0].contains("1 beside the files that are read (train-images-idx3-ubyte (1))"), "{notes:?}");
        // Of two copies, none is the file.
        fs::rename(at("train-images-idx3-ubyte"), at("train-images-idx3-ubyte (2)")).unwrap();
        let message = read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("train-images-idx3-ubyte (or .gz) missing beside its companions; put it there (found "), "{message}");
    }

    #[test]
    fn domains_with_numbers_for_classes_have_as_many_as_the_largest() {
        let dir = tempfile::tempdir().unwrap();
        put_idx(&dir.path().join("a"), &[0, 1, 2], &[0, 1, 2]);
        put_idx(&dir.path().join("b"), &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
        assert_eq!(read(dir.path()).unwrap().classes, ["0", "1", "2", "3", "4"]);
        put_idx(&dir.path().join("fashion-mnist"), &[0, 1], &[0, 1]);
        let told = read(dir.path()).unwrap_err().to_string();
        assert!(told.contains("those of fashion-mnist are T-shirt/top, Trouser, Pullover, … (10)"), "{told}");
    }

    #[test]
    fn what_torchvision_and_archives_unpack_is_found() {
        let dir = tempfile::tempdir().unwrap();
        put_idx(&dir.path().join("MNIST/raw"), &[0, 1], &[0, 1]);
        assert_eq!(read(dir.path()).unwrap().domains[0].name, "MNIST");
        put_idx(&dir.path().join("deep/FashionMNIST/raw"), &[0, 1], &[0, 1]);
        let set = load_directory(dir.path(), &["deep".into()], &LoadOptions::new((8, 8))).unwrap();
        assert_eq!(set.classes[9], "Ankle boot");
    }

    #[test]
    fn svhn_and_usps_as_they_are_published() {
        let dir = tempfile::tempdir().unwrap();
        let mat = include_bytes!("golden/svhn_packed.mat");
        put(dir.path(), "svhn/train_32x32.mat", mat);
        let told = read(dir.path()).unwrap_err().to_string();
        assert!(told.contains("svhn: test_32x32.mat missing beside its companions"), "{told}");
        put(dir.path(), "svhn/TEST_32x32.mat", mat);
        put(dir.path(), "svhn/extra_32x32.mat", b"");
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packer.write_all(b"10 1:1\n1 256:1\n").unwrap();
        let packed = packer.finish().unwrap();
        put(dir.path(), "usps/usps.bz2", &packed);
        put(dir.path(), "usps/usps.t.bz2", &packed);
        put(dir.path(), "other/usps.h5", b"\x89HDF\r\n\x1a\n");
        let set = read(dir.path()).unwrap();
        let labels: Vec<_> = set.domains.iter().map(|d| (d.name.as_str(), d.train.labels.clone(), d.test.labels.clone())).collect();
        assert_eq!(labels, [("svhn", vec![0, 4], vec![0, 4]), ("usps", vec![9, 0], vec![9, 0])]);
        assert_eq!(set.classes.len(), 10);
        let notes = set.notes.join("\n");
        assert!(notes.contains("extra_32x32.mat is left out: train_32x32.mat alone is for training"), "{notes}");
        assert!(notes.contains("usps.h5 is an HDF5 file, which is not read: load it in Python"), "{notes}");
    }

    #[test]
    fn pointers_and_pages_are_named_in_every_format() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        for files in [
            &["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"][..],
            &["zip.train", "zip.test"],
            &["usps", "usps.t"],
            &["optdigits.tra", "optdigits.tes"],
            &["train_32x32.mat", "test_32x32.mat"],
            &["a.npz"],
            &["x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"],
            &["data_batch_1.bin", "test_batch.bin"],
            &["train.bin", "test.bin"],
            &["data_batch_1", "test_batch"],
            &["cifar-10-binary.tar.gz"],
        ] {
            let dir = tempfile::tempdir().unwrap();
            files.iter().for_each(|name| put(dir.path(), &format!("set/{name}"), pointer));
            let told = read(dir.path()).unwrap_err().to_string();
            assert!(told.contains("this is a git-lfs pointer, not the file itself: run git lfs pull"), "{files:?}: {told}");
        }
    }

    #[test]
    fn capital_letters_and_names_choose() {
        let dir = tempfile::tempdir().unwrap();
        let npz = |shade: u8| {
            let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            for (name, shape, data) in [("images", "(2, 1, 1)", vec![shade; 2]), ("labels", "(2, 1)", vec![0, 1])] {
                for half in ["train", "test"] {
                    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
                    writer.start_file(format!("{half}_{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
                    let start = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &data].concat();
                    writer.write_all(&start).unwrap();
                }
            }
            writer.finish().unwrap().into_inner()
        };
        put(dir.path(), "pathmnist/PATHMNIST.NPZ", &npz(50));
        assert_eq!(read(dir.path()).unwrap().domains[0].train.pixels[0], 50);
        put(dir.path(), "pathmnist/pathmnist_64.npz", &npz(60));
        put(dir.path(), "pathmnist/README.md", b"");
        let set = read(dir.path()).unwrap();
        assert_eq!(set.domains[0].train.pixels[0], 50);
        let note = set.notes.join("\n");
        assert!(note.contains("README.md") && note.contains("pathmnist_64.npz"), "{note}");
        fs::rename(dir.path().join("pathmnist"), dir.path().join("med")).unwrap();
        let told = read(dir.path()).unwrap_err().to_string();
        assert!(told.contains("med: it holds 2 .npz files: pathmnist, pathmnist_64; put one of them into a folder of its own"), "{told}");
    }
}
