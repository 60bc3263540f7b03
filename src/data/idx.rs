//! Sets in MNIST's format, under all the names that people have them: MNIST, Fashion-MNIST, KMNIST, QMNIST and the six splits of EMNIST.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::array::Array;
use super::read::{self, RawImages, RawSet, bad};
use super::source::{Arrays, load, pick};
use super::tree::few;
use super::{digit_names, unread};
use crate::{Error, Result};

/// Where one of the four files is.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    /// A member of a `.zip` archive.
    Member(PathBuf, String),
}

impl Place {
    fn name(&self) -> String {
        match self {
            Place::File(path) => path.display().to_string(),
            Place::Member(path, member) => format!("{}, {member}", path.display()),
        }
    }

    /// The unpacked content.
    fn read(&self) -> Result<Vec<u8>> {
        let name = self.name();
        let content = match self {
            Place::File(path) => load(path)?,
            Place::Member(path, member) => {
                let mut archive = zip(path)?;
                let entry = read::member(&name, archive.by_name(member), "the archive is damaged: fetch it again")?;
                let mut content = Vec::new();
                entry.take(read::MAX_UNPACKED + 1).read_to_end(&mut content).map_err(|e| read::broken(&name, "zip", content.len(), &e))?;
                read::check_unpacked(&name, content.len())?;
                content
            }
        };
        let plain = match read::unpack(&name, &content)? {
            std::borrow::Cow::Owned(plain) => Some(plain),
            std::borrow::Cow::Borrowed(_) => None,
        };
        Ok(plain.unwrap_or(content))
    }
}

fn zip(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|source| Error::Io { action: "cannot read", path: path.to_owned(), source })?;
    let damaged = |_| bad(&path.display().to_string(), "not a readable zip archive: it is empty, cut short or damaged; fetch it again");
    ZipArchive::new(BufReader::new(file)).map_err(damaged)
}

/// The four files of a set, and which set it is.
#[derive(Debug)]
pub(super) struct Set {
    kind: Kind,
    /// Whether the folder's name alone says that it is EMNIST's.
    by_folder: bool,
    /// Images and labels for training, then for testing.
    files: [Place; 4],
}

/// What is known of a set by its names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// As in MNIST: classes are the labels.
    Plain,
    Fashion,
    Kuzushiji,
    /// EMNIST: columns are stored one after the other, not rows.
    Emnist(Emnist),
    /// QMNIST: the label is the first of eight numbers.
    Qmnist,
}

/// A split of EMNIST, by Cohen et al., 2017; classes by the mapping files that are published with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Emnist {
    ByClass,
    /// Also `balanced`: small letters that look like their capitals are merged with them.
    ByMerge,
    /// Letters alone, large and small merged; stored from 1.
    Letters,
    /// Also `mnist`.
    Digits,
}

impl Kind {
    /// By the names of the files, in front of `train`, and that of the folder.
    fn of(prefix: &str, folder: &str) -> Self {
        let letters = |name: &str| name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
        let (own, above) = (letters(prefix), letters(folder));
        // Of renamed files, the folder's name says that they are EMNIST's.
        let renamed = || above.strip_prefix("emnist").map(|split| if own.is_empty() { split } else { &own });
        match own.rsplit_once("emnist").map(|(_, split)| split).or_else(renamed) {
            Some("byclass") => Kind::Emnist(Emnist::ByClass),
            Some("bymerge" | "balanced") => Kind::Emnist(Emnist::ByMerge),
            Some("letters") => Kind::Emnist(Emnist::Letters),
            Some("digits" | "mnist") => Kind::Emnist(Emnist::Digits),
            _ if prefix == "qmnist" => Kind::Qmnist,
            _ => match (own.as_str(), above.as_str()) {
                ("fashionmnist" | "fashion", _) | ("", "fashionmnist") => Kind::Fashion,
                ("kmnist", _) | ("", "kmnist" | "kuzushijimnist") => Kind::Kuzushiji,
                _ => Kind::Plain,
            },
        }
    }

    /// Names of the classes, where they are known.
    fn classes(self) -> Option<Vec<String>> {
        let named = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        let characters = |tail: &str| {
            let all = ('0'..='9').chain('A'..='Z').chain(tail.chars());
            Some(all.map(String::from).collect())
        };
        match self {
            Kind::Plain | Kind::Qmnist => None,
            Kind::Fashion => {
                named(&["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"])
            }
            Kind::Kuzushiji => named(&["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]),
            Kind::Emnist(Emnist::ByClass) => characters("abcdefghijklmnopqrstuvwxyz"),
            Kind::Emnist(Emnist::ByMerge) => characters("abdefghnqrt"),
            Kind::Emnist(Emnist::Letters) => Some(('A'..='Z').map(String::from).collect()),
            Kind::Emnist(Emnist::Digits) => Some(digit_names()),
        }
    }
}

/// The set that a file belongs to (what stands before `train`, `t10k` or `test` in its name), and which of the four files it is, by its
/// name in lower case: `train-images-idx3-ubyte`, `train-images.idx3-ubyte.gz`, `emnist-letters-test-labels-idx1-ubyte`.
fn role(name: &str) -> Option<(String, usize)> {
    let name = name.strip_suffix(".gz").unwrap_or(name).replace(['.', '_'], "-");
    let (front, (part, back)) = ["images", "labels"].iter().enumerate().find_map(|(part, word)| {
        let at = name.rfind(&format!("-{word}-idx"))?;
        Some((&name[..at], (part, &name[at + word.len() + 5..])))
    })?;
    let element = back.trim_start_matches(|c: char| c.is_ascii_digit());
    if !["", "-ubyte", "-byte", "-short", "-int", "-float", "-double"].contains(&element) {
        return None;
    }
    let (prefix, half) = front.rsplit_once('-').unwrap_or(("", front));
    let half = match half {
        "train" => 0,
        "t10k" | "test" => 1,
        _ => return None,
    };
    Some((prefix.to_owned(), 2 * half + part))
}

/// The published name of one of the four files.
fn published(prefix: &str, which: usize) -> String {
    let half = match (which / 2, prefix) {
        (0, _) => "train",
        (_, "") => "t10k",
        _ => "test",
    };
    let dash = if prefix.is_empty() { "" } else { "-" };
    let tail = match which % 2 {
        0 => "images-idx3-ubyte",
        _ if prefix == "qmnist" => "labels-idx2-int",
        _ => "labels-idx1-ubyte",
    };
    format!("{prefix}{dash}{half}-{tail}")
}

impl Set {
    /// The set among the files of a folder (in lower case, with their paths), or in a `.zip` archive among them, if there is one. Of
    /// several, the name of the domain's folder says which is wanted.
    ///
    /// # Errors
    /// [`Error::Data`] if only a part of a set is there, or several are and none is named.
    pub fn of(dir: &Path, domain: &str, files_here: &[(String, PathBuf)]) -> Result<Option<Self>> {
        let plain = files_here.iter().map(|(name, path)| (name.clone(), Place::File(path.clone())));
        let mut places: Vec<(String, Place)> = plain.filter(|(name, _)| role(name).is_some()).collect();
        if places.is_empty() {
            for (_, path) in files_here.iter().filter(|(name, _)| name.ends_with(".zip")) {
                // What is no archive is named as such with the other files that are not read.
                let Ok(archive) = zip(path) else { continue };
                places.extend(archive.file_names().filter_map(|member| {
                    let member = member.ok()?;
                    let name = member.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
                    let hidden = name.starts_with('.') || member.starts_with("__MACOSX");
                    (!hidden && role(&name).is_some()).then(|| (name, Place::Member(path.clone(), member.into_owned())))
                }));
            }
        }
        // Unpacked files come before gzipped ones, whose names are longer.
        places.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sets: BTreeMap<String, [Option<Place>; 4]> = BTreeMap::new();
        for (name, place) in places {
            if let Some((prefix, which)) = role(&name) {
                sets.entry(prefix).or_default()[which].get_or_insert(place);
            }
        }
        let whole: Vec<&String> = sets.iter().filter(|(_, files)| files.iter().all(Option::is_some)).map(|(prefix, _)| prefix).collect();
        if whole.is_empty() {
            let Some((prefix, files)) = sets.iter().max_by_key(|(_, files)| files.iter().flatten().count()) else { return Ok(None) };
            let missing: Vec<String> = (0..4).filter(|&i| files[i].is_none()).map(|i| published(prefix, i)).collect();
            let held: Vec<&str> = files_here.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::Data(format!(
                "{}: {} (or .gz) missing beside its companions; put it there (found {})",
                dir.display(),
                missing.join(", "),
                few(&held)
            )));
        }
        let chosen = pick(dir, domain, &whole.iter().map(|w| w.as_str()).collect::<Vec<_>>(), "sets in MNIST's format")?.to_owned();
        let files = sets.remove(&chosen).and_then(|files| {
            let [a, b, c, d] = files;
            Some([a?, b?, c?, d?])
        });
        let kind = Kind::of(&chosen, domain);
        let by_folder = matches!(kind, Kind::Emnist(_)) && !chosen.contains("emnist");
        Ok(files.map(|files| Set { kind, by_folder, files }))
    }

    /// The files that are used.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .map(|place| match place {
                Place::File(path) | Place::Member(path, _) => path.clone(),
            })
            .collect()
    }

    /// Names of the classes, where they are known.
    pub fn class_names(&self) -> Option<Vec<String>> {
        self.kind.classes()
    }

    /// The largest label of both splits.
    ///
    /// # Errors
    /// As [`read`](Self::read), of the labels.
    pub fn largest_label(&self) -> Result<u8> {
        let largest = |place: &Place| Ok::<_, Error>(self.labels(place)?.into_iter().max().unwrap_or(0));
        Ok(largest(&self.files[1])?.max(largest(&self.files[3])?))
    }

    fn labels(&self, place: &Place) -> Result<Vec<u8>> {
        let (name, bytes) = (place.name(), place.read()?);
        unread::check(&name, &bytes)?;
        let mut labels = match self.kind {
            Kind::Qmnist => qmnist_labels(&name, &bytes)?,
            _ => read::idx_labels(&name, &bytes)?,
        };
        let Some(classes) = self.kind.classes() else { return Ok(labels) };
        // EMNIST's letters are numbered from 1.
        let first = u8::from(self.kind == Kind::Emnist(Emnist::Letters));
        for (i, label) in labels.iter_mut().enumerate() {
            match label.checked_sub(first) {
                Some(class) if usize::from(class) < classes.len() => *label = class,
                _ => {
                    let last = classes.len() - 1 + usize::from(first);
                    return Err(bad(&name, format_args!("byte {}: label {label} of image {i} is not among {first} to {last}", 8 + i)));
                }
            }
        }
        Ok(labels)
    }

    /// All images and labels.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and byte.
    pub fn read(&self) -> Result<Arrays> {
        let split = |images: &Place, labels: &Place| -> Result<RawSet> {
            let (name, bytes) = (images.name(), images.read()?);
            unread::check(&name, &bytes)?;
            let mut stored = read::idx_images(&name, &bytes)?;
            if matches!(self.kind, Kind::Emnist(_)) {
                stored = transposed(stored);
            }
            read::pair(&name, stored, &labels.name(), self.labels(labels)?)
        };
        let [train_images, train_labels, test_images, test_labels] = &self.files;
        let (train, test) = (split(train_images, train_labels)?, split(test_images, test_labels)?);
        // Of files that do not say so themselves.
        let told = self
            .by_folder
            .then(|| "taken for EMNIST by its folder's name, so rows and columns are exchanged; rename the folder if it is not".into());
        Ok(Arrays { train, test, validation: 0, notes: told.into_iter().collect() })
    }
}

/// Grey images with rows and columns exchanged.
fn transposed(images: RawImages) -> RawImages {
    let RawImages { height, width, .. } = images;
    let turn = |image: &[u8]| -> Vec<u8> { (0..height * width).map(|i| image[i % height * width + i / height]).collect() };
    let pixels = images.pixels.chunks_exact(height * width).flat_map(turn).collect();
    RawImages { height: width, width: height, channels: 1, pixels }
}

/// QMNIST's labels: magic `0x00000c02`, count, 8, then big-endian words, of which the first of eight is the class.
fn qmnist_labels(file: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let word = |i: usize| bytes.get(4 * i..4 * i + 4).and_then(|w| w.first_chunk().copied()).map(u32::from_be_bytes);
    let (Some(0x0c02), Some(count), Some(columns @ 1..)) = (word(0), word(1), word(2)) else {
        return Err(bad(file, "byte 0: not QMNIST's labels, which start with the magic number 0x00000c02; fetch it again"));
    };
    let array = Array::new(">i4", vec![count as usize, columns as usize], false, &bytes[12..]);
    array.map_err(|what| bad(file, format_args!("byte 4: {what}; fetch it again")))?.first_column(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn images(count: u32, height: u32, width: u32) -> Vec<u8> {
        let header = [0x0803, count, height, width].map(u32::to_be_bytes).concat();
        [header, (0..count * height * width).map(|p| p as u8).collect()].concat()
    }

    fn labels(labels: &[u8]) -> Vec<u8> {
        [[0x0801, labels.len() as u32].map(u32::to_be_bytes).concat(), labels.to_vec()].concat()
    }

    /// Puts the four files of a set, with two images of 2×3 pixels in each split, under these names.
    fn put(dir: &Path, names: [&str; 4], train: &[u8], test: &[u8]) {
        let contents = [images(2, 2, 3), labels(train), images(2, 2, 3), labels(test)];
        names.iter().zip(contents).for_each(|(name, content)| std::fs::write(dir.join(name), content).unwrap());
    }

    fn find(dir: &Path, domain: &str) -> Result<Option<Set>> {
        Set::of(dir, domain, &super::super::source::files_of(dir)?)
    }

    fn emnist(split: &str) -> [String; 4] {
        [0, 1, 2, 3].map(|i| published(&format!("emnist-{split}"), i))
    }

    #[test]
    fn names_of_all_kinds() {
        for (name, prefix, which) in [
            ("train-images-idx3-ubyte", "", 0),
            ("train-images.idx3-ubyte", "", 0),
            ("t10k-labels.idx1-ubyte.gz", "", 3),
            ("test-images-idx3-ubyte", "", 2),
            ("emnist-letters-test-labels-idx1-ubyte.gz", "emnist-letters", 3),
            ("qmnist-train-labels-idx2-int.gz", "qmnist", 1),
        ] {
            assert_eq!(role(name), Some((prefix.to_owned(), which)), "{name}");
        }
        for name in
            ["train-images-idx3-ubyte.gz.part", "train-images-idx3-ubyte (1)", "xnist-images-idx3-ubyte.xz", "train-images", "zip.train"]
        {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn a_part_of_a_set_is_answered_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("train-images-idx3-ubyte.gz.part"), b"").unwrap();
        for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let said = find(dir.path(), "any").unwrap_err().to_string();
        let wanted = "train-images-idx3-ubyte (or .gz) missing beside its companions; put it there (found t10k-images-idx3-ubyte, \
                      t10k-labels-idx1-ubyte, train-images-idx3-ubyte.gz.part and 1 more)";
        assert!(said.ends_with(wanted), "{said}");
    }

    #[test]
    fn dotted_and_upper_case_names_and_any_number_of_classes() {
        for names in [
            ["train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"],
            ["TRAIN-IMAGES-IDX3-UBYTE", "TRAIN-LABELS-IDX1-UBYTE", "TEST-IMAGES-IDX3-UBYTE", "TEST-LABELS-IDX1-UBYTE"],
        ] {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), names, &[1, 200], &[255, 3]);
            let set = find(dir.path(), "any").unwrap().unwrap();
            assert_eq!((set.class_names(), set.largest_label().unwrap(), set.files().len()), (None, 255, 4));
            let read = set.read().unwrap();
            assert_eq!((read.train.labels, read.test.labels), (vec![1, 200], vec![255, 3]));
            assert_eq!(read.train.images.pixels[..6], [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn emnist_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        for (split, train, shown, count, first, last) in [
            ("byclass", [0, 61], [0, 61], 62, "0", "z"),
            ("bymerge", [0, 46], [0, 46], 47, "0", "t"),
            ("balanced", [36, 37], [36, 37], 47, "0", "t"),
            ("letters", [1, 26], [0, 25], 26, "A", "Z"),
            ("digits", [0, 9], [0, 9], 10, "0", "9"),
            ("mnist", [0, 9], [0, 9], 10, "0", "9"),
        ] {
            let names = emnist(split);
            put(dir.path(), [0, 1, 2, 3].map(|i| names[i].as_str()), &train, &train);
            let set = find(dir.path(), &format!("emnist-{split}")).unwrap().unwrap();
            let classes = set.class_names().unwrap();
            assert_eq!((classes.len(), classes[0].as_str(), classes[count - 1].as_str()), (count, first, last), "{split}");
            let read = set.read().unwrap();
            assert_eq!(read.train.labels, shown, "{split}");
            // Stored column by column: 2 rows of 3 are 3 rows of 2.
            assert_eq!((read.train.images.height, read.train.images.width), (3, 2));
            assert_eq!(read.train.images.pixels[..6], [0, 3, 1, 4, 2, 5]);
        }
        assert_eq!(Kind::Emnist(Emnist::ByMerge).classes().unwrap()[36..].concat(), "abdefghnqrt");
        // Of several splits, the folder's name chooses.
        let told = find(dir.path(), "EMNIST").unwrap_err().to_string();
        assert!(told.contains("6 sets in MNIST's format: emnist-balanced, emnist-byclass, emnist-bymerge, emnist-digits"), "{told}");
        assert!(told.contains("name the folder after the one that is wanted, for example emnist-balanced"), "{told}");
        put(dir.path(), [0, 1, 2, 3].map(|i| emnist("letters")[i].clone()).each_ref().map(|n| n.as_str()), &[0, 1], &[1, 1]);
        let told = find(dir.path(), "Letters").unwrap().unwrap().read().unwrap_err().to_string();
        assert!(told.ends_with("byte 8: label 0 of image 0 is not among 1 to 26"), "{told}");
    }

    #[test]
    fn emnist_is_read_from_its_archive() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for split in ["letters", "digits"] {
            for (i, name) in emnist(split).iter().enumerate() {
                let content = if i % 2 == 0 { images(1, 2, 3) } else { labels(&[5]) };
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packed.write_all(&content).unwrap();
                writer.start_file(format!("gzip/{name}.gz"), zip::write::SimpleFileOptions::default()).unwrap();
                writer.write_all(&packed.finish().unwrap()).unwrap();
            }
        }
        std::fs::write(dir.path().join("gzip.zip"), writer.finish().unwrap().into_inner()).unwrap();
        let read = find(dir.path(), "emnist-letters").unwrap().unwrap().read().unwrap();
        assert_eq!((read.train.labels, &read.test.images.pixels[..]), (vec![4], &[0, 3, 1, 4, 2, 5][..]));
    }

    #[test]
    fn emnist_known_by_its_folder_alone_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), [0, 1, 2, 3].map(|i| published("", i)).each_ref().map(String::as_str), &[0, 1], &[1, 1]);
        let notes = |folder: &str| find(dir.path(), folder).unwrap().unwrap().read().unwrap().notes;
        assert_eq!(
            notes("emnist-digits"),
            ["taken for EMNIST by its folder's name, so rows and columns are exchanged; rename the folder if it is not"]
        );
        assert_eq!(notes("digits"), [""; 0]);
        put(dir.path(), emnist("digits").each_ref().map(String::as_str), &[0, 1], &[1, 1]);
        assert_eq!(notes("emnist-digits"), [""; 0]);
    }

    #[test]
    fn known_sets_have_their_class_names() {
        let names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), names, &[0, 9], &[1, 2]);
        let class = |folder: &str| Some(find(dir.path(), folder).unwrap().unwrap().class_names()?[9].clone());
        assert_eq!(class("fashion-mnist").as_deref(), Some("Ankle boot"));
        assert_eq!(class("FashionMNIST").as_deref(), Some("Ankle boot"));
        assert_eq!(class("KMNIST").as_deref(), Some("wo"));
        assert_eq!(class("mnist"), None);
        put(dir.path(), names, &[0, 10], &[1, 2]);
        let told = find(dir.path(), "fashion_mnist").unwrap().unwrap().largest_label().unwrap_err().to_string();
        assert!(told.ends_with("train-labels-idx1-ubyte: byte 9: label 10 of image 1 is not among 0 to 9"), "{told}");
    }

    #[test]
    fn qmnist_keeps_the_class_first() {
        let words = [0x0c02_u32, 2, 8, 7, 1, 2, 3, 4, 5, 6, 0, 9, 1, 2, 3, 4, 5, 6, 0].map(u32::to_be_bytes).concat();
        assert_eq!(qmnist_labels("f", &words).unwrap(), [7, 9]);
        assert!(qmnist_labels("f", &words[..40]).unwrap_err().to_string().contains("byte 4: 28 bytes of data do not fit"));
        assert!(qmnist_labels("f", b"GIF").unwrap_err().to_string().contains("byte 0: not QMNIST's labels"));
    }

    #[test]
    fn half_a_set_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("emnist-letters-train-images-idx3-ubyte.gz"), b"").unwrap();
        let told = find(dir.path(), "x").unwrap_err().to_string();
        assert!(told.contains("emnist-letters-train-labels-idx1-ubyte, emnist-letters-test-images-idx3-ubyte"), "{told}");
    }
}
