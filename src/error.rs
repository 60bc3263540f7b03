//! The one error type of the crate. Every message says what was wrong, where, and what to do about it.

use std::fmt::{self, Display, Formatter, Write};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// What can go wrong, grouped by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option, a configuration key or a combination of them is not valid (exit code 2).
    #[error("{}", OneLine(_0))]
    Config(String),
    /// A data file or a checkpoint is missing, damaged or not of the expected kind (exit code 2).
    #[error("{}", OneLine(_0))]
    Data(String),
    /// Reading or writing a file failed. Where the path is at fault, as of a file that is missing, it was given wrongly (exit code 2);
    /// else the machine is, as with a full disk (exit code 1).
    #[error("{}", OneLine(&format!("{action} {}: {}", path.display(), reason(source))))]
    Io {
        /// What was being done, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own word.
        source: io::Error,
    },
    /// No adapter, a lost device, an out-of-memory condition, a refused shader (exit code 1).
    #[error("{0}")]
    Gpu(String),
    /// A file could not be had from the network (exit code 1).
    #[error("{0}")]
    Network(String),
    /// Training went where it cannot go on from, as a loss that is not a number (exit code 1).
    #[error("{0}")]
    Training(String),
    /// The run was stopped by the user after its checkpoint was written (exit code 130).
    #[error("{0}")]
    Interrupted(String),
}

impl Error {
    /// Process exit code: 1 run-time failure, 2 usage, configuration or data (missing and unreadable files included), 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Io { source, .. } if is_of_the_path(source.kind()) => 2,
            Error::Io { .. } | Error::Gpu(_) | Error::Network(_) | Error::Training(_) => 1,
            Error::Config(_) | Error::Data(_) => 2,
            Error::Interrupted(_) => 130,
        }
    }
}

/// A message in one line of bearable length. Names that files hold are in it: none of them may end the line, steer the terminal, or fill it.
pub(crate) struct OneLine<'a>(pub &'a str);

impl OneLine<'_> {
    /// Most characters before and after what is left out.
    const MOST: usize = 2000;
}

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| {
            if c.is_whitespace() {
                ' '
            } else if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        let length = self.0.chars().count();
        let left_out = if length > 2 * Self::MOST { Self::MOST..length - Self::MOST } else { length..length };
        for (i, c) in self.0.chars().enumerate().filter(|(i, _)| !left_out.contains(i)) {
            if i == left_out.end && i < length {
                f.write_str(" … ")?;
            }
            f.write_char(plain(c))?;
        }
        Ok(())
    }
}

/// An option as its user writes it: `--batch-size` on the command line, `batchSize` in a browser.
pub(crate) fn option_name(key: &str) -> String {
    if cfg!(target_arch = "wasm32") { camel_case(key) } else { format!("--{key}") }
}

/// The name of an option in JavaScript: `clients-per-domain` is `clientsPerDomain`.
pub fn camel_case(key: &str) -> String {
    let mut parts = key.split('-');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |name, part| name + &part[..1].to_ascii_uppercase() + &part[1..])
}

/// Whether a path is at fault where the system says this, and not the machine.
fn is_of_the_path(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
    )
}

/// Why a file could not be read or written, in plain words where the system's are not.
fn reason(source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::NotFound => "there is no such file or folder: check the path".into(),
        ErrorKind::PermissionDenied => "permission denied: check who may read and write it".into(),
        ErrorKind::IsADirectory => "it is a folder: name a file".into(),
        ErrorKind::NotADirectory => "this path, or a part of it, is a file and not a folder: check the path".into(),
        ErrorKind::AlreadyExists => "a file of this name exists already: name another".into(),
        ErrorKind::InvalidFilename => "the name is too long or has characters that are not allowed: name another".into(),
        _ => source.to_string(),
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_neither_end_the_line_nor_steer_the_terminal() {
        let error = Error::Data("clients.csv: class a\nb\t\x1b[31m\0: é".into());
        assert_eq!(error.to_string(), "clients.csv: class a b \u{fffd}[31m\u{fffd}: é");
        let long = Error::Config(format!("name {}: choose another", "é".repeat(1 << 20))).to_string();
        assert!(long.starts_with("name éé") && long.ends_with("éé: choose another") && long.contains("é … é"), "{long}");
        assert_eq!(long.chars().count(), 4003);
        assert_eq!(Error::Data("x".repeat(4000)).to_string(), "x".repeat(4000));
    }

    #[test]
    fn an_option_has_the_name_that_its_user_writes() {
        assert_eq!(["memory-limit", "lr"].map(option_name), ["--memory-limit", "--lr"]);
        assert_eq!(["memory-limit", "eval-batch-size", "lr"].map(camel_case), ["memoryLimit", "evalBatchSize", "lr"]);
    }

    #[test]
    fn a_wrong_path_is_the_users_and_a_full_disk_the_machines() {
        let error = |kind: ErrorKind| Error::Io { action: "cannot read", path: "a/b".into(), source: kind.into() };
        let missing = error(ErrorKind::NotFound);
        assert_eq!(missing.to_string(), "cannot read a/b: there is no such file or folder: check the path");
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::IsADirectory, ErrorKind::NotADirectory] {
            assert_eq!(error(kind).exit_code(), 2, "{kind}");
        }
        for kind in [ErrorKind::StorageFull, ErrorKind::OutOfMemory, ErrorKind::Interrupted, ErrorKind::Other] {
            assert_eq!(error(kind).exit_code(), 1, "{kind}");
        }
    }
}
