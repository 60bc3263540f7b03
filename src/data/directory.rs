//! Finds data sets in a folder: one sub-folder a domain, told by the files in it (see `datasets/README.md`).

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::folders::Folders;
use super::source::Source;
use super::{Dataset, Domain, Origin, check_room, resize};
use crate::{Error, Result};

/// The paper's order (budgets rise along it), each domain followed by what may stand in for it; others follow by name.
const ORDER: [&str; 8] = ["mnist", "svhn", "meter-digits", "usps", "synth-digits", "font-digits", "mnist-m", "optdigits"];

/// Stand-ins that a generator made. (`synth-digits` on disk is taken for the published set of that name.)
const GENERATED: [&str; 2] = ["font-digits", "mnist-m-style"];

/// How a folder of data sets is read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Height and width that images are resized to (antialiased bilinear), each 1 to 4096.
    pub size: (u32, u32),
    /// Share of each class's pictures that is for testing where a folder of pictures has no split of its own, in (0, 1).
    pub test_ratio: f64,
    /// Folder in which resized pictures are kept.
    pub cache: Option<PathBuf>,
}

impl LoadOptions {
    /// Images of that size, a fifth of pictures for testing, nothing kept.
    pub fn new(size: (u32, u32)) -> LoadOptions {
        LoadOptions { size, test_ratio: 0.2, cache: None }
    }
}

/// Reads the domains in the sub-folders of `dir`.
///
/// With `domains` empty, every sub-folder that holds a known set of files is taken, in the paper's order; else exactly
/// the named ones, in the given order. Kinds of files: MNIST's four IDX files, USPS and optdigits text (all plain or
/// gzipped), `.npz` archives with `train_images`, `train_labels`, `test_images`, `test_labels`, CIFAR-10's binary batches (plain or
/// `.tar.gz`), and pictures, PNG or JPEG, in a folder a class, with or without `train/` and `test/` above. Where no sub-folder of `dir` is
/// a domain, but they hold pictures, they are the classes of one. Domains are [`Origin::Genuine`] but for the generated stand-ins `font-digits` and `mnist-m-style`.
///
/// # Errors
/// [`Error::Io`] if something cannot be read; [`Error::Config`] if a named domain is not there, is named twice, a side is not 1 to
/// 4096, or the images take more than 8 GiB at that size; [`Error::Data`] if no domain is found, if domains have different classes or
/// only one, or if a file is damaged, truncated or mislabelled, with the file and the byte or row.
pub fn load_directory(dir: &Path, domains: &[String], options: &LoadOptions) -> Result<Dataset> {
    let size = options.size;
    check_room(0, size)?;
    let found = find(dir, options.test_ratio)?;
    let listed = || found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        return Err(Error::Data(format!(
            "{}: no sub-folder holds a data set; put each domain into a folder of its own (mnist/, usps/, …), pictures into a folder a class",
            dir.display()
        )));
    }
    let chosen: Vec<_> = if domains.is_empty() {
        found.iter().collect()
    } else {
        let by_name = |name: &String| {
            found
                .iter()
                .find(|(n, _)| n == name)
                .ok_or_else(|| Error::Config(format!("{}: there is no domain {name:?}; choose from: {}", dir.display(), listed())))
        };
        domains.iter().map(by_name).collect::<Result<_>>()?
    };
    for (i, (name, _)) in chosen.iter().enumerate() {
        if chosen[..i].iter().any(|(other, _)| other == name) {
            return Err(Error::Config(format!("domain {name} is named twice; name it once")));
        }
    }
    let classes = chosen[0].1.classes()?;
    for (name, source) in &chosen[1..] {
        let own = source.classes()?;
        if own != classes {
            let few = |c: &[String]| if c.len() > 4 { format!("{}, … ({})", c[..3].join(", "), c.len()) } else { c.join(", ") };
            return Err(Error::Data(format!(
                "{}: the classes of {} are {}, those of {name} are {}: choose domains of the same classes with domains",
                dir.display(),
                chosen[0].0,
                few(&classes),
                few(&own)
            )));
        }
    }
    if classes.len() < 2 {
        return Err(Error::Data(format!(
            "{}: {} has one class only, {}, and there is nothing to tell apart: put the pictures of each class into a folder of its own, \
             or choose other domains with domains",
            dir.display(),
            chosen[0].0,
            classes.join(", ")
        )));
    }
    let (mut loaded, mut images) = (Vec::new(), 0);
    for (name, source) in &chosen {
        let origin = if GENERATED.contains(&name.as_str()) { Origin::Generated } else { Origin::Genuine };
        let (train, test) = match source {
            Source::Pictures(folders) => {
                images += folders.len();
                check_room(images, size)?;
                folders.load(size, options.cache.as_deref())?
            }
            other => {
                let (train, test) = other.read(classes.len())?;
                images += train.labels.len() + test.labels.len();
                check_room(images, size)?;
                (resize::image_set(train, size), resize::image_set(test, size))
            }
        };
        loaded.push(Domain { name: name.clone(), origin, train, test, validation: 0 });
    }
    let name = dir.file_name().map_or(Cow::Borrowed("data"), |n| n.to_string_lossy());
    Dataset::new(name, classes, loaded)
}

/// The domains in the sub-folders of `dir`, in the order in which they are taken.
fn find(dir: &Path, test_ratio: f64) -> Result<Vec<(String, Source)>> {
    let halves = ["train", "test"];
    let split = halves.iter().all(|half| dir.join(half).is_dir());
    let mut found = Vec::new();
    for path in entries(dir)? {
        if !path.is_dir() {
            continue;
        }
        // A name that is not Unicode could not be given on the command line or shown.
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        match Source::find(&path, test_ratio)? {
            // The classes of one domain, twice.
            Some(Source::Pictures(_)) if split && halves.contains(&name) => {}
            Some(source) => found.push((name.to_owned(), source)),
            None => {}
        }
    }
    // Pictures may lie beside the files of a domain, so that its folder looks like that of a class; and the folder of a class may have
    // a folder of pictures of its own, and looks like a domain of one class.
    let one_class = |source: &Source| matches!(source, Source::Pictures(folders) if folders.classes.len() < 2);
    if found.iter().all(|(_, source)| one_class(source))
        && let Some(folders) = Folders::find(dir, test_ratio)?
    {
        let name = dir.canonicalize().ok().and_then(|d| Some(d.file_name()?.to_str()?.to_owned()));
        return Ok(vec![(name.unwrap_or("pictures".into()), Source::Pictures(folders))]);
    }
    let rank = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
    // Stable: entries came sorted by name.
    found.sort_by_key(|(name, _)| rank(name));
    Ok(found)
}

/// What is in `dir`, sorted by name.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| Error::Io { action: "cannot read the data folder", path: dir.to_owned(), source };
    let mut paths =
        fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()).map_err(fail)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::source::cifar_archive;
    use super::*;

    /// The folder of the embedded files, which has the form of any other data folder.
    fn datasets() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets")
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn put(dir: &Path, name: &str, content: &[u8]) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn the_folder_of_the_embedded_files_loads_as_they_do() {
        let found = load_directory(&datasets(), &[], &LoadOptions::new((28, 28))).unwrap();
        let embedded = super::super::embedded().unwrap();
        assert_eq!(found.name, "datasets");
        assert_eq!(found.domains[..], embedded.domains[..2]);
        let chosen = load_directory(&datasets(), &named(&["optdigits"]), &LoadOptions::new((8, 8))).unwrap();
        assert_eq!((chosen.domains.len(), chosen.image_size()), (1, (8, 8)));
    }

    #[test]
    fn pictures_beside_the_files_of_a_domain_hide_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let rows = b"1 ".repeat(257);
        for name in ["mnist/zip.train", "mnist/zip.test", "usps/zip.train", "usps/zip.test"] {
            put(dir.path(), name, &rows);
        }
        (0..3).for_each(|i| put(dir.path(), &format!("mnist/preview-{i}.png"), b"not decoded"));
        let names = |wanted: &[&str]| {
            let set = load_directory(dir.path(), &named(wanted), &LoadOptions::new((8, 8))).unwrap();
            set.domains.into_iter().map(|d| d.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["mnist", "usps"]);
        assert_eq!(names(&["mnist"]), ["mnist"]);
    }

    #[test]
    fn domains_come_in_the_papers_order() {
        let dir = tempfile::tempdir().unwrap();
        let rows = b"1 ".repeat(257);
        for name in ["usps", "other", "mnist", "a-new-one", "font-digits"] {
            put(dir.path(), &format!("{name}/zip.train"), &rows);
            put(dir.path(), &format!("{name}/zip.test"), &rows);
        }
        put(dir.path(), "pictures/cat.txt", b"no data set");
        let set = load_directory(dir.path(), &[], &LoadOptions::new((28, 28))).unwrap();
        let titles: Vec<_> = set.domains.iter().map(Domain::title).collect();
        assert_eq!(titles, ["mnist (genuine)", "usps (genuine)", "font-digits (generated)", "a-new-one (genuine)", "other (genuine)"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |names: &[&str]| load_directory(dir.path(), &named(names), &LoadOptions::new((28, 28))).unwrap_err().to_string();
        assert!(message(&[]).contains("no sub-folder holds a data set"));
        put(dir.path(), "usps/zip.train", b"");
        let missing = message(&[]);
        assert!(missing.contains("usps") && missing.contains("zip.test (or .gz) missing"), "{missing}");
        put(dir.path(), "usps/zip.test", b"");
        let empty = message(&["usps"]);
        assert!(empty.contains("zip.train: it holds no image"), "{empty}");
        let unknown = message(&["../usps"]);
        assert!(unknown.contains("no domain \"../usps\"; choose from: usps"), "{unknown}");
        assert!(message(&["usps", "usps"]).contains("named twice"));
        put(dir.path(), "two/a.npz", b"");
        put(dir.path(), "two/b.npz", b"");
        assert!(message(&[]).contains("2 .npz files where one is wanted"));
        let nowhere = load_directory(&dir.path().join("none"), &[], &LoadOptions::new((28, 28))).unwrap_err();
        assert!(matches!(nowhere, Error::Io { .. }), "{nowhere}");
        assert!(load_directory(dir.path(), &[], &LoadOptions::new((0, 0))).unwrap_err().to_string().contains("image size 0"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
            let file = format!("mnist/{name}.gz");
            put(dir.path(), &file, &fs::read(datasets().join(&file)).unwrap());
        }
        let labels = dir.path().join("mnist/t10k-labels-idx1-ubyte.gz");
        let bytes = fs::read(&labels).unwrap();
        fs::write(&labels, &bytes[..bytes.len() - 9]).unwrap();
        let message = load_directory(dir.path(), &[], &LoadOptions::new((28, 28))).unwrap_err().to_string();
        assert!(message.contains("t10k-labels-idx1-ubyte.gz: damaged or truncated gzip"), "{message}");
    }

    fn record(label: u8, shade: u8) -> Vec<u8> {
        [vec![label], vec![shade; 3 * 32 * 32]].concat()
    }

    #[test]
    fn cifar_batches_plain_and_packed_are_the_same() {
        let (plain, packed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = [
            ("data_batch_2.bin", [record(3, 30), record(4, 40)].concat()),
            ("data_batch_1.bin", record(1, 10)),
            ("test_batch.bin", record(9, 90)),
        ];
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, content) in &files {
            put(plain.path(), &format!("cifar10/cifar-10-batches-bin/{name}"), content);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), content.as_slice()).unwrap();
        }
        put(packed.path(), "cifar10/cifar-10-binary.tar.gz", &archive.into_inner().unwrap().finish().unwrap());
        let load = |dir: &Path| load_directory(dir, &[], &LoadOptions::new((32, 32))).unwrap();
        let (one, other) = (load(plain.path()), load(packed.path()));
        assert_eq!(one.domains, other.domains);
        assert_eq!(one.classes[9], "truck");
        let domain = &one.domains[0];
        assert_eq!((domain.name.as_str(), &domain.train.labels[..], &domain.test.labels[..]), ("cifar10", &[1, 3, 4][..], &[9][..]));
        assert_eq!(domain.train.image(1)[..3], [30, 30, 30]);
        // Both batches of the training set are within the limit, but not together.
        let archive = fs::read(packed.path().join("cifar10/cifar-10-binary.tar.gz")).unwrap();
        assert!(cifar_archive("a", &archive, 10, 20_000).is_ok());
        let told = cifar_archive("a", &archive, 10, 10_000).unwrap_err().to_string();
        assert!(told.contains("a: it unpacks to more than"), "{told}");
        // Half an archive, and a folder without its test batch.
        let whole = fs::read(packed.path().join("cifar10/cifar-10-binary.tar.gz")).unwrap();
        put(packed.path(), "cifar10/cifar-10-binary.tar.gz", &whole[..whole.len() / 2]);
        fs::remove_file(plain.path().join("cifar10/cifar-10-batches-bin/test_batch.bin")).unwrap();
        let told = |dir: &Path| load_directory(dir, &[], &LoadOptions::new((32, 32))).unwrap_err().to_string();
        assert!(told(packed.path()).contains("damaged or truncated archive"), "{}", told(packed.path()));
        assert!(told(plain.path()).contains("test_batch.bin missing"), "{}", told(plain.path()));
    }

    #[test]
    fn pictures_are_a_domain_or_several_and_classes_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let picture = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::new(5, 4).save(path).unwrap();
        };
        for domain in ["photo", "sketch"] {
            for class in ["cat", "dog"] {
                (0..5).for_each(|i| picture(&format!("{domain}/{class}/{i}.png")));
            }
        }
        let options = LoadOptions { test_ratio: 0.4, ..LoadOptions::new((8, 6)) };
        let two = load_directory(dir.path(), &[], &options).unwrap();
        assert_eq!(two.classes, ["cat", "dog"]);
        assert_eq!(
            two.domains.iter().map(|d| (d.name.as_str(), d.train.len(), d.test.len())).collect::<Vec<_>>(),
            [("photo", 6, 4), ("sketch", 6, 4)]
        );
        assert_eq!(two.image_size(), (8, 6));
        // A domain's folder by itself is one domain.
        let one = load_directory(&dir.path().join("photo"), &[], &options).unwrap();
        assert_eq!((one.domains.len(), one.domains[0].name.as_str()), (1, "photo"));
        assert_eq!(one.domains[0].train, two.domains[0].train);
        // So it is with a folder of pictures in that of a class, and with a split of its own.
        picture("photo/cat/small/0.png");
        let one = load_directory(&dir.path().join("photo"), &[], &options).unwrap();
        assert_eq!((one.classes, one.domains[0].name.as_str()), (two.classes, "photo"));
        for class in ["train/cat", "train/dog", "test/cat", "test/dog"] {
            picture(&format!("split/{class}/0.png"));
        }
        let split = load_directory(&dir.path().join("split"), &[], &options).unwrap();
        assert_eq!((split.domains.len(), split.domains[0].name.as_str()), (1, "split"));
        (0..3).for_each(|i| picture(&format!("other/ape/{i}.png")));
        let told = |dir: &Path, size| load_directory(dir, &[], &LoadOptions { size, ..options.clone() }).unwrap_err().to_string();
        let differ = told(dir.path(), (8, 6));
        assert!(differ.contains("cat, dog") && differ.contains("ape"), "{differ}");
        let one = told(&dir.path().join("other"), (8, 6));
        assert!(one.contains("other has one class only, ape") && one.contains("a folder of its own"), "{one}");
        (0..180).for_each(|i| put(dir.path(), &format!("split/train/cat/{i}.png"), b"not decoded"));
        let large = told(&dir.path().join("split"), (4096, 4096));
        assert!(large.contains("183 images of 4096×4096"), "{large}");
    }
}
