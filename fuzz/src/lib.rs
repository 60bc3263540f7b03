//! What every fuzz target needs: a reader of bytes whose memory is counted, and a folder in memory for readers of files.

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use peak_alloc::PeakAlloc;
use splitmix_fl::data::{Dataset, LoadOptions, load_directory};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory that a reader may take for each byte of its input.
pub const PER_BYTE: usize = 64;
/// Bytes of memory that a reader may take on top, whatever its input.
pub const FIXED: usize = 32 << 20;
/// The same for a picture, which may be one colour stored in a few bytes.
pub const PICTURE: usize = 1 << 30;
/// The same for rows of which a few bytes make an image.
pub const ROWS: usize = 256 << 20;

/// A picture of 1×1 pixels.
pub const PNG: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9ccHLJ\x06\x00\x02N\x01'\xc0a\x9e\x19\x00\x00\x00\x00IEND\xaeB`\x82";

/// Runs `read` on an input of `bytes` bytes.
///
/// # Panics
/// If it takes more than [`PER_BYTE`]·bytes + `fixed` bytes of memory at any moment: a finding, as any other panic.
pub fn bounded<T>(bytes: usize, fixed: usize, read: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = read();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let most = PER_BYTE * bytes + fixed;
    assert!(taken <= most, "an input of {bytes} bytes took {taken} bytes of memory, more than {most}");
    result
}

/// Checks the message of an error: one line that says something.
///
/// # Panics
/// If it has several lines or none, or holds control characters: a finding.
pub fn check_message(error: &splitmix_fl::Error) {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.chars().any(char::is_control), "no single line: {message:?}");
}

/// A folder of this process in memory, empty.
pub fn folder() -> PathBuf {
    thread_local!(static FOLDER: OnceCell<PathBuf> = const { OnceCell::new() });
    FOLDER.with(|folder| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = folder.get_or_init(|| parent.join(format!("splitmix-fuzz-{}", std::process::id())));
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).expect("a temporary folder can be made");
        folder.clone()
    })
}

/// Writes a file below `folder`, with the folders above it. A path that cannot be made is left out.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        let _ = fs::create_dir_all(parent);
    }
    let _ = fs::write(path, bytes);
}

/// Reads a data folder at 8×8, within the memory for `bytes` bytes and a `fixed` part.
///
/// # Panics
/// For a finding, and for a data set whose own check fails.
pub fn load(folder: &Path, bytes: usize, fixed: usize) -> Option<Dataset> {
    // Small images, so that what a file holds counts and not what it is resized to.
    let options = LoadOptions::new((4, 4));
    match bounded(bytes, fixed, || load_directory(folder, &[], &options)) {
        Ok(dataset) => {
            dataset.check().expect("what was read is a data set");
            Some(dataset)
        }
        Err(error) => {
            check_message(&error);
            None
        }
    }
}

/// `bytes` in a gzip file without compression, so that the fuzzer sees through it.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

/// The parts of an input that its own first bytes divide: two bytes of length, then as many bytes; the last part is what is left.
pub fn parts<const N: usize>(mut bytes: &[u8]) -> [&[u8]; N] {
    std::array::from_fn(|i| {
        let Some((length, rest)) = bytes.split_first_chunk::<2>().filter(|_| i + 1 < N) else {
            return std::mem::take(&mut bytes);
        };
        let (part, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        bytes = rest;
        part
    })
}
