//! CIFAR-10 and CIFAR-100, in their binary versions (records of labels and 32×32 red, green, blue planes) and their Python versions
//! (pickles of the same), in a folder or an archive.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::pickle::Pickle;
use super::read::{self, RawImages, RawSet, bad};
use super::source::{Arrays, load};
use super::unread;
use crate::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The classes of CIFAR-10, where no file names them.
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// How a set is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Binary10,
    Binary100,
    Python10,
    Python100,
}

use Version::{Binary10, Binary100, Python10, Python100};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train(u8),
    Test,
    Names,
}

impl Version {
    const ALL: [Version; 4] = [Binary10, Binary100, Python10, Python100];

    /// The folder that the published archive makes.
    const fn folder(self) -> &'static str {
        match self {
            Binary10 => "cifar-10-batches-bin",
            Binary100 => "cifar-100-binary",
            Python10 => "cifar-10-batches-py",
            Python100 => "cifar-100-python",
        }
    }

    /// The version whose folder has this name (in lower case).
    pub fn folder_of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.folder() == name)
    }

    /// Files of the training set, of which CIFAR-10 may lack some, of the test set, and of the names.
    const fn files(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            Binary10 => (
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
                "test_batch.bin",
                "batches.meta.txt",
            ),
            Binary100 => (&["train.bin"], "test.bin", "fine_label_names.txt"),
            Python10 => (&["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"], "test_batch", "batches.meta"),
            Python100 => (&["train"], "test", "meta"),
        }
    }

    /// What a file of this name is in this version.
    fn part(self, name: &str) -> Option<Part> {
        let (train, test, names) = self.files();
        match name {
            _ if name == test => Some(Part::Test),
            _ if name == names => Some(Part::Names),
            _ => train.iter().position(|n| *n == name).map(|i| Part::Train(i as u8)),
        }
    }

    const fn classes(self) -> usize {
        match self {
            Binary10 | Python10 => 10,
            Binary100 | Python100 => 100,
        }
    }

    const fn is_python(self) -> bool {
        matches!(self, Python10 | Python100)
    }
}

/// The files of one set.
pub(super) enum Files {
    Folder(Version, Vec<(String, PathBuf)>),
    /// A `.tar`, plain or gzipped.
    Archive(PathBuf),
}

impl Files {
    /// The set among the files of a folder (in lower case, with their paths), if there is one.
    ///
    /// # Errors
    /// [`Error::Data`] if only a part of it is there.
    pub fn of(dir: &Path, files: &[(String, PathBuf)]) -> Result<Option<Self>> {
        for version in Version::ALL {
            let own: Vec<_> = files.iter().filter(|(name, _)| version.part(name).is_some()).cloned().collect();
            let has = |wanted: fn(Part) -> bool| own.iter().any(|(name, _)| version.part(name).is_some_and(wanted));
            let (train, test) = (has(|p| matches!(p, Part::Train(_))), has(|p| p == Part::Test));
            // Files called train and test may be anything.
            let pickled = |path: &PathBuf| {
                let mut start = [0; 2];
                File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
                    && (start[0] == 0x80 || [*b"(d", *b"}q"].contains(&start))
            };
            let sure = version != Python100 || own.iter().any(|(_, path)| pickled(path));
            if (!train && !test) || !sure {
                continue;
            }
            if !train || !test {
                let missing = if train { version.files().1 } else { version.files().0[0] };
                return Err(Error::Data(format!("{}: {missing} missing beside its companions; put it there", dir.display())));
            }
            return Ok(Some(Files::Folder(version, own)));
        }
        Ok(None)
    }

    /// Whether a file of this name (in lower case) is a published archive.
    pub fn is_archive(name: &str) -> bool {
        (name.starts_with("cifar-10-") || name.starts_with("cifar-100-"))
            && [".tar.gz", ".tgz", ".tar"].iter().any(|ending| name.ends_with(ending))
    }

    /// The files that are used.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Files::Folder(_, files) => files.iter().map(|(_, path)| path.clone()).collect(),
            Files::Archive(path) => vec![path.clone()],
        }
    }

    /// Names of the classes.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file of names, where it is damaged or names another number of classes.
    pub fn classes(&self) -> Result<Vec<String>> {
        match self {
            Files::Folder(version, files) => {
                let names = files.iter().find(|(name, _)| version.part(name) == Some(Part::Names));
                class_names(*version, names.map(|(_, path)| Ok((path.display().to_string(), load(path)?))).transpose()?)
            }
            Files::Archive(path) => {
                let file = path.display().to_string();
                let mut found = None;
                let mut version = None;
                members(path, read::MAX_UNPACKED, &mut |own, part, bytes| {
                    version = Some(own);
                    if part == Part::Names {
                        found = Some((format!("{file}, {}", own.files().2), bytes));
                    }
                    Ok(())
                })?;
                class_names(version.ok_or_else(|| incomplete(&file))?, found)
            }
        }
    }

    /// All images and labels.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and the record.
    pub fn read(&self) -> Result<Arrays> {
        self.read_within(read::MAX_UNPACKED)
    }

    /// The same, of an archive that unpacks to at most `most` bytes in all.
    fn read_within(&self, most: u64) -> Result<Arrays> {
        let mut parts: Vec<(Part, RawSet)> = Vec::new();
        let mut batches = 0;
        let file = match self {
            Files::Folder(version, files) => {
                batches = version.files().0.len();
                for (name, path) in files {
                    if let Some(part @ (Part::Train(_) | Part::Test)) = version.part(name) {
                        parts.push((part, batch(*version, &path.display().to_string(), &load(path)?)?));
                    }
                }
                String::new()
            }
            Files::Archive(path) => {
                let file = path.display().to_string();
                members(path, most, &mut |version, part, bytes| {
                    let (train, test, _) = version.files();
                    batches = train.len();
                    let name = match part {
                        Part::Train(i) => train[usize::from(i)],
                        Part::Test => test,
                        Part::Names => return Ok(()),
                    };
                    parts.push((part, batch(version, &format!("{file}, {name}"), &bytes)?));
                    Ok(())
                })?;
                file
            }
        };
        // The order of an archive is not that of the numbers.
        parts.sort_by_key(|(part, _)| *part);
        let numbers: Vec<u8> = parts.iter().filter_map(|(part, _)| if let Part::Train(i) = part { Some(*i) } else { None }).collect();
        let missing: Vec<String> = (0..batches).filter(|i| !numbers.contains(&(*i as u8))).map(|i| (i + 1).to_string()).collect();
        let notes = match missing.len() {
            0 => Vec::new(),
            _ => vec![format!("training batch {} of {batches} is missing: the others are read", missing.join(", "))],
        };
        let (mut train, mut test) = (None, None);
        for (part, set) in parts {
            let half = if part == Part::Test { &mut test } else { &mut train };
            match half {
                None => *half = Some(set),
                Some(half) => half.append(&file, set)?,
            }
        }
        match (train, test) {
            (Some(train), Some(test)) => Ok(Arrays { train, test, validation: 0, notes }),
            _ => Err(incomplete(&file)),
        }
    }
}

fn incomplete(file: &str) -> Error {
    bad(file, "it holds no training batch or no test batch of CIFAR-10 or CIFAR-100; fetch it again")
}

/// Calls `each` with every file of the set in an archive that unpacks to at most `most` bytes.
fn members(path: &Path, most: u64, each: &mut dyn FnMut(Version, Part, Vec<u8>) -> Result<()>) -> Result<()> {
    let file = path.display().to_string();
    let fail = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
    let mut start = Vec::new();
    File::open(path).and_then(|f| f.take(unread::START).read_to_end(&mut start)).map_err(fail)?;
    unread::check(&file, &start)?;
    let content = BufReader::new(File::open(path).map_err(fail)?);
    let content: Box<dyn Read> =
        if start.starts_with(&[0x1f, 0x8b]) { Box::new(flate2::bufread::GzDecoder::new(content)) } else { Box::new(content) };
    let mut archive = tar::Archive::new(content.take(most + 1));
    let walked = walk(&file, &mut archive, each);
    if archive.into_inner().limit() == 0 { Err(read::too_large(&file)) } else { walked }
}

fn walk(file: &str, archive: &mut tar::Archive<impl Read>, each: &mut dyn FnMut(Version, Part, Vec<u8>) -> Result<()>) -> Result<()> {
    let damaged = |_| bad(file, "damaged or truncated archive; fetch it again");
    let mut known = None;
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(damaged)?.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
        let Some((version, part)) = Version::ALL.into_iter().find_map(|v| Some((v, v.part(&name)?))) else { continue };
        if *known.get_or_insert(version) != version {
            return Err(bad(file, "it holds several versions of CIFAR; keep one in an archive"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        each(version, part, bytes)?;
    }
    Ok(())
}

/// Names of the classes from their file, if there is one.
fn class_names(version: Version, names: Option<(String, Vec<u8>)>) -> Result<Vec<String>> {
    let wanted = version.classes();
    let Some((file, bytes)) = names else {
        return Ok(match version {
            Binary10 | Python10 => CLASSES.map(str::to_owned).to_vec(),
            Binary100 | Python100 => (0..wanted).map(|class| class.to_string()).collect(),
        });
    };
    let found: Vec<String> = if version.is_python() {
        let key = if version == Python10 { "label_names" } else { "fine_label_names" };
        let pickle = Pickle::parse(&file, &bytes)?;
        pickle.texts(key).ok_or_else(|| bad(&file, format_args!("it has no list {key} (keys: {}); fetch it again", pickle.keys())))?
    } else {
        String::from_utf8_lossy(&bytes).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let unusable = |(i, name): (usize, &String)| match () {
        () if name.trim().is_empty() => Some((i, "empty")),
        () if name.contains(char::is_control) => Some((i, "no text: it holds control characters")),
        () if found[..i].contains(name) => Some((i, "that of an earlier class, too")),
        () => None,
    };
    match found.len() {
        0 if version == Binary10 => class_names(version, None),
        n if n == wanted => match found.iter().enumerate().find_map(unusable) {
            None => Ok(found),
            Some((i, why)) => Err(bad(&file, format_args!("the name of class {i} is {why}; fetch it again, or remove it"))),
        },
        n => Err(bad(&file, format_args!("it names {n} classes, and the set has {wanted}; fetch it again, or remove it"))),
    }
}

/// The images of one batch file.
///
/// # Errors
/// [`Error::Data`] naming the file and the record.
fn batch(version: Version, file: &str, bytes: &[u8]) -> Result<RawSet> {
    let (planes, labels) = if version.is_python() { pickled(version, file, bytes)? } else { records(version, file, bytes)? };
    if let Some(i) = labels.iter().position(|&label| usize::from(label) >= version.classes()) {
        return Err(bad(
            file,
            format_args!("record {i} has label {}, but there are {} classes; the file is damaged", labels[i], version.classes()),
        ));
    }
    let pixels: Vec<u8> = planes
        .chunks_exact(3 * PLANE)
        .flat_map(|image| (0..PLANE).flat_map(|p| [image[p], image[PLANE + p], image[2 * PLANE + p]]))
        .collect();
    read::pair(file, RawImages { height: SIDE, width: SIDE, channels: 3, pixels }, file, labels)
}

/// Planes and labels of a batch of records: the label (in CIFAR-100 the coarse one before the fine one), then the planes.
fn records(version: Version, file: &str, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let first = if version == Binary100 { 2 } else { 1 };
    let record = first + 3 * PLANE;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        return Err(bad(
            file,
            format_args!(
                "{} bytes are no number of records of {record} bytes: it is truncated or no CIFAR-{} batch; fetch it again",
                bytes.len(),
                version.classes()
            ),
        ));
    }
    let records = || bytes.chunks_exact(record);
    Ok((records().flat_map(|r| &r[first..]).copied().collect(), records().map(|r| r[first - 1]).collect()))
}

/// The same of a pickle: an array `data` of a row an image, and the list `labels` or `fine_labels`.
fn pickled(version: Version, file: &str, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let pickle = Pickle::parse(file, bytes)?;
    let key = if version == Python10 { "labels" } else { "fine_labels" };
    if !pickle.has(key) {
        return Err(bad(file, format_args!("it has no {key} (keys: {}); this is no CIFAR-{} batch", pickle.keys(), version.classes())));
    }
    Ok((pickle.array("data")?.rows(&format!("{file}, key data"), 3 * PLANE)?, pickle.labels(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(shift: usize) -> Vec<u8> {
        (0..3 * PLANE).map(|i| (i / PLANE * 50 + i % PLANE % 5 + shift) as u8).collect()
    }

    /// A pickle as Python 2 wrote CIFAR's, protocol 2.
    fn python2(label_key: &str, labels: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x80\x02}q\x00(".to_vec();
        let short = |text: &str| [b"U", &[text.len() as u8][..], text.as_bytes()].concat();
        bytes.extend(short("data"));
        bytes.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01K");
        bytes.push((data.len() / (3 * PLANE)) as u8);
        bytes.extend(
            b"M\x00\x0c\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T",
        );
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes.extend(b"tb");
        bytes.extend(short(label_key));
        bytes.extend(b"](");
        labels.iter().for_each(|label| bytes.extend([b'K', *label]));
        bytes.extend(b"eu.");
        bytes
    }

    fn python_names(key: &str, names: &[&str]) -> Vec<u8> {
        let mut bytes = b"(dp0\nS'".to_vec();
        bytes.extend(key.as_bytes());
        bytes.extend(b"'\np1\n(lp2\n");
        names.iter().for_each(|name| bytes.extend(format!("S'{name}'\na").into_bytes()));
        bytes.extend(b"s.");
        bytes
    }

    #[test]
    fn planes_become_pixels_in_all_versions() {
        let pixels = [0, 50, 100, 1, 51, 101, 2, 52, 102];
        let binary = [vec![7], planes(0)].concat();
        let fine = [vec![19, 99], planes(0)].concat();
        for (version, label, bytes) in [
            (Binary10, 7, &binary),
            (Binary100, 99, &fine),
            (Python10, 7, &python2("labels", &[7], &planes(0))),
            (Python100, 99, &python2("fine_labels", &[99], &planes(0))),
        ] {
            let set = batch(version, "b", bytes).unwrap();
            assert_eq!((set.labels, &set.images.pixels[..9]), (vec![label], &pixels[..]), "{version:?}");
        }
    }

    #[test]
    fn damage_is_told_by_record() {
        let told = |version, bytes: &[u8]| batch(version, "b.bin", bytes).unwrap_err().to_string();
        assert!(told(Binary10, &[]).contains("b.bin: 0 bytes"));
        assert!(
            told(Binary10, &[0; 3074]).contains("3074 bytes are no number of records of 3073 bytes: it is truncated or no CIFAR-10 batch")
        );
        let mut two = vec![0; 2 * 3073];
        two[3073] = 10;
        assert!(told(Binary10, &two).contains("record 1 has label 10, but there are 10 classes"));
        let python = python2("labels", &[7], &planes(0));
        assert!(told(Python100, &python).contains("it has no fine_labels (keys: data, labels); this is no CIFAR-100 batch"));
        assert!(told(Python10, &python2("labels", &[7, 1], &planes(0))).contains("1 images"));
        assert!(told(Python10, &python2("labels", &[10], &planes(0))).contains("record 0 has label 10"));
        assert!(told(Python10, &python[..python.len() - 2]).contains("the pickle ends too early"));
    }

    #[test]
    fn classes_have_their_own_names() {
        assert_eq!(class_names(Binary10, None).unwrap()[3], "cat");
        let ten: Vec<String> = (0..10).map(|i| format!("class {i}")).collect();
        let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
        assert_eq!(class_names(Binary10, Some(("m".into(), ten.join("\n").into_bytes()))).unwrap(), ten);
        assert_eq!(class_names(Python10, Some(("m".into(), python_names("label_names", &ten)))).unwrap(), ten);
        let told = class_names(Binary10, Some(("batches.meta.txt".into(), b"a\nb\n\n".to_vec()))).unwrap_err().to_string();
        assert_eq!(told, "batches.meta.txt: it names 2 classes, and the set has 10; fetch it again, or remove it");
        for (name, what) in
            [("\u{1b}[2J", "no text: it holds control characters"), ("class 1", "that of an earlier class, too"), ("", "empty")]
        {
            let names = [&ten[..3], &[name], &ten[4..]].concat();
            let told = class_names(Python10, Some(("batches.meta".into(), python_names("label_names", &names)))).unwrap_err().to_string();
            assert_eq!(told, format!("batches.meta: the name of class 3 is {what}; fetch it again, or remove it"));
        }
        let told = class_names(Python100, Some(("meta".into(), python_names("label_names", &ten)))).unwrap_err().to_string();
        assert!(told.contains("meta: it has no list fine_label_names (keys: label_names)"), "{told}");
    }

    fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn python_versions_are_read_from_folders_and_archives() {
        let ten = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let hundred: Vec<String> = (0..100).map(|i| format!("fine {i}")).collect();
        let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
        for (folder, last, files) in [
            (
                "cifar-10-batches-py",
                "j",
                [
                    ("data_batch_1", python2("labels", &[7], &planes(0))),
                    ("test_batch", python2("labels", &[3], &planes(1))),
                    ("batches.meta", python_names("label_names", &ten)),
                ],
            ),
            (
                "cifar-100-python",
                "fine 99",
                [
                    ("train", python2("fine_labels", &[7], &planes(0))),
                    ("test", python2("fine_labels", &[3], &planes(1))),
                    ("meta", python_names("fine_label_names", &hundred)),
                ],
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            files.iter().for_each(|(name, content)| std::fs::write(dir.path().join(name), content).unwrap());
            let plain = Files::of(dir.path(), &super::super::source::files_of(dir.path()).unwrap()).unwrap().unwrap();
            let packed = dir.path().join(format!("{folder}.tar.gz"));
            let members = files.each_ref().map(|(name, content)| (format!("{folder}/{name}"), content.clone()));
            std::fs::write(&packed, archive(&members.each_ref().map(|(name, content)| (name.as_str(), content.clone())))).unwrap();
            assert!(Files::is_archive("cifar-10-python.tar.gz") && Files::is_archive("cifar-100-python.tar.gz"));
            for set in [plain, Files::Archive(packed.clone())] {
                let read = set.read().unwrap();
                assert_eq!((read.train.labels, read.test.labels), (vec![7], vec![3]), "{folder}");
                assert_eq!(
                    (read.train.images.pixels[..3].to_vec(), read.test.images.pixels[..3].to_vec()),
                    (vec![0, 50, 100], vec![1, 51, 101])
                );
                assert_eq!(set.classes().unwrap().last().unwrap(), last, "{folder}");
            }
            // All members are within the limit, but not together.
            let set = Files::Archive(packed.clone());
            assert!(set.read_within(100_000).is_ok());
            let told = set.read_within(5_000).unwrap_err().to_string();
            assert!(told.contains("it unpacks to more than"), "{told}");
            std::fs::write(&packed, archive(&members[..1].iter().map(|(name, c)| (name.as_str(), c.clone())).collect::<Vec<_>>())).unwrap();
            let told = set.read().unwrap_err().to_string();
            assert!(told.contains("it holds no training batch or no test batch"), "{told}");
        }
    }
}
