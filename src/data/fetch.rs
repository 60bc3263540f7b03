//! Public data sets from their authors' addresses: every file's SHA-256 is known before, and none is in its place before it fits.

use crate::{Error, Result};
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
    /// Addresses of the folder of its files: the authors' first, then mirrors.
    pub addresses: Vec<String>,
    /// Its files.
    pub files: Vec<SourceFile>,
}

/// A file of a data set.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
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

/// Tries at an address, each going on where the one before ended.
const TRIES: usize = 3;

/// The data sets that can be fetched by name.
pub fn sources() -> Vec<Source> {
    let file = |(name, bytes, sha256): (&str, u64, &str)| SourceFile { name: name.into(), bytes, sha256: sha256.into() };
    let source = |name: &str, title: &str, licence: &str, addresses: &[&str], files: &[(&str, u64, &str)]| Source {
        name: name.into(),
        title: title.into(),
        licence: licence.into(),
        addresses: addresses.iter().map(|a| a.to_string()).collect(),
        files: files.iter().copied().map(file).collect(),
    };
    vec![
        source(
            "mnist",
            "MNIST, 60 000 and 10 000 handwritten digits (LeCun, Cortes, Burges)",
            "CC BY-SA 3.0",
            &["http://yann.lecun.com/exdb/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"],
            &[
                ("train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
                ("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
                ("t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
                ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            ],
        ),
        source(
            "fashion-mnist",
            "Fashion-MNIST, 60 000 and 10 000 pictures of clothes (Xiao, Rasul, Vollgraf; Zalando)",
            "MIT",
            &[
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            ],
            &[
                ("train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                ("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                ("t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ],
        ),
        source(
            "cifar10",
            "CIFAR-10, 50 000 and 10 000 pictures of ten classes (Krizhevsky)",
            "none is named; its author asks to cite the technical report",
            &["https://www.cs.toronto.edu/~kriz"],
            &[("cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")],
        ),
    ]
}

/// Puts the files of a source into `folder`, each when it is whole. What is there already, and fits, is left. `stall` is the longest
/// wait for an answer or for the next bytes; `told` is called with each file's name, the bytes that are here, and how many there are.
///
/// What has come of a file that is not yet whole is kept beside its place, with `.part` at its end, and gone on with.
///
/// # Errors
/// [`Error::Network`] where no address gives a file, with what each said; [`Error::Data`] for a file that is not the one that was
/// published; [`Error::Config`] where another fetch into the folder is under way; [`Error::Io`] where nothing can be written.
pub fn fetch(
    source: &Source,
    origin: &Origin,
    folder: &Path,
    stall: Duration,
    told: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<PathBuf>> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    };
    std::fs::create_dir_all(folder).map_err(io("cannot make the folder", folder))?;
    let mut whole = Vec::new();
    for file in &source.files {
        let place = folder.join(&file.name);
        if place.exists() {
            let found = sha256(&place)?;
            if found != file.sha256 {
                return Err(Error::Data(format!(
                    "{}: its SHA-256 is {found}, that of the published file is {}: move it away, and it is fetched anew",
                    place.display(),
                    file.sha256
                )));
            }
            told(&file.name, file.bytes, file.bytes);
            whole.push(place);
            continue;
        }
        let part = folder.join(format!("{}.part", file.name));
        let mut kept = OpenOptions::new().create(true).append(true).open(&part).map_err(io("cannot write", &part))?;
        alone(kept.try_lock(), &part)?;
        let from = match origin {
            Origin::Path(path) => copy(path, file, &part, &mut kept, told)?,
            Origin::Mirror(address) => download(std::slice::from_ref(address), file, &part, &mut kept, stall, told)?,
            Origin::Authors => download(&source.addresses, file, &part, &mut kept, stall, told)?,
        };
        kept.sync_all().map_err(io("cannot write", &part))?;
        let found = sha256(&part)?;
        if found != file.sha256 {
            std::fs::remove_file(&part).map_err(io("cannot remove", &part))?;
            return Err(Error::Data(format!(
                "{} from {from}: its SHA-256 is {found}, that of the published file is {}: it is another file, or was damaged on its way, and was \
                 removed; try again, or name another address with --url or a copy of yours with --from",
                file.name, file.sha256
            )));
        }
        std::fs::rename(&part, &place).map_err(io("cannot name", &place))?;
        whole.push(place);
    }
    Ok(whole)
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

/// SHA-256 of a file, in hexadecimal digits.
fn sha256(path: &Path) -> Result<String> {
    let unreadable = |source| Error::Io { action: "cannot read", path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Copies a file of this machine in place of what was kept. Returns where it was.
fn copy(path: &Path, file: &SourceFile, part: &Path, kept: &mut File, told: &mut dyn FnMut(&str, u64, u64)) -> Result<String> {
    let path = if path.is_dir() { path.join(&file.name) } else { path.to_path_buf() };
    let own = File::open(&path).map_err(|source| Error::Io { action: "cannot read", path: path.clone(), source })?;
    let unwritable = |source| Error::Io { action: "cannot write", path: part.to_path_buf(), source };
    kept.set_len(0).map_err(unwritable)?;
    let copied = std::io::copy(&mut own.take(file.bytes + 1), kept).map_err(unwritable)?;
    if copied > file.bytes {
        std::fs::remove_file(part).map_err(|source| Error::Io { action: "cannot remove", path: part.to_path_buf(), source })?;
        return Err(Error::Data(format!(
            "{}: it is longer than the published file of {} bytes, so another one: name that file, or its folder, with --from",
            path.display(),
            file.bytes
        )));
    }
    told(&file.name, copied, file.bytes);
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
    told: &mut dyn FnMut(&str, u64, u64),
) -> Result<String> {
    let mut said = Vec::new();
    for address in addresses {
        let url = format!("{}/{}", address.trim_end_matches('/'), file.name);
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
        "{} could not be fetched: {}; the same command goes on with what has come; or name another address with --url, or a copy of yours \
         with --from",
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
    told: &mut dyn FnMut(&str, u64, u64),
) -> std::result::Result<(), Ended> {
    let unwritable = |source| Ended::Here(Error::Io { action: "cannot write", path: part.to_path_buf(), source });
    let mut here = kept.metadata().map_err(unwritable)?.len();
    if here > file.bytes {
        kept.set_len(0).map_err(unwritable)?;
        here = 0;
    }
    told(&file.name, here, file.bytes);
    if here == file.bytes {
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
    match response.status().as_u16() {
        206 if here > 0 => {
            let range = response.headers().get("Content-Range").and_then(|v| v.to_str().ok()).unwrap_or_default();
            if !range.starts_with(&format!("bytes {here}-")) {
                kept.set_len(0).map_err(unwritable)?;
                return Err(Ended::Broken(format!("it was asked for the bytes from {here} on and gave {range:?}")));
            }
        }
        // The whole file, asked for or not.
        200 => {
            kept.set_len(0).map_err(unwritable)?;
            here = 0;
        }
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
        if here + chunk.len() as u64 > file.bytes {
            kept.set_len(0).map_err(unwritable)?;
            return Err(Ended::Refused(format!("its file is longer than the published one of {} bytes", file.bytes)));
        }
        kept.write_all(&chunk).map_err(unwritable)?;
        here += chunk.len() as u64;
        told(&file.name, here, file.bytes);
    }
    if here < file.bytes { Err(Ended::Broken(format!("it ended after {here} of {} bytes", file.bytes))) } else { Ok(()) }
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
