//! Public data sets from their authors' addresses: every file's checksum is known before, and none is in its place before it fits. It is
//! the SHA-256 of files that were fetched and checked by hand, and the published MD5 of the others: that guards against damage and
//! wrong files, not against somebody who makes a file for that MD5.

use crate::{Error, Result};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// A data set that can be fetched.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, and that of its folder.
    pub name: String,
    /// What it is, by whom.
    pub title: String,
    /// The terms that its authors name.
    pub licence: String,
    /// Addresses of the folder of its files: the authors' first, then mirrors. `{}` stands for the file's name where it is not the end.
    pub addresses: Vec<String>,
    /// Its files.
    pub files: Vec<SourceFile>,
}

/// A file of a data set.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its name.
    pub name: String,
    /// Its length, if it is published.
    pub bytes: Option<u64>,
    /// Its published checksum.
    pub checksum: Checksum,
}

/// A checksum in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256, 64 digits.
    Sha256(String),
    /// MD5, 32 digits, where nothing better is published.
    Md5(String),
}

impl Checksum {
    /// How messages call it.
    const fn name(&self) -> &'static str {
        match self {
            Checksum::Sha256(_) => "SHA-256",
            Checksum::Md5(_) => "MD5",
        }
    }

    fn digits(&self) -> &str {
        match self {
            Checksum::Sha256(digits) | Checksum::Md5(digits) => digits,
        }
    }

    /// The same kind of checksum of a file.
    fn of(&self, path: &Path) -> Result<String> {
        match self {
            Checksum::Sha256(_) => digest::<Sha256>(path),
            Checksum::Md5(_) => digest::<Md5>(path),
        }
    }
}

/// Where the files are taken from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The source's own addresses.
    Authors,
    /// Another address of a folder that has the files.
    Mirror(String),
    /// A folder on this machine that has the files, or the file where there is but one.
    Path(PathBuf),
}

/// Most bytes of a file whose length is not published; the largest of them has some 0.6 GB.
const MOST: u64 = 4 << 30;

/// Tries at an address, each going on where the one before ended.
const TRIES: usize = 3;

/// The data sets that can be fetched by name.
pub fn sources() -> Vec<Source> {
    let source = |name: &str, title: &str, licence: &str, addresses: &[&str], files: Vec<SourceFile>| Source {
        name: name.into(),
        title: title.into(),
        licence: licence.into(),
        addresses: addresses.iter().map(|a| a.to_string()).collect(),
        files,
    };
    let sha256 = |files: &[(&str, u64, &str)]| -> Vec<SourceFile> {
        let file = |&(name, bytes, digits): &(&str, u64, &str)| SourceFile {
            name: name.into(),
            bytes: Some(bytes),
            checksum: Checksum::Sha256(digits.into()),
        };
        files.iter().map(file).collect()
    };
    let md5 = |files: &[(&str, &str)]| -> Vec<SourceFile> {
        let file = |&(name, digits): &(&str, &str)| SourceFile { name: name.into(), bytes: None, checksum: Checksum::Md5(digits.into()) };
        files.iter().map(file).collect()
    };
    let mut all = vec![
        source(
            "mnist",
            "MNIST, 60 000 and 10 000 handwritten digits (LeCun, Cortes, Burges)",
            "CC BY-SA 3.0",
            &["http://yann.lecun.com/exdb/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"],
            sha256(&[
                ("train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
                ("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
                ("t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
                ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            ]),
        ),
        source(
            "fashion-mnist",
            "Fashion-MNIST, 60 000 and 10 000 pictures of clothes (Xiao, Rasul, Vollgraf; Zalando)",
            "MIT",
            &[
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            ],
            sha256(&[
                ("train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                ("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                ("t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ]),
        ),
        source(
            "cifar10",
            "CIFAR-10, 50 000 and 10 000 pictures of ten classes (Krizhevsky)",
            "none is named; its author asks to cite the technical report",
            &["https://www.cs.toronto.edu/~kriz"],
            sha256(&[("cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")]),
        ),
        // The MD5s of these are those of torchvision's data sets (torchvision/datasets/mnist.py, cifar.py, svhn.py, usps.py).
        source(
            "kmnist",
            "Kuzushiji-MNIST, 60 000 and 10 000 cursive Japanese characters of ten classes (Clanuwat et al.)",
            "CC BY-SA 4.0",
            &["http://codh.rois.ac.jp/kmnist/dataset/kmnist"],
            md5(&[
                ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
                ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
                ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
                ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
            ]),
        ),
        source(
            "qmnist",
            "QMNIST, MNIST's training digits and 60 000 test digits, made anew (Yadav, Bottou)",
            "BSD 3-clause",
            &["https://raw.githubusercontent.com/facebookresearch/qmnist/master"],
            md5(&[
                ("qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
                ("qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
                ("qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
                ("qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
            ]),
        ),
        source(
            "cifar100",
            "CIFAR-100, 50 000 and 10 000 pictures of a hundred classes (Krizhevsky)",
            "none is named; its author asks to cite the technical report",
            &["https://www.cs.toronto.edu/~kriz"],
            md5(&[("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85")]),
        ),
        source(
            "svhn",
            "SVHN, 73 257 and 26 032 cropped house numbers (Netzer et al.)",
            "for non-commercial use only",
            &["http://ufldl.stanford.edu/housenumbers"],
            md5(&[("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"), ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")]),
        ),
        source(
            "usps",
            "USPS, 7 291 and 2 007 digits of 16×16 pixels (Hull), in LIBSVM's form",
            "none is named",
            &["https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"],
            md5(&[("usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"), ("usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118")]),
        ),
    ];
    // All six splits are in one archive (MD5: torchvision/datasets/mnist.py); the name of the folder says which is read.
    for (split, what) in [
        ("byclass", "814 255 characters of 62 classes"),
        ("bymerge", "814 255 characters of 47 classes"),
        ("balanced", "131 600 characters of 47 classes"),
        ("letters", "145 600 letters of 26 classes"),
        ("digits", "280 000 digits"),
        ("mnist", "70 000 digits"),
    ] {
        all.push(source(
            &format!("emnist-{split}"),
            &format!("EMNIST {split}, {what} (Cohen et al.); the archive has all splits"),
            "none is named",
            &["https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"],
            md5(&[("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e")]),
        ));
    }
    // Addresses and MD5s: medmnist/info.py of MedMNIST 2.1.0. Those with one class an image; validation splits included.
    for (name, what, digits) in [
        ("pathmnist", "107 180 colon tissues, 9 classes", "a8b06965200029087d5bd730944a56c1"),
        ("dermamnist", "10 015 skin lesions, 7 classes", "0744692d530f8e62ec473284d019b0c7"),
        ("octmnist", "109 309 retinal OCT images, 4 classes", "c68d92d5b585d8d81f7112f81e2d0842"),
        ("pneumoniamnist", "5 856 chest X-rays, 2 classes", "28209eda62fecd6e6a2d98b1501bb15f"),
        ("retinamnist", "1 600 fundus images, 5 grades", "bd4c0672f1bba3e3a89f0e4e876791e4"),
        ("breastmnist", "780 breast ultrasound images, 2 classes", "750601b1f35ba3300ea97c75c52ff8f6"),
        ("bloodmnist", "17 092 blood cells, 8 classes", "7053d0359d879ad8a5505303e11de1dc"),
        ("tissuemnist", "236 386 kidney cells, 8 classes", "ebe78ee8b05294063de985d821c1c34b"),
        ("organamnist", "58 850 axial CT slices, 11 organs", "866b832ed4eeba67bfb9edee1d5544e6"),
        ("organcmnist", "23 660 coronal CT slices, 11 organs", "0afa5834fb105f7705a7d93372119a21"),
        ("organsmnist", "25 221 sagittal CT slices, 11 organs", "e5c39f1af030238290b9557d9503af9d"),
    ] {
        all.push(source(
            name,
            &format!("MedMNIST {name}, {what} (Yang et al.)"),
            if name == "dermamnist" { "CC BY-NC 4.0" } else { "CC BY 4.0" },
            &["https://zenodo.org/record/6496656/files/{}?download=1"],
            md5(&[(&format!("{name}.npz"), digits)]),
        ));
    }
    all
}

/// Puts the files of a source into `folder`, each when it is whole. What is there already, and fits, is left. `stall` is the longest
/// wait for an answer or for the next bytes; `told` is called with each file's name, the bytes that are here, and how many there are, if
/// that is known.
///
/// What has come of a file that is not yet whole is kept beside its place, with `.part` at its end, and resumed.
///
/// # Errors
/// [`Error::Network`] where no address gives a file, with what each said; [`Error::Data`] for a file that is not the one that was
/// published; [`Error::Config`] where another fetch into the folder is under way, and for an address that is none; [`Error::Io`] where nothing can be written.
pub fn fetch(
    source: &Source,
    origin: &Origin,
    folder: &Path,
    stall: Duration,
    told: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<Vec<PathBuf>> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    };
    if let Origin::Mirror(address) = origin {
        check_address(address)?;
    }
    let made = !folder.exists();
    std::fs::create_dir_all(folder).map_err(io("cannot make the folder", folder))?;
    let mut whole = Vec::new();
    for file in &source.files {
        let place = folder.join(&file.name);
        if place.exists() {
            let found = file.checksum.of(&place)?;
            if found != file.checksum.digits() {
                return Err(Error::Data(format!(
                    "{}: its {} is {found}, that of the published file is {}: move it away, and it is fetched anew",
                    place.display(),
                    file.checksum.name(),
                    file.checksum.digits()
                )));
            }
            let bytes = std::fs::metadata(&place).map_err(io("cannot read", &place))?.len();
            told(&file.name, bytes, Some(bytes));
            whole.push(place);
            continue;
        }
        let part = folder.join(format!("{}.part", file.name));
        let mut kept = OpenOptions::new().create(true).append(true).open(&part).map_err(io("cannot write", &part))?;
        alone(kept.try_lock(), &part)?;
        fetch_file(source, file, origin, &part, &mut kept, stall, told).inspect_err(|_| {
            // Nothing is no download to resume.
            if std::fs::metadata(&part).is_ok_and(|data| data.len() == 0) {
                let _ = std::fs::remove_file(&part);
            }
            if made {
                // Only where it is empty.
                let _ = std::fs::remove_dir(folder);
            }
        })?;
        std::fs::rename(&part, &place).map_err(io("cannot name", &place))?;
        whole.push(place);
    }
    Ok(whole)
}

/// Refuses what is no address of a folder on the network.
fn check_address(address: &str) -> Result<()> {
    let uri = address.replace("{}", "file").parse::<ureq::http::Uri>().ok();
    match uri.as_ref().and_then(|uri| uri.scheme_str()) {
        Some("http" | "https") => Ok(()),
        _ => Err(Error::Config(format!(
            "--url {address}: it must be the http or https address of a folder that has the files, for example https://example.org/mnist; for a \
             folder on this machine, use --from"
        ))),
    }
}

/// Makes the file `part`, held open in `kept`, the published one.
fn fetch_file(
    source: &Source,
    file: &SourceFile,
    origin: &Origin,
    part: &Path,
    kept: &mut File,
    stall: Duration,
    told: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<()> {
    let from = match origin {
        Origin::Path(path) => copy(path, file, part, kept, told)?,
        Origin::Mirror(address) => download(std::slice::from_ref(address), file, part, kept, stall, told)?,
        Origin::Authors => download(&source.addresses, file, part, kept, stall, told)?,
    };
    kept.sync_all().map_err(|source| Error::Io { action: "cannot write", path: part.to_path_buf(), source })?;
    let found = file.checksum.of(part)?;
    if found == file.checksum.digits() {
        return Ok(());
    }
    std::fs::remove_file(part).map_err(|source| Error::Io { action: "cannot remove", path: part.to_path_buf(), source })?;
    let what = match origin {
        Origin::Path(_) => {
            "it is another file, or damaged, and stays where it is; name the published file with --from, or leave --from out"
        }
        _ => {
            "it is another file, or was damaged on its way, and is not kept; try again, or name another address with --url or a copy of yours \
             with --from"
        }
    };
    Err(Error::Data(format!(
        "{} from {from}: its {} is {found}, that of the published file is {}: {what}",
        file.name,
        file.checksum.name(),
        file.checksum.digits()
    )))
}

/// Whether a file that was to be locked is this fetch's alone.
fn alone(locked: std::result::Result<(), TryLockError>, part: &Path) -> Result<()> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Config(format!("{}: another fetch is writing it: wait for its end", part.display()))),
        // A network file system may have no locks, as for the folder of a run.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            log::warn!("{}: this file system has no locks; start no second fetch of this file", part.display());
            Ok(())
        }
        Err(TryLockError::Error(source)) => Err(Error::Io { action: "cannot lock", path: part.to_path_buf(), source }),
    }
}

/// Checksum of a file, in hexadecimal digits.
fn digest<D: Digest>(path: &Path) -> Result<String> {
    let unreadable = |source| Error::Io { action: "cannot read", path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hasher, mut buffer) = (D::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Copies a file of this machine in place of what was kept. Returns where it was.
fn copy(path: &Path, file: &SourceFile, part: &Path, kept: &mut File, told: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<String> {
    let path = if path.is_dir() { path.join(&file.name) } else { path.to_path_buf() };
    let own = File::open(&path).map_err(|source| Error::Io { action: "cannot read", path: path.clone(), source })?;
    let unwritable = |source| Error::Io { action: "cannot write", path: part.to_path_buf(), source };
    kept.set_len(0).map_err(unwritable)?;
    let most = file.bytes.unwrap_or(MOST);
    let copied = std::io::copy(&mut own.take(most + 1), kept).map_err(unwritable)?;
    if copied > most {
        std::fs::remove_file(part).map_err(|source| Error::Io { action: "cannot remove", path: part.to_path_buf(), source })?;
        return Err(Error::Data(format!(
            "{}: it is longer than the published file of {most} bytes, so another one: name that file, or its folder, with --from",
            path.display(),
        )));
    }
    told(&file.name, copied, Some(copied));
    Ok(path.display().to_string())
}

/// Why a try came to no end.
enum Ended {
    /// Another try may go on.
    Broken(String),
    /// This address does not have the file.
    Refused(String),
    /// This machine cannot keep it.
    Here(Error),
}

/// Loads what is missing of a file from the first address that gives it. Returns that address.
fn download(
    addresses: &[String],
    file: &SourceFile,
    part: &Path,
    kept: &mut File,
    stall: Duration,
    told: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<String> {
    let mut said = Vec::new();
    for address in addresses {
        let url = match address.contains("{}") {
            true => address.replace("{}", &file.name),
            false => format!("{}/{}", address.trim_end_matches('/'), file.name),
        };
        for _ in 0..TRIES {
            match try_once(&url, file, part, kept, stall, told) {
                Ok(()) => return Ok(url),
                Err(Ended::Broken(why)) => said.push(format!("{url}: {why}")),
                Err(Ended::Refused(why)) => {
                    said.push(format!("{url}: {why}"));
                    break;
                }
                Err(Ended::Here(error)) => return Err(error),
            }
        }
    }
    said.dedup();
    Err(Error::Network(format!(
        "{} could not be fetched: {}; run the same command again to resume, or name another address with --url, or a copy of yours with \
         --from",
        file.name,
        said.join("; ")
    )))
}

/// One request for what is missing.
fn try_once(
    url: &str,
    file: &SourceFile,
    part: &Path,
    kept: &mut File,
    stall: Duration,
    told: &mut dyn FnMut(&str, u64, Option<u64>),
) -> std::result::Result<(), Ended> {
    let unwritable = |source| Ended::Here(Error::Io { action: "cannot write", path: part.to_path_buf(), source });
    let mut here = kept.metadata().map_err(unwritable)?.len();
    let most = file.bytes.unwrap_or(MOST);
    if here > most {
        kept.set_len(0).map_err(unwritable)?;
        here = 0;
    }
    told(&file.name, here, file.bytes);
    if Some(here) == file.bytes {
        return Ok(());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(stall))
        .timeout_recv_response(Some(stall))
        .http_status_as_error(false)
        .user_agent(concat!("splitmix/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if here > 0 {
        request = request.header("Range", format!("bytes={here}-"));
    }
    let response = request.call().map_err(|e| Ended::Broken(e.to_string()))?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // The length of the whole file, where the server names it: after the slash of a range, or with the whole file.
    let of_range: Option<u64> = header("Content-Range").rsplit('/').next().and_then(|all| all.parse().ok());
    let mut whole = file.bytes;
    match response.status().as_u16() {
        206 if here > 0 => {
            let range = header("Content-Range");
            if !range.starts_with(&format!("bytes {here}-")) {
                kept.set_len(0).map_err(unwritable)?;
                return Err(Ended::Broken(format!("it was asked for the bytes from {here} on and gave {range:?}")));
            }
            whole = whole.or(of_range);
        }
        // The whole file, asked for or not.
        200 => {
            kept.set_len(0).map_err(unwritable)?;
            here = 0;
            whole = whole.or(header("Content-Length").parse().ok());
        }
        // Of a file whose length is not published, all bytes may be here.
        416 if file.bytes.is_none() && here > 0 && of_range == Some(here) => return Ok(()),
        416 => {
            kept.set_len(0).map_err(unwritable)?;
            return Err(Ended::Broken("it has not the bytes that are missing".into()));
        }
        status @ (408 | 425 | 429 | 500..) => return Err(Ended::Broken(format!("it answered {status}"))),
        status => return Err(Ended::Refused(format!("it answered {status}"))),
    }
    // Reading waits as long as it must, so a thread reads, and this one waits no longer than is meant.
    let (send, receive) = mpsc::sync_channel::<std::io::Result<Vec<u8>>>(4);
    std::thread::spawn(move || {
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        loop {
            let mut chunk = vec![0; 1 << 16];
            let read = body.read(&mut chunk).map(|n| {
                chunk.truncate(n);
                chunk
            });
            let last = read.as_ref().map_or(true, Vec::is_empty);
            if send.send(read).is_err() || last {
                return;
            }
        }
    });
    loop {
        let chunk = match receive.recv_timeout(stall) {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(Ended::Broken(error.to_string())),
            Err(_) => return Err(Ended::Broken(format!("nothing came for {} s", stall.as_secs_f32()))),
        };
        if chunk.is_empty() {
            break;
        }
        if here + chunk.len() as u64 > most {
            kept.set_len(0).map_err(unwritable)?;
            return Err(Ended::Refused(format!("its file is longer than the published one of {most} bytes")));
        }
        kept.write_all(&chunk).map_err(unwritable)?;
        here += chunk.len() as u64;
        told(&file.name, here, whole);
    }
    match whole {
        Some(whole) if here < whole => Err(Ended::Broken(format!("it ended after {here} of {whole} bytes"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_not_another_fetch() {
        let told = |locked| alone(locked, Path::new("a.part")).map_err(|e| e.to_string());
        assert_eq!(told(Ok(())), Ok(()));
        assert!(told(Err(TryLockError::WouldBlock)).unwrap_err().contains("another fetch"));
        assert_eq!(told(Err(TryLockError::Error(ErrorKind::Unsupported.into()))), Ok(()));
        let other = told(Err(TryLockError::Error(ErrorKind::PermissionDenied.into()))).unwrap_err();
        assert!(other.starts_with("cannot lock a.part"), "{other}");
    }
}
