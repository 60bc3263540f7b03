//! Finds data sets in a folder: one sub-folder a domain, told by the files in it (see `datasets/README.md`).

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::read::{self, RawSet, TextFormat};
use super::{Dataset, Domain, Origin, digit_names, npz, resize};
use crate::{Error, Result};

/// The paper's order (budgets rise along it), each domain followed by what may stand in for it; others follow by name.
const ORDER: [&str; 8] = ["mnist", "svhn", "meter-digits", "usps", "synth-digits", "font-digits", "mnist-m", "optdigits"];

/// Stand-ins that a generator made. (`synth-digits` on disk is taken for the published set of that name.)
const GENERATED: [&str; 2] = ["font-digits", "mnist-m-style"];

/// Reads the domains in the sub-folders of `dir` and resizes their images to `size` (height, width; antialiased bilinear).
///
/// With `domains` empty, every sub-folder that holds a known set of files is taken, in the paper's order; else exactly
/// the named ones, in the given order. Kinds of files: MNIST's four IDX files, USPS and optdigits text (all plain or
/// gzipped), and `.npz` archives with `train_images`, `train_labels`, `test_images`, `test_labels`. Domains are
/// [`Origin::Genuine`] but for the generated stand-ins `font-digits` and `mnist-m-style`.
///
/// # Errors
/// [`Error::Io`] if something cannot be read; [`Error::Config`] if a named domain is not there, is named twice, or
/// a side is not 1 to 4096; [`Error::Data`] if no domain is found or a file is damaged, truncated or mislabelled, with
/// the file and the byte or row.
pub fn load_directory(dir: &Path, domains: &[String], size: (u32, u32)) -> Result<Dataset> {
    if let Some(side) = [size.0, size.1].into_iter().find(|side| !(1..=4096).contains(side)) {
        return Err(Error::Config(format!("image size {side} is not possible; give 1 to 4096")));
    }
    let found = find(dir)?;
    let listed = || found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        return Err(Error::Data(format!(
            "{}: no sub-folder holds a data set; put each domain into a folder of its own (mnist/, usps/, …)",
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
    let classes = digit_names();
    let loaded = chosen
        .into_iter()
        .map(|(name, source)| {
            let (train, test) = source.read(classes.len())?;
            Ok(Domain {
                name: name.clone(),
                origin: if GENERATED.contains(&name.as_str()) { Origin::Generated } else { Origin::Genuine },
                train: resize::image_set(train, size),
                test: resize::image_set(test, size),
            })
        })
        .collect::<Result<_>>()?;
    let name = dir.file_name().map_or(Cow::Borrowed("data"), |n| n.to_string_lossy());
    Dataset::new(name, classes, loaded)
}

/// The files of one domain.
enum Source {
    /// Images and labels for training, then for testing.
    Idx([PathBuf; 4]),
    /// Training, then test rows.
    Text(TextFormat, [PathBuf; 2]),
    Npz(PathBuf),
}

/// The domains in the sub-folders of `dir`, in the order in which they are taken.
fn find(dir: &Path) -> Result<Vec<(String, Source)>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        if !path.is_dir() {
            continue;
        }
        // A name that is not Unicode could not be given on the command line or shown.
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        if let Some(source) = Source::find(&path)? {
            found.push((name.to_owned(), source));
        }
    }
    let rank = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
    // Stable: entries came sorted by name.
    found.sort_by_key(|(name, _)| rank(name));
    Ok(found)
}

/// What is in `dir`, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| Error::Io { action: "cannot read the data folder", path: dir.to_owned(), source };
    let mut paths =
        fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()).map_err(fail)?;
    paths.sort();
    Ok(paths)
}

impl Source {
    /// The set of files in the folder of one domain, if there is a known one.
    fn find(dir: &Path) -> Result<Option<Self>> {
        if let Some(files) =
            quorum(dir, ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])?
        {
            return Ok(Some(Source::Idx(files)));
        }
        for (format, names) in [(TextFormat::Usps, ["zip.train", "zip.test"]), (TextFormat::Optdigits, ["optdigits.tra", "optdigits.tes"])]
        {
            if let Some(files) = quorum(dir, names)? {
                return Ok(Some(Source::Text(format, files)));
            }
        }
        let mut archives = entries(dir)?;
        archives.retain(|path| path.extension().is_some_and(|e| e == "npz") && path.is_file());
        match &archives[..] {
            [] => Ok(None),
            [one] => Ok(Some(Source::Npz(one.clone()))),
            more => Err(Error::Data(format!(
                "{}: {} .npz files where one is wanted; give each domain a folder of its own",
                dir.display(),
                more.len()
            ))),
        }
    }

    /// Training and test split.
    fn read(&self, classes: usize) -> Result<(RawSet, RawSet)> {
        match self {
            Source::Idx([train_images, train_labels, test_images, test_labels]) => {
                let split = |images: &Path, labels: &Path| {
                    let (images_name, labels_name) = (images.display().to_string(), labels.display().to_string());
                    read::pair(
                        &images_name,
                        read::idx_images(&images_name, &read::unpack(&images_name, &load(images)?)?)?,
                        &labels_name,
                        read::idx_labels(&labels_name, &read::unpack(&labels_name, &load(labels)?)?, classes)?,
                    )
                };
                Ok((split(train_images, train_labels)?, split(test_images, test_labels)?))
            }
            Source::Text(format, [train, test]) => {
                let split = |path: &Path| {
                    let name = path.display().to_string();
                    read::text(&name, &read::unpack(&name, &load(path)?)?, *format, classes)
                };
                Ok((split(train)?, split(test)?))
            }
            Source::Npz(path) => npz::parse(&path.display().to_string(), &load(path)?, classes),
        }
    }
}

fn load(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Io { action: "cannot read", path: path.to_owned(), source })
}

/// The files of these names in `dir`, each plain or with `.gz` (plain first); `None` if there is none of them.
///
/// # Errors
/// [`Error::Data`] if only some are there.
fn quorum<const N: usize>(dir: &Path, names: [&str; N]) -> Result<Option<[PathBuf; N]>> {
    let found = names.map(|name| [name.to_owned(), format!("{name}.gz")].into_iter().map(|n| dir.join(n)).find(|path| path.is_file()));
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let missing: Vec<_> = names.iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(Error::Data(format!("{}: {} (or .gz) missing beside its companions; put it there", dir.display(), missing.join(", "))));
    }
    Ok(Some(found.map(Option::unwrap_or_default)))
}

#[cfg(test)]
mod tests {
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
        let found = load_directory(&datasets(), &[], (28, 28)).unwrap();
        let embedded = super::super::embedded().unwrap();
        assert_eq!(found.name, "datasets");
        assert_eq!(found.domains[..], embedded.domains[..2]);
        let chosen = load_directory(&datasets(), &named(&["optdigits"]), (8, 8)).unwrap();
        assert_eq!((chosen.domains.len(), chosen.image_size()), (1, (8, 8)));
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
        let set = load_directory(dir.path(), &[], (28, 28)).unwrap();
        let titles: Vec<_> = set.domains.iter().map(Domain::title).collect();
        assert_eq!(titles, ["mnist (genuine)", "usps (genuine)", "font-digits (generated)", "a-new-one (genuine)", "other (genuine)"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |names: &[&str]| load_directory(dir.path(), &named(names), (28, 28)).unwrap_err().to_string();
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
        let nowhere = load_directory(&dir.path().join("none"), &[], (28, 28)).unwrap_err();
        assert!(matches!(nowhere, Error::Io { .. }), "{nowhere}");
        assert!(load_directory(dir.path(), &[], (0, 0)).unwrap_err().to_string().contains("image size 0"));
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
        let message = load_directory(dir.path(), &[], (28, 28)).unwrap_err().to_string();
        assert!(message.contains("t10k-labels-idx1-ubyte.gz: damaged or truncated gzip"), "{message}");
    }
}
