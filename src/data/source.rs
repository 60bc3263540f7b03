//! The files of one domain: which known set of files a folder holds, its classes and its images.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::directory::entries;
use super::folders::Folders;
use super::read::{self, RawSet, TextFormat};
use super::{cifar, digit_names, npz};
use crate::{Error, Result};

/// The files of one domain.
pub(super) enum Source {
    /// Images and labels for training, then for testing.
    Idx([PathBuf; 4]),
    /// Training, then test rows.
    Text(TextFormat, [PathBuf; 2]),
    Npz(PathBuf),
    /// Training batches, the test batch, and the names of the classes.
    Cifar(Vec<PathBuf>, PathBuf, Option<PathBuf>),
    /// The same in an archive.
    CifarArchive(PathBuf),
    Pictures(Folders),
}

impl Source {
    /// The set of files in the folder of one domain, if there is a known one.
    pub fn find(dir: &Path, test_ratio: f64) -> Result<Option<Self>> {
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
        for binary in [dir.to_owned(), dir.join("cifar-10-batches-bin")] {
            let train: Vec<PathBuf> = (1..=5).map(|i| binary.join(format!("data_batch_{i}.bin"))).filter(|p| p.is_file()).collect();
            let test = binary.join("test_batch.bin");
            if train.is_empty() && !test.is_file() {
                continue;
            }
            if train.is_empty() || !test.is_file() {
                let missing = if train.is_empty() { "data_batch_1.bin" } else { "test_batch.bin" };
                return Err(Error::Data(format!("{}: {missing} missing beside its companions; put it there", binary.display())));
            }
            let meta = Some(binary.join("batches.meta.txt")).filter(|p| p.is_file());
            return Ok(Some(Source::Cifar(train, test, meta)));
        }
        let packed =
            |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("cifar-10") && n.ends_with(".tar.gz"));
        if let Some(archive) = entries(dir)?.into_iter().find(packed) {
            return Ok(Some(Source::CifarArchive(archive)));
        }
        if let Some(folders) = Folders::find(dir, test_ratio)? {
            return Ok(Some(Source::Pictures(folders)));
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

    /// Names of the classes.
    pub fn classes(&self) -> Result<Vec<String>> {
        Ok(match self {
            Source::Idx(_) | Source::Text(..) | Source::Npz(_) => digit_names(),
            Source::Cifar(_, _, Some(meta)) => cifar::classes(Some(&String::from_utf8_lossy(&load(meta)?))),
            Source::Cifar(_, _, None) | Source::CifarArchive(_) => cifar::classes(None),
            Source::Pictures(folders) => folders.classes.clone(),
        })
    }

    /// Training and test split; pictures are read by [`Folders::load`].
    pub fn read(&self, classes: usize) -> Result<(RawSet, RawSet)> {
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
            Source::Cifar(train, test, _) => {
                let batch = |path: &PathBuf| cifar::batch(&path.display().to_string(), &load(path)?, classes);
                Ok((cifar::joined(train.iter().map(batch).collect::<Result<_>>()?), batch(test)?))
            }
            Source::CifarArchive(path) => cifar_archive(&path.display().to_string(), &load(path)?, classes, read::MAX_UNPACKED),
            Source::Pictures(folders) => Err(Error::Data(format!("{} classes of pictures have no raw form", folders.classes.len()))),
        }
    }
}

/// Training and test batches of a `.tar.gz` that unpacks to at most `most` bytes in all.
pub(super) fn cifar_archive(file: &str, content: &[u8], classes: usize, most: u64) -> Result<(RawSet, RawSet)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(content).take(most + 1));
    let batches = cifar_batches(file, &mut archive, classes);
    if archive.into_inner().limit() == 0 {
        return Err(read::too_large(file));
    }
    batches
}

fn cifar_batches(file: &str, archive: &mut tar::Archive<impl Read>, classes: usize) -> Result<(RawSet, RawSet)> {
    let damaged = |e: std::io::Error| Error::Data(format!("{file}: damaged or truncated archive ({e}); fetch it again"));
    let (mut train, mut test) = (Vec::new(), None);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if !name.ends_with("_batch.bin") && !name.starts_with("data_batch_") {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        let batch = cifar::batch(&format!("{file}, {name}"), &bytes, classes)?;
        if name == "test_batch.bin" { test = Some(batch) } else { train.push((name, batch)) }
    }
    // The order of the archive is not that of the numbers.
    train.sort_by(|a, b| a.0.cmp(&b.0));
    match test {
        Some(test) if !train.is_empty() => Ok((cifar::joined(train.into_iter().map(|(_, b)| b).collect()), test)),
        _ => Err(Error::Data(format!("{file}: it holds no data_batch_1.bin or no test_batch.bin; fetch CIFAR-10's binary version"))),
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
