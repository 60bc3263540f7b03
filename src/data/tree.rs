//! What lies in a folder: its pictures, its folders, and everything else with the reason why it is left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::{Error, Result};

/// Endings of the names of pictures that are read, in lower case.
const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp"];
/// Endings of pictures in formats that are not read.
const OTHER_PICTURES: [&str; 16] =
    ["gif", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2", "ppm", "pgm", "pbm", "tga", "ico", "svg", "psd", "dng"];
/// Names that operating systems and archive programs leave behind, in lower case.
const SYSTEM: [&str; 7] = ["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"];
/// Most files and folders of a scan: more pictures than there is room for, and an end for links that multiply.
const MOST: usize = 4_000_000;
/// Deepest nesting of folders.
const DEEPEST: usize = 64;
/// Paths that a note shows for each reason.
const EXAMPLES: usize = 3;

/// Why a file or folder is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Hidden,
    System,
    Gone,
    Circle,
    Format,
    Ending,
    Loose,
    Beside,
    Unused,
    Name,
    Empty,
    Other,
}

impl Why {
    /// The reason, in the words of a note, for `count` of them.
    fn words(self, count: usize) -> &'static str {
        let of = |one, several| if count == 1 { one } else { several };
        match self {
            Why::Hidden => "hidden",
            Why::System => "made by the operating system",
            Why::Gone => of("link to a missing file", "links to missing files"),
            Why::Circle => of("link to a folder above it", "links to a folder above them"),
            Why::Format => {
                of("picture in another format than PNG, JPEG, WebP or BMP", "pictures in other formats than PNG, JPEG, WebP or BMP")
            }
            Why::Ending => {
                of("picture without a picture's ending such as .png or .jpg", "pictures without a picture's ending such as .png or .jpg")
            }
            Why::Loose => of("picture outside the class folders", "pictures outside the class folders"),
            Why::Beside => "in a folder that is no part of the data set's layout",
            Why::Unused => "beside the files that are read",
            Why::Name => "in a folder whose name is not Unicode",
            Why::Empty => of("empty folder", "empty folders"),
            Why::Other => of("not a picture", "not pictures"),
        }
    }

    /// Whether such a file would be a picture of its class if it could be read.
    pub fn is_picture(self) -> bool {
        matches!(self, Why::Gone | Why::Format | Why::Ending)
    }
}

/// A file or an empty folder that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub path: PathBuf,
    pub why: Why,
}

/// A folder and everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub path: PathBuf,
    /// Its name, composed (Unicode NFC), so that the same name typed on two systems is one.
    pub name: String,
    /// Folders that are looked into, by name.
    pub folders: Vec<Folder>,
    /// Files with the ending of a picture, right here.
    pub pictures: Vec<PathBuf>,
    /// What else lies right here, and all files of the folders that are not looked into.
    pub left: Vec<Left>,
}

impl Folder {
    /// Looks through `dir` and the folders in it; links are followed unless they lead to a folder above.
    ///
    /// # Errors
    /// [`Error::Data`] for a folder that cannot be read, folders nested more than 64 deep, or more than 4 000 000 files.
    pub fn scan(dir: &Path) -> Result<Folder> {
        let mut scan = Scan { above: Vec::new(), seen: 0 };
        scan.folder(dir, None)
    }

    /// The pictures here and at any depth below, sorted by path.
    pub fn all_pictures(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        self.visit(&mut |folder| all.extend(folder.pictures.iter().cloned()));
        all.sort();
        all
    }

    /// Whether a picture lies here or below.
    pub fn has_pictures(&self) -> bool {
        !self.pictures.is_empty() || self.folders.iter().any(Folder::has_pictures)
    }

    /// Sub-folders with pictures here or below.
    pub fn kids(&self) -> Vec<&Folder> {
        self.folders.iter().filter(|f| f.has_pictures()).collect()
    }

    /// What the scan left out, here and below.
    pub fn all_left(&self) -> Vec<Left> {
        let mut all = Vec::new();
        self.visit(&mut |folder| all.extend(folder.left.iter().cloned()));
        all
    }

    /// Everything here and below as left out, the pictures for the reason `why`.
    pub fn left_whole(&self, why: Why) -> Vec<Left> {
        let mut all = self.all_left();
        all.extend(self.all_pictures().into_iter().map(|path| Left { path, why }));
        all
    }

    /// Up to three of the names here, for a message: folders with a slash.
    pub fn listing(&self) -> String {
        let mut names: Vec<String> = self.folders.iter().map(|f| format!("{}/", f.name)).collect();
        let file = |path: &PathBuf| path.strip_prefix(&self.path).unwrap_or(path).display().to_string();
        names.extend(self.pictures.iter().chain(self.left.iter().map(|l| &l.path)).map(file).filter(|name| !name.is_empty()));
        few(&names)
    }

    fn visit(&self, see: &mut impl FnMut(&Folder)) {
        see(self);
        self.folders.iter().for_each(|f| f.visit(see));
    }
}

/// Up to three names, and how many more; "nothing" for none.
pub(super) fn few(names: &[impl AsRef<str>]) -> String {
    let mut text = names.iter().take(EXAMPLES).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > EXAMPLES {
        text += &format!(" and {} more", names.len() - EXAMPLES);
    }
    if text.is_empty() { "nothing".into() } else { text }
}

/// One line that counts what was left out by reason, with up to three paths each, relative to `dir`; `None` if nothing was.
pub(super) fn note(name: &str, dir: &Path, left: &[Left]) -> Option<String> {
    let mut by_reason: BTreeMap<Why, Vec<String>> = BTreeMap::new();
    for Left { path, why } in left {
        // A name may hold a line break, and a note is one line.
        let shown = path.strip_prefix(dir).unwrap_or(path).display().to_string();
        by_reason.entry(*why).or_default().push(shown.chars().map(|c| if c.is_control() { '?' } else { c }).collect());
    }
    let reasons: Vec<String> =
        by_reason.iter().map(|(why, paths)| format!("{} {} ({})", paths.len(), why.words(paths.len()), few(paths))).collect();
    (!left.is_empty()).then(|| format!("{name}: {} left out: {}", left.len(), reasons.join("; ")))
}

struct Scan {
    /// The folders on the way here, without links.
    above: Vec<PathBuf>,
    /// Files and folders so far.
    seen: usize,
}

impl Scan {
    /// `outside`: the reason why nothing in this folder counts, if there is one.
    fn folder(&mut self, path: &Path, outside: Option<Why>) -> Result<Folder> {
        let name = path.file_name().map(|n| n.to_string_lossy().nfc().collect()).unwrap_or_default();
        let mut folder = Folder { path: path.to_owned(), name, ..Folder::default() };
        let here = path.canonicalize().map_err(|e| unreadable(path, e))?;
        if self.above.len() >= DEEPEST {
            return Err(Error::Data(format!("{}: folders are nested more than {DEEPEST} deep here: move them up", path.display())));
        }
        let entries = entries(path)?;
        self.seen += entries.len();
        if self.seen > MOST {
            return Err(Error::Data(format!(
                "{}: more than {MOST} files lie up to here: name a smaller folder, or remove links between its folders",
                path.display()
            )));
        }
        if entries.is_empty() {
            folder.left.push(Left { path: path.to_owned(), why: outside.unwrap_or(Why::Empty) });
        }
        self.above.push(here);
        for entry in entries {
            self.entry(entry, outside, &mut folder)?;
        }
        self.above.pop();
        Ok(folder)
    }

    fn entry(&mut self, path: PathBuf, outside: Option<Why>, folder: &mut Folder) -> Result<()> {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let own = match () {
            () if name.starts_with('.') => Some(Why::Hidden),
            () if SYSTEM.contains(&name.as_str()) => Some(Why::System),
            () => None,
        };
        let outside = outside.or(own);
        let Ok(data) = fs::metadata(&path) else {
            folder.left.push(Left { path, why: outside.unwrap_or(Why::Gone) });
            return Ok(());
        };
        if data.is_dir() {
            if path.canonicalize().is_ok_and(|real| self.above.contains(&real)) {
                folder.left.push(Left { path, why: outside.unwrap_or(Why::Circle) });
                return Ok(());
            }
            // A name that is not Unicode could not be given on the command line or shown.
            let unnamed = path.file_name().is_some_and(|n| n.to_str().is_none());
            let outside = outside.or(unnamed.then_some(Why::Name));
            let below = self.folder(&path, outside)?;
            if let Some(why) = outside {
                folder.left.extend(below.left_whole(why));
            } else {
                folder.folders.push(below);
            }
            return Ok(());
        }
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match outside {
            Some(why) => folder.left.push(Left { path, why }),
            None if PICTURES.contains(&ending.as_str()) && data.is_file() => folder.pictures.push(path),
            None => {
                let why = match () {
                    () if OTHER_PICTURES.contains(&ending.as_str()) => Why::Format,
                    () if data.is_file() && begins_as_picture(&path) => Why::Ending,
                    () => Why::Other,
                };
                folder.left.push(Left { path, why });
            }
        }
        Ok(())
    }
}

/// Whether the content of a file is a picture in a format that is read.
fn begins_as_picture(path: &Path) -> bool {
    let mut start = [0; 12];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && (start.starts_with(b"\x89PNG") || start.starts_with(&[0xff, 0xd8, 0xff]) || start[8..] == *b"WEBP")
}

/// What is in `dir`, sorted by name.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = read.map_err(|e| unreadable(dir, e))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(dir: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "cannot read the data folder", path: dir.to_owned(), source }
}
