//! Finds data sets in a folder: one sub-folder per domain, of arrays or pictures (see `datasets/README.md`).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::folders::{Folders, several_pictures};
use super::layout::{LAYOUTS, Layout, Plan, Refused, Role, domains, layout};
use super::source::{Arrays, Source, files_of, merged};
use super::tree::{Folder, Left, Why, entries, few as names, note};
use super::unread;
use super::{Dataset, Domain, ImageSet, Origin, check_room, resize};
use crate::{Error, Result};

/// The paper's order (budgets rise along it), each domain followed by what may stand in for it; others follow by name.
const ORDER: [&str; 8] = ["mnist", "svhn", "meter-digits", "usps", "synth-digits", "font-digits", "mnist-m", "optdigits"];

/// Stand-ins that a generator made. (`synth-digits` on disk is taken for the published set of that name.)
const GENERATED: [&str; 2] = ["font-digits", "mnist-m-style"];

/// Names, in lower case and without a plural's s, of folders that hold pictures and what belongs to them, rather than a class each.
const PARTS: [&str; 10] = ["image", "img", "picture", "photo", "mask", "label", "annotation", "segmentation", "thumb", "thumbnail"];

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
    /// The share for testing where none is chosen.
    pub const TEST_RATIO: f64 = 0.2;

    /// Images of that size, a fifth of pictures for testing, nothing kept.
    pub fn new(size: (u32, u32)) -> LoadOptions {
        LoadOptions { size, test_ratio: LoadOptions::TEST_RATIO, cache: None }
    }
}

/// The content of a domain's folder.
enum Content {
    /// Arrays, and the files beside them.
    Arrays(Source, Vec<Left>),
    Pictures(Plan),
}

/// A domain that was found.
struct Found {
    name: String,
    path: PathBuf,
    content: Content,
}

/// Reads the domains in the sub-folders of `dir`.
///
/// With `domains` empty, every sub-folder that holds data is taken, in the paper's order; else exactly the named ones, in the given order.
/// A sub-folder holds files of arrays (MNIST's four IDX files, USPS and optdigits text, all plain or gzipped; `.npz` archives with
/// `train_images`, `train_labels`, `test_images`, `test_labels`; CIFAR-10's binary batches, plain or `.tar.gz`) or folders of pictures
/// (PNG, JPEG, WebP, BMP) by split and class. `dir` may also be the folder of a single domain, or hold the splits above the domains; the
/// layouts are listed in `datasets/README.md`. What is left out is counted in the notes, one line per domain. Domains are
/// [`Origin::Genuine`] but for the generated stand-ins `font-digits` and `mnist-m-style`.
///
/// # Errors
/// [`Error::Config`] if a named domain does not exist or is named twice, a side is not 1 to 4096, or the images take more than 8 GiB at
/// that size; [`Error::Io`] if a file of arrays cannot be read; [`Error::Data`] if no domain is found, a folder can be read in two ways,
/// domains have different classes or only one, or a file is damaged, truncated or mislabelled, with the file and the byte or row.
pub fn load_directory(dir: &Path, domains: &[String], options: &LoadOptions) -> Result<Dataset> {
    let size = options.size;
    check_room(0, size)?;
    if dir.is_file() {
        let above = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Err(Error::Config(format!(
            "{}: this is a file and not a folder: give the folder that it is in, --data-dir {}",
            dir.display(),
            above.display()
        )));
    }
    let Here { found, left: beside, refused, mut notes } = find(dir)?;
    // One that is not asked for does not keep the others from being read.
    let wanted: Vec<String> = domains.iter().map(|name| name.nfc().collect()).collect();
    let asked = |refused: &Refused| match &wanted[..] {
        [] => found.is_empty() || !refused.deeper,
        names => names.contains(&refused.name),
    };
    let deeper: Vec<PathBuf> = refused.iter().filter(|r| r.deeper).map(|r| dir.join(&r.name)).collect();
    if found.is_empty() && wanted.is_empty() && deeper.len() > 1 && deeper.len() == refused.len() {
        return Err(Error::Data(format!(
            "{}: the data sets begin one level further down: give {}",
            dir.display(),
            data_dirs(&deeper.iter().collect::<Vec<_>>())
        )));
    }
    if let Some(at) = refused.iter().position(asked) {
        return Err(refused.into_iter().nth(at).map_or_else(|| nothing(dir), |refused| refused.error));
    }
    if found.is_empty() {
        return Err(nothing(dir));
    }
    let twice = |i: usize| found[..i].iter().any(|other| other.name == found[i].name);
    if let Some(i) = (0..found.len()).find(|&i| twice(i) && (wanted.is_empty() || wanted.contains(&found[i].name))) {
        return Err(Error::Data(format!(
            "{}: two folders have the name {}, in composed and in decomposed characters (Unicode NFC and NFD), which look the same: \
             rename one of them, or move its content to the other",
            dir.display(),
            found[i].name
        )));
    }
    let chosen: Vec<&Found> = if domains.is_empty() {
        found.iter().collect()
    } else {
        let by_name = |name: &String| found.iter().find(|f| f.name == *name).ok_or_else(|| unknown(dir, name, &found));
        wanted.iter().map(by_name).collect::<Result<_>>()?
    };
    for (i, Found { name, .. }) in chosen.iter().enumerate() {
        if chosen[..i].iter().any(|other| other.name == *name) {
            return Err(Error::Config(format!("domain {name} is named twice; name it once")));
        }
    }
    let pictures: Vec<Option<Folders>> = chosen
        .iter()
        .map(|domain| match &domain.content {
            Content::Arrays(..) => Ok(None),
            Content::Pictures(plan) => Folders::new(plan, options.test_ratio).map(Some),
        })
        .collect::<Result<_>>()?;
    let classes_of = |i: usize| match (&chosen[i].content, &pictures[i]) {
        (Content::Arrays(source, _), _) => source.classes(),
        (_, folders) => Ok(folders.as_ref().map(|f| f.classes.clone()).unwrap_or_default()),
    };
    let mut classes = classes_of(0)?;
    // As each domain numbers them.
    let mut numbered = vec![classes.clone()];
    for (i, Found { name, .. }) in chosen.iter().enumerate().skip(1) {
        let own = classes_of(i)?;
        let Some(both) = merged(&classes, &own) else {
            let few = |c: &[String]| if c.len() > 4 { format!("{}, … ({})", c[..3].join(", "), c.len()) } else { c.join(", ") };
            // A class folder that was not filled yet is no class.
            let left = chosen.iter().filter_map(|f| if let Content::Pictures(plan) = &f.content { Some(&plan.left) } else { None });
            let empty: Vec<String> = left.flatten().filter(|l| l.why == Why::Empty).map(|l| l.path.display().to_string()).collect();
            let empty = if empty.is_empty() { String::new() } else { format!(" (empty: {})", names(&empty)) };
            // The folders of classes may hold further folders, which are no classes.
            let first = &chosen[0].name;
            let pictures = pictures[0].is_some() && pictures[i].is_some() && !own.iter().any(|class| classes.contains(class));
            let classes_instead = format!("; if {first} and {name} are classes, put their pictures right into those two folders");
            let or = if pictures { classes_instead } else { String::new() };
            return Err(Error::Data(format!(
                "{}: the classes of {first} are {}, those of {name} are {}{}{empty}: choose domains of the same classes with domains{or}",
                dir.display(),
                few(&classes),
                few(&own),
                difference((first, &classes), (name, &own))
            )));
        };
        classes = both;
        numbered.push(own);
    }
    if classes.len() < 2 {
        let advice = match chosen[0].content {
            Content::Arrays(..) => "give labels of two classes or more, or choose other domains with domains".to_owned(),
            Content::Pictures(_) => {
                format!("put the pictures of each class into a folder of its own, or choose other domains with domains; {LAYOUTS}")
            }
        };
        return Err(Error::Data(format!(
            "{}: {} has one class only, {}, and there is nothing to tell apart: {advice}{}",
            dir.display(),
            chosen[0].name,
            classes.join(", "),
            not_read_in([dir, &chosen[0].path].into_iter().take(if chosen[0].path == dir { 1 } else { 2 }))
        )));
    }
    let is_part = |name: &String| PARTS.contains(&name.to_lowercase().trim_end_matches('s'));
    let of_pictures: Vec<String> = chosen.iter().zip(&pictures).filter(|(_, p)| p.is_some()).map(|(f, _)| f.name.clone()).collect();
    for (named, what) in [(&classes, "classes"), (&of_pictures, "domains")] {
        if !of_pictures.is_empty() && named.len() > 1 && named.iter().all(is_part) {
            notes.push(format!(
                "{}: {} are taken for {what}; if they are parts of the same pictures, for example pictures and their masks, keep the \
                 pictures alone, in one folder per class",
                dir.display(),
                names(named)
            ));
        }
    }
    let own_test = |found: &&&Found| !matches!(&found.content, Content::Pictures(plan) if !plan.split);
    let split: Vec<&str> = chosen.iter().filter(own_test).map(|found| found.name.as_str()).collect();
    if options.test_ratio != LoadOptions::TEST_RATIO && !split.is_empty() {
        notes.push(format!(
            "test-ratio = {} has no effect on {}: the data set has a test split of its own there",
            options.test_ratio,
            split.join(", ")
        ));
    }
    let (mut loaded, mut images) = (Vec::new(), 0);
    for ((domain, pictures), numbered) in chosen.iter().zip(&pictures).zip(&numbered) {
        let name = &domain.name;
        // Where the domain's classes are in the order of the others.
        let places: Vec<u8> = numbered.iter().map(|own| classes.iter().position(|class| class == own).unwrap_or(0) as u8).collect();
        let moved = places.iter().enumerate().any(|(own, place)| own != usize::from(*place));
        let origin = if GENERATED.contains(&name.as_str()) { Origin::Generated } else { Origin::Genuine };
        let (mut train, mut test, validation) = match (&domain.content, pictures) {
            (Content::Pictures(plan), Some(folders)) => {
                images += folders.len();
                check_room(images, size)?;
                folders.check_halves(plan, options.test_ratio)?;
                let (train, test, several) = folders.load(size, options.cache.as_deref())?;
                notes.extend(plan.notes.iter().cloned().chain(folders.notes(plan, options.test_ratio)));
                notes.extend(several_pictures(name, &domain.path, &several));
                notes.extend(note(name, &domain.path, &plan.left));
                (train, test, folders.validation)
            }
            (Content::Arrays(source, left), _) => {
                let Arrays { train, test, validation, notes: own } = source.read(if moved { numbered } else { &classes })?;
                notes.extend(own.into_iter().map(|note| format!("{name}: {note}")));
                images += train.labels.len() + test.labels.len();
                check_room(images, size)?;
                notes.extend(note(name, &domain.path, left));
                (resize::image_set(train, size), resize::image_set(test, size), validation)
            }
            _ => continue,
        };
        if moved {
            notes
                .push(format!("{name}: its classes are in another order than those of {}, and are matched by their names", chosen[0].name));
            [&mut train, &mut test].into_iter().flat_map(|set| &mut set.labels).for_each(|label| *label = places[usize::from(*label)]);
        }
        notes.extend(dark(&train).map(|note| format!("{name}: {note}")));
        loaded.push(Domain { name: name.clone(), origin, train, test, validation });
    }
    notes.extend(note(&dir.display().to_string(), dir, &beside));
    notes.extend(not_read(beside.iter().map(|left| &left.path)));
    notes.extend(refused.iter().map(|folder| refusal(dir, folder)));
    notes.extend(part_of_split(dir, &found));
    let name = dir.file_name().map_or(Cow::Borrowed("data"), |n| n.to_string_lossy());
    Ok(Dataset { notes, ..Dataset::new(name, classes, loaded)? })
}

/// What is left out of `dir` and why, its place named once.
fn refusal(dir: &Path, folder: &Refused) -> String {
    let (error, at) = (folder.error.to_string(), dir.display());
    match error.strip_prefix(&format!("{at}/")) {
        Some(inside) => format!("left out: {inside}"),
        None if error.starts_with(&format!("{at}: ")) => format!("left out: {error}"),
        None => format!("left out: {}: {error}", folder.name),
    }
}

/// In what the classes of two domains differ, where their names do not show it at once.
fn difference((first, classes): (&str, &[String]), (name, own): (&str, &[String])) -> String {
    let only = |these: &[String], those: &[String]| these.iter().filter(|class| !those.contains(class)).cloned().collect::<Vec<_>>();
    let (more, others) = (only(classes, own), only(own, classes));
    let lower = |all: &[String]| all.iter().map(|class| class.trim().to_lowercase()).collect::<BTreeSet<_>>();
    let cased = if lower(&more) == lower(&others) { "; names that differ in letter case or spaces are different classes" } else { "" };
    // All of a few names are shown.
    if cased.is_empty() && (more.len() == classes.len() || classes.len().max(own.len()) <= 4) {
        return String::new();
    }
    let lacks: Vec<String> = [(first, &more), (name, &others)]
        .into_iter()
        .filter(|(_, alone)| !alone.is_empty())
        .map(|(domain, alone)| format!("only {domain} has {}", names(alone)))
        .collect();
    format!(" ({}{cased})", lacks.join(", "))
}

/// Checks that these domains are in `dir`, or that the folder is there where none is named, without reading images.
///
/// # Errors
/// [`Error::Config`] for a domain that is not there, with those that are; else as [`load_directory`].
pub fn check_domains(dir: &Path, domains: &[String]) -> Result<()> {
    if domains.is_empty() {
        return Folder::scan(dir).map(|_| ());
    }
    let found = find(dir)?.found;
    let is_there = |name: &&String| found.iter().any(|f| f.name == name.nfc().collect::<String>());
    domains.iter().find(|name| !is_there(name)).map_or(Ok(()), |name| Err(unknown(dir, name, &found)))
}

/// What is in a folder of data.
struct Here {
    /// The domains in the order in which they are taken.
    found: Vec<Found>,
    /// What is part of none of them.
    left: Vec<Left>,
    /// Folders that hold data but are no domains as they are.
    refused: Vec<Refused>,
    notes: Vec<String>,
}

/// Looks for the domains of `dir`.
fn find(dir: &Path) -> Result<Here> {
    let (mut arrays, mut refused) = (Vec::new(), Vec::new());
    let tree = Folder::scan(dir)?;
    for folder in &tree.folders {
        match Source::find(&folder.path) {
            Ok(Some(source)) if hides(&tree, folder) => {
                refused.push(Refused { name: folder.name.clone(), error: beside_pictures(folder, &source), deeper: false });
            }
            Ok(Some(source)) => arrays.push(of_arrays(folder, source)),
            Ok(None) => {}
            Err(error) => refused.push(Refused { name: folder.name.clone(), error, deeper: false }),
        }
    }
    let Layout { plans, left, refused: more, notes } = if arrays.is_empty() && refused.is_empty() {
        let own = Source::find(dir);
        let pictures = layout(&tree).map_err(Error::Data);
        match own {
            // Pictures beside the arrays of the only domain are left out.
            Ok(Some(source)) if !pictures.as_ref().is_ok_and(|l| l.plans.iter().any(|p| p.classes().len() > 1)) => {
                let found = vec![Found { name: own_name(dir), ..of_arrays(&tree, source) }];
                return Ok(Here { found, left: Vec::new(), refused, notes: Vec::new() });
            }
            Ok(Some(source)) => return Err(beside_pictures(&tree, &source)),
            Err(error) if !pictures.as_ref().is_ok_and(|l| !l.plans.is_empty()) => return Err(error),
            _ => pictures?,
        }
    } else {
        let free = |f: &&Folder| arrays.iter().all(|a: &Found| a.path != f.path) && refused.iter().all(|r| r.name != f.name);
        let (with, without): (Vec<&Folder>, Vec<&Folder>) = tree.folders.iter().filter(free).partition(|f| f.has_pictures());
        // Splits beside the arrays are those of one set, as they are without arrays.
        let splits = with.iter().any(|f| Role::within(&f.name).is_some() && !f.kids().is_empty());
        let pictures = Folder { folders: with.iter().copied().cloned().collect(), left: Vec::new(), pictures: Vec::new(), ..tree.clone() };
        let mut layout = match splits.then(|| layout(&pictures)) {
            None => domains(&with),
            Some(Ok(layout)) => layout,
            Some(Err(why)) => {
                let whole = Refused { name: own_name(dir), error: Error::Data(why), deeper: false };
                Layout { refused: vec![whole], ..Layout::default() }
            }
        };
        layout.left.extend(tree.left.iter().cloned());
        layout.left.extend(tree.pictures.iter().map(|path| Left { path: path.clone(), why: Why::Loose }));
        layout.left.extend(without.iter().flat_map(|f| f.all_left()));
        layout
    };
    refused.extend(more);
    let mut found = arrays;
    found.extend(plans.into_iter().map(|plan| {
        let name = if plan.path == dir && plan.name == tree.name { own_name(dir) } else { plan.name.clone() };
        Found { path: plan.path.clone(), content: Content::Pictures(Plan { name: name.clone(), ..plan }), name }
    }));
    let rank = |found: &Found| ORDER.iter().position(|o| *o == found.name.to_lowercase()).unwrap_or(ORDER.len());
    found.sort_by(|a, b| (rank(a), &a.path, &a.name).cmp(&(rank(b), &b.path, &b.name)));
    Ok(Here { found, left, refused, notes })
}

/// Whether the folder of a domain of arrays is as much one of pictures: its folders are classes, or it is a class as those beside it are.
fn hides(tree: &Folder, folder: &Folder) -> bool {
    let flat = |f: &&Folder| !f.pictures.is_empty() && f.kids().is_empty();
    let is_class = flat(&folder) && tree.folders.len() > 1 && tree.folders.iter().all(|f| flat(&f));
    is_class || layout(folder).is_ok_and(|layout| layout.plans.iter().any(|plan| plan.classes().len() > 1))
}

/// Arrays and pictures in one folder, of which either could be meant.
fn beside_pictures(folder: &Folder, source: &Source) -> Error {
    let file = source.files().first().map(|f| f.display().to_string()).unwrap_or_default();
    let what = if folder.kids().is_empty() { "pictures" } else { "folders of pictures" };
    Error::Data(format!("{}: {file} lies beside {what}: move one of them into a folder of its own", folder.path.display()))
}

/// A domain of arrays, with all other files of its folder.
fn of_arrays(folder: &Folder, source: Source) -> Found {
    let mut left = folder.left_whole(Why::Unused);
    let used = source.files();
    left.retain(|l| !used.contains(&l.path));
    left.iter_mut().filter(|l| l.why == Why::Other).for_each(|l| l.why = Why::Unused);
    Found { name: folder.name.clone(), path: folder.path.clone(), content: Content::Arrays(source, left) }
}

/// The name of a domain whose folder was given itself.
fn own_name(dir: &Path) -> String {
    let name = dir.canonicalize().ok().and_then(|d| Some(d.file_name()?.to_str()?.nfc().collect()));
    name.unwrap_or_else(|| "pictures".into())
}

/// A note where nearly all training images look black, as pictures of masks do, or of numbers from 0 to 16.
fn dark(train: &ImageSet) -> Option<String> {
    /// Largest value that is hardly seen.
    const BLACK: u8 = 16;
    let largest = (0..train.len()).map(|i| train.image(i).iter().copied().max().unwrap_or(0));
    let black: Vec<u8> = largest.filter(|&value| value <= BLACK).collect();
    let most = black.iter().copied().max()?;
    if most == 0 {
        let note =
            format!("{} of {} training images are black: all their values are 0; check how they were saved", black.len(), train.len());
        return (10 * black.len() >= 9 * train.len()).then_some(note);
    }
    let factor = if most == 1 { "255".to_owned() } else { format!("255 / {most}") };
    (10 * black.len() >= 9 * train.len()).then(|| {
        let count = format!("{} of {} training images", black.len(), train.len());
        format!("{count} have no value above {most} of 255 and look black; if {most} is white, save {factor} times their values")
    })
}

/// A note where `dir` is one split of a data set, given as if it were a whole one.
fn part_of_split(dir: &Path, found: &[Found]) -> Option<String> {
    let role = Role::of(&own_name(dir))?;
    let above = dir.canonicalize().ok()?.parent()?.to_owned();
    let others = entries(&above).ok()?.into_iter().filter(|p| p.is_dir()).filter_map(|p| p.file_name()?.to_str().and_then(Role::of));
    let drawn = found.iter().any(|f| matches!(&f.content, Content::Pictures(plan) if !plan.split));
    (drawn && others.into_iter().any(|other| other != role)).then(|| {
        format!(
            "{}: this is one split of a data set, and test images are drawn from it: give --data-dir {} to use its own splits",
            dir.display(),
            above.display()
        )
    })
}

/// Up to three of these files that look like data of a kind that is not read, with what to do.
fn not_read<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    files.filter_map(|file| Some(format!("{} {}", file.display(), unread::reason(file)?))).take(3).collect()
}

/// The same of a folder and its sub-folders, to be put at the end of a message.
fn not_read_in<'a>(folders: impl Iterator<Item = &'a Path>) -> String {
    let files: Vec<PathBuf> = folders.filter_map(|path| files_of(path).ok()).flatten().map(|(_, path)| path).collect();
    not_read(files.iter()).iter().map(|what| format!("; {what}")).collect()
}

/// Nothing in `dir` is a domain: names what lies there, and the folder to give instead if there is one further down.
fn nothing(dir: &Path) -> Error {
    let tree = match Folder::scan(dir) {
        Ok(tree) => tree,
        Err(error) => return error,
    };
    let below = further_down(&tree, LEVELS);
    let what = match below[..] {
        [_, ..] => format!("there is data further down: give {}", data_dirs(&below)),
        [] if !tree.pictures.is_empty() => {
            let above = dir.parent().filter(|p| !p.as_os_str().is_empty()).map(|p| format!(", or give the folder above, {}", p.display()));
            format!("put the pictures of each class into a folder of its own{}; {LAYOUTS}", above.unwrap_or_default())
        }
        [] => match arrays_like(&tree) {
            Some(wanted) => format!("{wanted}; see datasets/README.md for all files that are read"),
            None => format!("put each domain into a folder of its own (mnist/, usps/, …), pictures into a folder per class; {LAYOUTS}"),
        },
    };
    let inside: Vec<String> = tree.folders.iter().take(3).map(|f| format!("; {}/ holds {}", f.name, f.listing())).collect();
    let unread = not_read_in(std::iter::once(dir).chain(tree.folders.iter().map(|f| f.path.as_path())));
    Error::Data(format!("{}: no sub-folder holds a data set (found {}{}): {what}{unread}", dir.display(), tree.listing(), inside.concat()))
}

/// Levels below a folder without data that are looked through for data.
const LEVELS: usize = 8;

/// The folders below this one, as many levels down, that hold data; none inside another.
fn further_down(folder: &Folder, levels: usize) -> Vec<&PathBuf> {
    let here = |folder: &Folder| find(&folder.path).is_ok_and(|here| !here.found.is_empty());
    let below = |inner| match levels {
        0 => Vec::new(),
        _ if here(inner) => vec![&inner.path],
        _ => further_down(inner, levels - 1),
    };
    folder.folders.iter().flat_map(below).collect()
}

/// The folders of which one is to be given, up to three of them.
fn data_dirs(folders: &[&PathBuf]) -> String {
    let each = |folder: &&PathBuf| format!("--data-dir {}", folder.display());
    match folders {
        [one] => each(one),
        [all @ .., last] if all.len() < 3 => format!("{} or {}", all.iter().map(each).collect::<Vec<_>>().join(", "), each(last)),
        all => format!("{} or one of {} more", all.iter().take(3).map(each).collect::<Vec<_>>().join(", "), all.len().saturating_sub(3)),
    }
}

/// The files of arrays that those in a folder, and in the folders in it, come nearest to, and what they must be called.
fn arrays_like(tree: &Folder) -> Option<&'static str> {
    let files = std::iter::once(tree).chain(&tree.folders).flat_map(|folder| &folder.left);
    let names: Vec<String> = files.filter_map(|left| Some(left.path.file_name()?.to_str()?.to_lowercase())).collect();
    let any = |fits: &dyn Fn(&str) -> bool| names.iter().any(|name| fits(name));
    let holds = |words: &'static [&str]| move |name: &str| words.iter().any(|word| name.contains(word));
    match () {
        () if any(&holds(&[".npy", ".npz"])) => Some(
            "NumPy files are read by their names: train_images.npy, train_labels.npy, test_images.npy and test_labels.npy, or one data.npz \
             of these arrays",
        ),
        () if any(&holds(&["ubyte", "idx1", "idx3"])) || (any(&holds(&["images"])) && any(&holds(&["labels"]))) => Some(
            "files in MNIST's format are read by their names: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
             t10k-labels-idx1-ubyte, plain or with .gz",
        ),
        () if any(&holds(&["usps", "zip.t"])) => {
            Some("USPS is read from zip.train and zip.test (plain or with .gz), or from usps and usps.t (plain or with .bz2)")
        }
        () if any(&holds(&["optdigits"])) => Some("optical digits are read from optdigits.tra and optdigits.tes, plain or with .gz"),
        () if any(&holds(&["32x32"])) => Some("SVHN is read from train_32x32.mat and test_32x32.mat"),
        () if any(&holds(&["train_x.bin", "test_x.bin", "unlabeled_x.bin", "stl10"])) => Some(
            "STL-10's binary files are not read: load them in Python (rows of 3×96×96 bytes, columns first) and save them with numpy.savez as \
             data.npz with train_images, train_labels, test_images and test_labels",
        ),
        () if any(&holds(&["_batch", "cifar"])) => Some(
            "CIFAR-10 is read from data_batch_1.bin … and test_batch.bin, from data_batch_1 … and test_batch (the Python version), or from the \
             archive under its published name, cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
        ),
        () => None,
    }
}

/// A domain of this name was not found.
fn unknown(dir: &Path, name: &str, found: &[Found]) -> Error {
    let choose = format!("choose from: {}", found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", "));
    let folder = dir.join(name);
    let holds = |f: &&Found| match &f.content {
        Content::Pictures(plan) => plan.pictures.iter().any(|p| p.path.starts_with(&folder)),
        Content::Arrays(source, _) => source.files().iter().any(|file| file.starts_with(&folder)),
    };
    let inside = !name.split('/').any(|part| part == "..");
    match Folder::scan(&folder) {
        Ok(_) if let Some(whole) = found.iter().find(holds).filter(|_| inside) => Error::Config(format!(
            "{}: this folder is a part of the domain {} and no domain itself; {choose}",
            folder.display(),
            whole.name
        )),
        Ok(scanned) if Path::new(name).components().count() == 1 && !name.starts_with('.') => {
            let below = further_down(&scanned, LEVELS);
            let what = match below[..] {
                [] => "see datasets/README.md for the files that are".to_owned(),
                [_, ..] => format!("there is data further down: give {}", data_dirs(&below)),
            };
            Error::Config(format!(
                "{}: the folder holds no data that can be read (found {}): {what}; {choose}{}",
                folder.display(),
                scanned.listing(),
                not_read_in(std::iter::once(folder.as_path()))
            ))
        }
        _ => Error::Config(format!("{}: there is no domain {name:?}; {choose}", dir.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The folder of the embedded files, which has the form of any other data folder.
    fn datasets() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets")
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    /// A picture.
    fn encoded() -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(4, 3, image::Rgb([90, 60, 30])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
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
    fn a_chosen_test_ratio_without_effect_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let picture = encoded();
        for name in ["own/train/a/0.png", "own/train/b/0.png", "own/test/a/1.png", "own/test/b/1.png"] {
            put(dir.path(), name, &picture);
        }
        for i in 0..4 {
            put(dir.path(), &format!("drawn/a/{i}.png"), &picture);
            put(dir.path(), &format!("drawn/b/{i}.png"), &picture);
        }
        let notes = |test_ratio| {
            let set = load_directory(dir.path(), &[], &LoadOptions { test_ratio, ..LoadOptions::new((8, 8)) }).unwrap();
            set.notes.into_iter().filter(|note| note.contains("test-ratio")).collect::<Vec<_>>()
        };
        assert_eq!(notes(0.2), [""; 0]);
        assert_eq!(notes(0.5), ["test-ratio = 0.5 has no effect on own: the data set has a test split of its own there"]);
    }

    #[test]
    fn classes_in_another_order_are_matched_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let batch = |labels: &[u8]| labels.iter().flat_map(|label| [vec![*label], vec![100 + label; 3072]].concat()).collect::<Vec<u8>>();
        for (domain, names, train) in [("one", "cat\ndog\n", [0, 1, 1]), ("two", "dog\ncat\n", [1, 0, 0])] {
            for i in 1..=5 {
                put(dir.path(), &format!("{domain}/data_batch_{i}.bin"), &batch(&train));
            }
            put(dir.path(), &format!("{domain}/test_batch.bin"), &batch(&train[..1]));
            put(dir.path(), &format!("{domain}/batches.meta.txt"), format!("{names} 2 3 4 5 6 7 8 9").replace(' ', "\n").as_bytes());
        }
        let set = load_directory(dir.path(), &[], &LoadOptions::new((32, 32))).unwrap();
        assert_eq!(set.classes[..3], ["cat", "dog", "2"]);
        for domain in &set.domains {
            assert_eq!((&domain.train.labels[..3], &domain.test.labels[..]), (&[0, 1, 1][..], &[0][..]), "{}", domain.name);
        }
        assert_eq!((set.domains[0].train.image(0)[0], set.domains[1].train.image(0)[0]), (100, 101));
        let note = "two: its classes are in another order than those of one, and are matched by their names";
        assert!(set.notes.contains(&note.to_owned()), "{:?}", set.notes);
    }

    #[test]
    fn classes_that_differ_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["ape", "bee", "cat", "dog", "eel"] {
            put(dir.path(), &format!("one/{class}/0.png"), b"");
            put(dir.path(), &format!("two/{}/0.png", if class == "eel" { "Eel" } else { class }), b"");
        }
        let message = || load_directory(dir.path(), &[], &LoadOptions::new((8, 8))).unwrap_err().to_string();
        let said = message();
        let cased =
            "(only one has eel, only two has Eel; names that differ in letter case or spaces are different classes): choose domains";
        assert!(said.contains(cased), "{said}");
        put(dir.path(), "two/fox/0.png", b"");
        assert!(message().contains("(only one has eel, only two has Eel, fox): choose domains"), "{}", message());
    }

    #[test]
    fn a_table_beside_pictures_of_one_class_is_named() {
        let dir = tempfile::tempdir().unwrap();
        ["images/0.png", "images/1.png"].iter().for_each(|name| put(dir.path(), name, b""));
        put(dir.path(), "labels.csv", b"image,label\n0.png,cat\n");
        let said = load_directory(dir.path(), &[], &LoadOptions::new((8, 8))).unwrap_err().to_string();
        let table = "labels.csv is a table, which is not read here: if it names pictures and their classes, give it as --clients-file with the \
                     columns client, image and class";
        assert!(said.contains("has one class only, images") && said.contains(table), "{said}");
    }

    #[test]
    fn data_further_down_are_named_with_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let message = |wanted: &[&str]| load_directory(dir.path(), &named(wanted), &LoadOptions::new((8, 8))).unwrap_err().to_string();
        for domain in ["photo", "sketch"] {
            put(dir.path(), &format!("x/y/{domain}/cat/0.png"), b"");
            put(dir.path(), &format!("x/y/{domain}/dog/0.png"), b"");
        }
        let give = |below: &str| format!("there is data further down: give --data-dir {}", dir.path().join(below).display());
        assert!(message(&[]).contains(&give("x/y")), "{}", message(&[]));
        fs::create_dir(dir.path().join("z")).unwrap();
        fs::rename(dir.path().join("x"), dir.path().join("z/x")).unwrap();
        assert!(message(&[]).contains(&give("z/x/y")) && message(&[]).contains("z/ holds x/"), "{}", message(&[]));
        // Beside a domain, those further down are left out by name, and named where they are asked for.
        put(dir.path(), "real/cat/0.png", &encoded());
        put(dir.path(), "real/cat/1.png", &encoded());
        put(dir.path(), "real/dog/0.png", &encoded());
        put(dir.path(), "real/dog/1.png", &encoded());
        assert!(message(&["z"]).contains(&give("z/x/y")), "{}", message(&["z"]));
        let half = LoadOptions { test_ratio: 0.5, ..LoadOptions::new((8, 8)) };
        let notes = load_directory(dir.path(), &[], &half).unwrap().notes;
        assert!(notes.iter().any(|note| note.contains("4 in a folder that is no part of the data set's layout (z/x/y/photo")), "{notes:?}");
    }

    #[test]
    fn what_is_left_out_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let rows = b"1 ".repeat(257);
        ["a/zip.train", "a/zip.test", "half/zip.train"].iter().for_each(|name| put(dir.path(), name, &rows));
        for name in ["pacs/photo/cat/0.png", "pacs/photo/dog/0.png", "pacs/sketch/cat/0.png", "pacs/sketch/dog/0.png"] {
            put(dir.path(), name, b"not decoded");
        }
        let set = load_directory(dir.path(), &named(&["a"]), &LoadOptions::new((8, 8))).unwrap();
        let left: Vec<&String> = set.notes.iter().filter(|note| note.starts_with("left out: ")).collect();
        let pacs =
            format!("left out: pacs: the data set begins one level further down: give --data-dir {}", dir.path().join("pacs").display());
        assert_eq!(left, [&"left out: half: zip.test (or .gz) missing beside its companions; put it there".to_owned(), &pacs]);
    }

    #[test]
    fn files_of_several_pictures_are_counted_in_a_note() {
        let dir = tempfile::tempdir().unwrap();
        let png = encoded();
        let control = b"acTL\0\0\0\x02\0\0\0\0";
        let mut checksum = flate2::Crc::new();
        checksum.update(control);
        let moving = [&png[..33], &8u32.to_be_bytes(), control, &checksum.sum().to_be_bytes(), &png[33..]].concat();
        for i in 0..2 {
            put(dir.path(), &format!("cat/{i}.png"), if i == 0 { &moving } else { &png });
            put(dir.path(), &format!("dog/{i}.png"), &png);
        }
        let cache = tempfile::tempdir().unwrap();
        // Also where the resized pictures are kept from before.
        for _ in 0..2 {
            let options = LoadOptions { test_ratio: 0.5, cache: Some(cache.path().to_owned()), ..LoadOptions::new((8, 8)) };
            let notes = load_directory(dir.path(), &[], &options).unwrap().notes;
            let note = ": 1 file holds several pictures (cat/0.png): only the first picture of each file is used";
            assert!(notes.iter().any(|said| said.ends_with(note)), "{notes:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_hides_no_other_domain() {
        let dir = tempfile::tempdir().unwrap();
        let rows = b"1 ".repeat(257);
        for name in ["USPS/zip.train", "USPS/zip.test", "half/zip.train", "a/zip.train", "a/zip.test"] {
            put(dir.path(), name, &rows);
        }
        for name in ["pacs/photo/cat/0.png", "pacs/photo/dog/0.png", "pacs/sketch/cat/0.png", "pacs/sketch/dog/0.png"] {
            put(dir.path(), name, b"not decoded");
        }
        let load = |wanted: &[&str]| load_directory(dir.path(), &named(wanted), &LoadOptions::new((8, 8)));
        let names = |set: &Dataset| set.domains.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
        let message = |wanted: &[&str]| load(wanted).unwrap_err().to_string();
        assert!(message(&[]).contains("zip.test (or .gz) missing"), "{}", message(&[]));
        assert!(message(&["half"]).contains("zip.test (or .gz) missing"));
        assert!(message(&["pacs"]).contains("begins one level further down: give --data-dir"), "{}", message(&["pacs"]));
        let one = load(&["a"]).unwrap();
        assert_eq!(names(&one), ["a"]);
        let deeper = |set: &Dataset| set.notes.iter().any(|n| n.starts_with("left out: pacs: ") && n.contains("one level further down"));
        assert!(deeper(&one), "{:?}", one.notes);
        // All domains are wanted: only what is no domain of this folder is left out. The paper's order holds in any letter case.
        fs::remove_dir_all(dir.path().join("half")).unwrap();
        let all = load(&[]).unwrap();
        assert_eq!(names(&all), ["USPS", "a"]);
        assert!(deeper(&all), "{:?}", all.notes);
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
        assert!(empty.contains("zip.train: the file is empty: fetch or save it again"), "{empty}");
        let unknown = message(&["../usps"]);
        assert!(unknown.contains("no domain \"../usps\"; choose from: usps"), "{unknown}");
        assert!(message(&["usps", "usps"]).contains("named twice"));
        put(dir.path(), "two/a.npz", b"");
        put(dir.path(), "two/b.npz", b"");
        assert!(message(&[]).contains("two: it holds 2 .npz files: a, b; put one of them into a folder of its own"));
        let nowhere = load_directory(&dir.path().join("none"), &[], &LoadOptions::new((28, 28))).unwrap_err();
        assert!(
            nowhere.to_string().ends_with("none: there is no such file or folder: check the path") && nowhere.exit_code() == 2,
            "{nowhere}"
        );
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
        assert!(message.contains("t10k-labels-idx1-ubyte.gz: it is cut short after"), "{message}");
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
        assert_eq!(one.domains[0].train.len() + one.domains[0].test.len(), 11);
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

    fn picture(dir: &Path, path: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(3, 3, image::Rgb([99; 3])).save(path).unwrap();
    }

    #[test]
    fn a_validation_split_ends_the_training_set_and_a_missing_test_split_is_drawn() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..5 {
            picture(dir.path(), &format!("pets/Train/cat/{i}.png"));
            picture(dir.path(), &format!("pets/Train/dog/{i}.png"));
        }
        picture(dir.path(), "pets/Val/dog/9.png");
        let set = load_directory(dir.path(), &[], &LoadOptions::new((3, 3))).unwrap();
        let pets = &set.domains[0];
        assert_eq!((pets.name.as_str(), pets.validation, &pets.test.labels[..]), ("pets", 1, &[0, 1][..]));
        assert_eq!(pets.train.labels, [0, 0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(set.notes, ["pets: there is no test split, so the share 0.2 (test-ratio) of the training images is for testing"]);
        // The training folder alone, given as if it were everything.
        picture(dir.path(), "pets/test/cat/0.png");
        let part = load_directory(&dir.path().join("pets/Train"), &[], &LoadOptions::new((3, 3))).unwrap();
        assert!(
            part.notes[0].contains("this is one split of a data set") && part.notes[0].contains("to use its own splits"),
            "{:?}",
            part.notes
        );
    }

    #[test]
    fn classes_without_images_of_a_split_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        ["train/Cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png"].iter().for_each(|p| picture(dir.path(), p));
        let set = load_directory(dir.path(), &[], &LoadOptions::new((3, 3))).unwrap();
        let name = &set.domains[0].name;
        assert_eq!(set.classes, ["Cat", "cat", "dog"]);
        assert_eq!(
            set.notes,
            [
                format!("{name}: class cat has no training images: names that differ in letter case are different classes"),
                format!("{name}: class Cat has no test images: names that differ in letter case are different classes")
            ]
        );
    }

    fn said(dir: &Path, names: &[&str]) -> String {
        load_directory(dir, &named(names), &LoadOptions::new((2, 2))).unwrap_err().to_string().replace(dir.to_str().unwrap(), "SET")
    }

    fn shaded(dir: &Path, path: &str, shade: u8) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(2, 2, image::Rgb([0, shade, 0])).save(path).unwrap();
    }

    /// An IDX set with one image of 2×2 per label, all of one shade.
    fn idx(dir: &Path, labels: &[u8], shade: u8) {
        let count = labels.len() as u32;
        for half in ["train", "t10k"] {
            let images = [[0x0803, count, 2, 2].map(u32::to_be_bytes).concat(), vec![shade; 4 * labels.len()]].concat();
            put(dir, &format!("{half}-images-idx3-ubyte"), &images);
            put(dir, &format!("{half}-labels-idx1-ubyte"), &[[0x0801, count].map(u32::to_be_bytes).concat(), labels.to_vec()].concat());
        }
    }

    #[test]
    fn images_that_look_black_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..10 {
            shaded(dir.path(), &format!("set/a/{i}.png"), 16);
            shaded(dir.path(), &format!("set/b/{i}.png"), 3);
        }
        let notes = || load_directory(&dir.path().join("set"), &[], &LoadOptions::new((2, 2))).unwrap().notes;
        assert_eq!(
            notes(),
            [
                "set: 16 of 16 training images have no value above 16 of 255 and look black; if 16 is white, save 255 / 16 times their values"
            ]
        );
        (0..4).for_each(|i| shaded(dir.path(), &format!("set/a/{i}.png"), 200));
        assert_eq!(notes(), [""; 0]);
        idx(&dir.path().join("bits/x"), &[0, 1], 1);
        let bits = load_directory(&dir.path().join("bits"), &[], &LoadOptions::new((2, 2))).unwrap().notes;
        let wanted = "x: 2 of 2 training images have no value above 1 of 255 and look black; if 1 is white, save 255 times their values";
        assert_eq!(bits, [wanted]);
        for i in 0..10 {
            shaded(dir.path(), &format!("black/a/{i}.png"), 0);
            shaded(dir.path(), &format!("black/b/{i}.png"), 0);
        }
        let black = load_directory(&dir.path().join("black"), &[], &LoadOptions::new((2, 2))).unwrap().notes;
        assert_eq!(black, ["black: 16 of 16 training images are black: all their values are 0; check how they were saved"]);
    }

    #[test]
    fn classes_that_a_domain_lacks_are_noted_when_domains_are_merged() {
        let dir = tempfile::tempdir().unwrap();
        idx(&dir.path().join("few"), &[0, 1], 90);
        idx(&dir.path().join("more"), &[0, 1, 2, 3], 90);
        let set = load_directory(dir.path(), &[], &LoadOptions::new((2, 2))).unwrap();
        assert_eq!(set.notes, ["few: classes 2, 3 have no image"]);
    }

    #[test]
    fn one_class_of_arrays_and_a_split_without_pictures_have_advice() {
        let dir = tempfile::tempdir().unwrap();
        idx(&dir.path().join("x"), &[0, 0], 90);
        assert_eq!(
            said(dir.path(), &[]),
            "SET: x has one class only, 0, and there is nothing to tell apart: give labels of two classes or more, or choose other domains \
             with domains"
        );
        let dir = tempfile::tempdir().unwrap();
        ["a/0.png", "b/0.png"].iter().for_each(|p| shaded(dir.path(), p, 90));
        assert_eq!(
            said(dir.path(), &[]),
            "SET: no picture is left for testing: the share 0.2 of each class, in whole pictures, is for testing; add pictures, or raise \
             test-ratio"
        );
    }

    #[test]
    fn an_empty_class_folder_is_named_where_classes_differ() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["p/a/0.png", "p/b/0.png", "p/c/0.png", "q/a/0.png", "q/b/0.png"] {
            shaded(dir.path(), path, 90);
        }
        fs::create_dir(dir.path().join("q/c")).unwrap();
        assert_eq!(
            said(dir.path(), &[]),
            "SET: the classes of p are a, b, c, those of q are a, b (empty: SET/q/c): choose domains of the same classes with domains"
        );
    }

    #[test]
    fn folders_that_are_no_domains_are_called_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["cat", "dog"] {
            ["train", "test"].iter().for_each(|split| shaded(dir.path(), &format!("{split}/{class}/0.png"), 90));
        }
        let own = own_name(dir.path());
        for part in ["train", "train/cat"] {
            let wanted = format!("SET/{part}: this folder is a part of the domain {own} and no domain itself; choose from: {own}");
            assert_eq!(said(dir.path(), &[part]), wanted);
        }
        assert_eq!(said(dir.path(), &["train/emu"]), format!("SET: there is no domain \"train/emu\"; choose from: {own}"));
        let file = said(&dir.path().join("train/cat/0.png"), &[]);
        assert_eq!(
            file,
            format!("SET: this is a file and not a folder: give the folder that it is in, --data-dir {}/train/cat", dir.path().display())
        );
    }

    #[test]
    fn names_of_domains_that_look_the_same_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for domain in ["\u{e9}t\u{e9}", "e\u{301}te\u{301}", "winter"] {
            ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "a/2.png", "b/2.png"]
                .iter()
                .for_each(|p| shaded(dir.path(), &format!("{domain}/{p}"), 90));
        }
        let wanted = "SET: two folders have the name \u{e9}t\u{e9}, in composed and in decomposed characters (Unicode NFC and NFD), which look \
                      the same: rename one of them, or move its content to the other";
        assert_eq!(said(dir.path(), &[]), wanted);
        assert_eq!(said(dir.path(), &["e\u{301}te\u{301}"]), wanted);
        assert_eq!(load_directory(dir.path(), &named(&["winter"]), &LoadOptions::new((2, 2))).unwrap().domains.len(), 1);
    }

    #[test]
    fn splits_beside_arrays_are_one_domain() {
        let dir = tempfile::tempdir().unwrap();
        idx(&dir.path().join("mnist"), &[0, 1], 90);
        let pictures = |splits: &[&str]| {
            for (split, class) in splits.iter().flat_map(|split| ["0", "1"].map(|class| (split, class))) {
                (0..2).for_each(|i| shaded(dir.path(), &format!("{split}/{class}/{i}.png"), 90));
            }
        };
        let sizes = |names: &[&str]| {
            let set = load_directory(dir.path(), &named(names), &LoadOptions::new((2, 2))).unwrap();
            set.domains.into_iter().map(|d| (d.name, d.train.len(), d.validation, d.test.len())).collect::<Vec<_>>()
        };
        pictures(&["train", "val", "test"]);
        let own = own_name(dir.path());
        assert_eq!(sizes(&[]), [("mnist".to_owned(), 2, 0, 2), (own, 8, 4, 4)]);
        // Another set beside them: whose are the splits?
        pictures(&["photo"]);
        let wanted =
            "SET: found test/, train/, val/ with the names of splits, and photo/ beside: put the splits of each domain into a folder";
        assert!(said(dir.path(), &[]).starts_with(wanted), "{}", said(dir.path(), &[]));
        assert_eq!(sizes(&["mnist"]), [("mnist".to_owned(), 2, 0, 2)]);
        // Figures in a folder of such a name are no split.
        ["train", "val", "test", "photo"].iter().for_each(|f| fs::remove_dir_all(dir.path().join(f)).unwrap());
        shaded(dir.path(), "train/loss.png", 90);
        assert_eq!(sizes(&[]), [("mnist".to_owned(), 2, 0, 2)]);
    }

    #[test]
    fn folders_of_other_than_classes_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str| (0..3).for_each(|i| shaded(dir.path(), &format!("{path}/{i}.png"), 90));
        ["set/COVID/images", "set/COVID/Masks", "set/Normal/images", "set/Normal/Masks"].iter().for_each(|p| put(p));
        let notes = |folder: &str| {
            let set = load_directory(&dir.path().join(folder), &[], &LoadOptions::new((2, 2))).unwrap();
            set.notes
                .into_iter()
                .filter(|n| !n.contains("test split"))
                .map(|n| n.replace(dir.path().to_str().unwrap(), "SET"))
                .collect::<Vec<_>>()
        };
        let ending = "are taken for classes; if they are parts of the same pictures, for example pictures and their masks, keep the pictures \
                      alone, in one folder per class";
        assert_eq!(notes("set"), [format!("SET/set: Masks, images {ending}")]);
        assert_eq!(notes("set/COVID"), [format!("SET/set/COVID: Masks, images {ending}")]);
        ["split/train/images", "split/train/thumbs", "split/test/images", "split/test/thumbs"].iter().for_each(|p| put(p));
        assert_eq!(notes("split"), [format!("SET/split: images, thumbs {ending}")]);
        ["a/images", "a/cat"].iter().for_each(|p| put(p));
        assert_eq!(notes("a"), [""; 0]);
        ["b/images/cat", "b/images/dog", "b/masks/cat", "b/masks/dog"].iter().for_each(|p| put(p));
        assert_eq!(notes("b"), [format!("SET/b: images, masks {}", ending.replace("classes", "domains"))]);
    }

    #[test]
    fn domains_of_different_classes_may_be_meant_as_classes() {
        let dir = tempfile::tempdir().unwrap();
        for split in ["train", "test"] {
            ["animal/cat", "animal/dog", "plant/rose"].iter().for_each(|p| shaded(dir.path(), &format!("{split}/{p}/0.png"), 90));
        }
        assert_eq!(
            said(dir.path(), &[]),
            "SET: the classes of animal are cat, dog, those of plant are rose: choose domains of the same classes with domains; if animal and \
             plant are classes, put their pictures right into those two folders"
        );
    }

    #[test]
    fn every_folder_that_holds_data_further_down_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let sets = |names: &[&str]| names.iter().for_each(|n| idx(&dir.path().join(n), &[0, 1], 90));
        sets(&["x/one", "x/two"]);
        let beginning = "SET: no sub-folder holds a data set (found x/; x/ holds one/, two/): there is data further down: give ";
        assert_eq!(said(dir.path(), &[]), format!("{beginning}--data-dir SET/x"));
        sets(&["y/deep/three"]);
        assert!(said(dir.path(), &[]).ends_with("give --data-dir SET/x or --data-dir SET/y/deep"), "{}", said(dir.path(), &[]));
        sets(&["z/a", "z/b", "zz/a"]);
        let all = said(dir.path(), &[]);
        let wanted = "give --data-dir SET/x, --data-dir SET/y/deep, --data-dir SET/z or one of 1 more";
        assert!(all.ends_with(wanted), "{all}");
        let dir = tempfile::tempdir().unwrap();
        for set in ["one", "two"] {
            ["p/a", "p/b", "q/a", "q/b"].iter().for_each(|p| shaded(dir.path(), &format!("{set}/{p}/0.png"), 90));
        }
        let wanted = "SET: the data sets begin one level further down: give --data-dir SET/one or --data-dir SET/two";
        assert_eq!(said(dir.path(), &[]), wanted);
    }

    #[test]
    fn arrays_beside_pictures_hide_none_of_them() {
        for (pictures, arrays, what) in [
            (&["cat", "dog"][..], "", "folders of pictures"),
            (&["cat", "dog"], "/cat", "pictures"),
            (&["photo/cat", "photo/dog", "sketch/cat", "sketch/dog"], "/photo", "folders of pictures"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            pictures.iter().for_each(|p| shaded(dir.path(), &format!("{p}/0.png"), 90));
            idx(&dir.path().join(&arrays[arrays.len().min(1)..]), &[0, 1], 90);
            let file = format!("SET{arrays}/train-images-idx3-ubyte");
            let wanted = format!("SET{arrays}: {file} lies beside {what}: move one of them into a folder of its own");
            assert_eq!(said(dir.path(), &[]), wanted);
        }
    }

    #[test]
    fn pictures_without_an_ending_are_named() {
        let dir = tempfile::tempdir().unwrap();
        ["cat/0", "dog/0"].iter().for_each(|file| put(dir.path(), file, b"\x89PNG\r\n\x1a\n...."));
        assert_eq!(
            said(dir.path(), &[]),
            "SET/cat: its pictures (0) have no ending such as .png or .jpg, and only files with one are read: add it to their names"
        );
    }

    #[test]
    fn files_that_are_nearly_a_known_set_are_answered_with_its_names() {
        for (files, wanted) in [
            (
                &["x/images.npy", "x/labels.npy"][..],
                "train_images.npy, train_labels.npy, test_images.npy and test_labels.npy, or one data.npz",
            ),
            (&["x/train-images-idx3-ubyte - Copy.gz"], "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"),
            (&["x/train_images", "x/train_labels"], "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"),
            (&["usps.train", "usps.test"], "USPS is read from zip.train and zip.test"),
            (&["x/optdigits.train"], "optical digits are read from optdigits.tra and optdigits.tes"),
            (&["stl10_binary/train_X.bin", "stl10_binary/train_y.bin"], "STL-10's binary files are not read: load them in Python"),
            (&["x/data_batch_1.txt"], "CIFAR-10 is read from data_batch_1.bin"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| put(dir.path(), file, b"1"));
            let said = said(dir.path(), &[]);
            assert!(said.starts_with("SET: no sub-folder holds a data set (found ") && said.contains(wanted), "{said}");
            assert!(said.contains("see datasets/README.md for all files that are read") && !said.contains(LAYOUTS), "{said}");
        }
    }

    #[test]
    fn what_lies_beside_the_domains_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let rows = b"1 ".repeat(257);
        for name in ["usps/zip.train", "usps/zip.test", "usps/README.md", "usps/.DS_Store", "svhn/train.h5", "note.txt"] {
            put(dir.path(), name, &rows);
        }
        let set = load_directory(dir.path(), &[], &LoadOptions::new((8, 8))).unwrap();
        assert_eq!(
            set.notes,
            [
                "usps: classes 0, 2, 3, 4, 5, 6, 7, … (9) have no image".to_string(),
                "usps: 2 left out: 1 hidden (.DS_Store); 1 beside the files that are read (README.md)".to_string(),
                format!("{}: 2 left out: 2 not pictures (note.txt, svhn/train.h5)", dir.path().display()),
                format!("{}/svhn/train.h5 is an HDF5 file, which is not read: {}", dir.path().display(), unread::SAVE_NPZ)
            ]
        );
        let svhn = load_directory(dir.path(), &named(&["svhn"]), &LoadOptions::new((8, 8))).unwrap_err().to_string();
        assert!(svhn.contains("svhn: the folder holds no data that can be read (found train.h5)"), "{svhn}");
        // One level too low, and one too high.
        let low = load_directory(&dir.path().join("usps"), &[], &LoadOptions::new((8, 8))).unwrap();
        assert_eq!(low.domains[0], set.domains[0]);
        let above = tempfile::tempdir().unwrap();
        fs::rename(dir.path(), above.path().join("sets")).unwrap();
        let high = load_directory(above.path(), &[], &LoadOptions::new((8, 8))).unwrap_err().to_string();
        let wanted = format!("there is data further down: give --data-dir {}/sets", above.path().display());
        assert!(high.contains("found sets/; sets/ holds svhn/, usps/, note.txt") && high.ends_with(&wanted), "{high}");
        assert!(svhn.contains("svhn/train.h5 is an HDF5 file, which is not read: "), "{svhn}");
        fs::create_dir(dir.path()).unwrap();
        picture(dir.path(), "0.png");
        let flat = load_directory(dir.path(), &[], &LoadOptions::new((8, 8))).unwrap_err().to_string();
        assert!(flat.contains("(found 0.png)") && flat.contains("put the pictures of each class into a folder of its own"), "{flat}");
    }
}
