//! Files that are not what their place promises, or of a kind that is not read: named, with what to do.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::read::{Instead, bad};
use crate::Result;

/// Bytes from the start of a file that tell its kind; a MATLAB 7.3 file is an HDF5 file after 512 bytes of its own.
pub(super) const START: u64 = 600;

/// What was saved where a data file should be, if `start` is the start of a well-known substitute for one.
fn substitute(start: &[u8]) -> Option<&'static str> {
    Instead::of(start).map(|instead| match instead {
        Instead::Pointer => "is a git-lfs pointer, not the file itself: run git lfs pull where it came from",
        Instead::Page => "is a web page, not the file itself: download it again, in a browser by the link on its page",
        Instead::Refusal => "is a server's error message, not the file itself: download it again, from an address that gives it",
    })
}

/// Refuses what is often saved where a data file should be: a git-lfs pointer, a web page, a server's error message.
///
/// # Errors
/// [`crate::Error::Data`] naming it.
pub(super) fn check(file: &str, bytes: &[u8]) -> Result<()> {
    substitute(bytes).map_or(Ok(()), |what| Err(bad(file, format_args!("this {what}"))))
}

/// What to do with a file of another kind.
pub(super) const SAVE_NPZ: &str =
    "load it in Python and save it with numpy.savez as data.npz with train_images, train_labels, test_images and test_labels";

/// Why a file is not read as data, to be said after its name, if it looks like data: "is an HDF5 file, which is not read: …".
pub(super) fn reason(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let mut start = Vec::new();
    File::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    if let Some(what) = substitute(&start) {
        return Some(what.to_owned());
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let hdf5 = b"\x89HDF\r\n\x1a\n";
    let what = if start.starts_with(b"MATLAB 7.3") || (ends(&[".mat"]) && start.get(512..520) == Some(hdf5)) {
        "is a MATLAB 7.3 (HDF5) file"
    } else if start.starts_with(hdf5) || ends(&[".h5", ".hdf5"]) {
        "is an HDF5 file"
    } else if ends(&[".mat"]) {
        "is a MATLAB file other than SVHN's train_32x32.mat and test_32x32.mat"
    } else if start.starts_with(b"PAR1") || ends(&[".parquet"]) {
        "is a Parquet file"
    } else if start.starts_with(b"ARROW1") || ends(&[".arrow", ".feather"]) {
        "is an Arrow file"
    } else if name.contains(".tfrecord") {
        "is a TFRecord file"
    } else if ends(&[".pt", ".pth", ".pkl", ".pickle", ".ckpt"]) {
        "is a file of Python objects"
    } else if ends(&[".csv", ".tsv"]) {
        return Some(format!(
            "is a table, which is not read here: if it names pictures and their classes, give it as --clients-file with the columns client, \
             image and class; if it holds pixels, {SAVE_NPZ}"
        ));
    } else if ends(&[".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar"]) {
        return Some("is an archive that is not looked into here: unpack it if its content is wanted".into());
    } else if ends(&[".xz", ".zst"]) {
        return Some("is compressed in a way that is not read: unpack it there".into());
    } else {
        return None;
    };
    Some(format!("{what}, which is not read: {SAVE_NPZ}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_instead_of_data_is_named() {
        let told = |bytes: &[u8]| check("f.gz", bytes).map_err(|e| e.to_string());
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
        assert_eq!(told(pointer).unwrap_err(), "f.gz: this is a git-lfs pointer, not the file itself: run git lfs pull where it came from");
        assert!(told(b"\n<!DOCTYPE html><html>").unwrap_err().starts_with("f.gz: this is a web page, not the file itself: "));
        // As object stores and web servers answer if a file is missing or may not be read.
        let s3 = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let xhtml = b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a mirror -->\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\">";
        for refusal in
            [&s3[..], b"<Error><Code>NoSuchKey</Code></Error>", b"404: Not Found", b"{\"message\": \"Not Found\", \"status\": 404}"]
        {
            assert_eq!(
                told(refusal).unwrap_err(),
                "f.gz: this is a server's error message, not the file itself: download it again, from an address that gives it"
            );
        }
        assert!(told(xhtml).unwrap_err().starts_with("f.gz: this is a web page, not the file itself: download it again"));
        assert_eq!(told(b"<?xml version=\"1.0\"?>\n<annotation><object/></annotation>"), Ok(()));
        assert_eq!(told(&[0, 0, 8, 3]), Ok(()));
        assert_eq!(told(b""), Ok(()));
    }

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let told = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            reason(&path).unwrap_or_default()
        };
        let matlab = [b"MATLAB 7.3 MAT-file".as_slice(), &[b' '; 493], b"\x89HDF\r\n\x1a\n"].concat();
        assert!(told("train_32x32.mat", &matlab).starts_with("is a MATLAB 7.3 (HDF5) file, which is not read: load it in Python"));
        assert!(told("usps.h5", b"\x89HDF\r\n\x1a\n").starts_with("is an HDF5 file"));
        assert!(told("train.parquet", b"PAR1").starts_with("is a Parquet file"));
        assert_eq!(told("MNIST.ZIP", b"PK"), "is an archive that is not looked into here: unpack it if its content is wanted");
        assert!(told("a.tfrecord-00000-of-00001", b"").starts_with("is a TFRecord file"));
        assert!(told("a.npz", b"version https://git-lfs.github.com/spec/v1").starts_with("is a git-lfs pointer"));
        assert_eq!(told("README.md", b"# Data"), "");
    }
}
