//! Clients given by the user: a CSV file that names every client's pictures.

use super::folders::{Folders, several_pictures, without_images};
use super::tree::few;
use super::unread;
use super::{Dataset, Domain, Holding, LoadOptions, Origin, check_room};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Columns that the first line must name, then those that it may.
const COLUMNS: [&str; 5] = ["client", "image", "class", "split", "domain"];
const NEEDED: usize = 3;
/// The form of the file, for messages.
const FORM: &str = "its first line is client,image,class, and every other names an image";

/// A line of the file; what it does not say is empty.
struct Row {
    client: String,
    image: PathBuf,
    class: String,
    split: String,
    domain: String,
}

/// Where an image goes.
#[derive(Clone, Copy, PartialEq)]
enum Split {
    Train,
    Validation,
    Test,
}

/// The pictures that the CSV file `path` names, and whose they are. Columns, named by the first line in any letter case, between commas,
/// semicolons, tabs or vertical bars (or what a line `sep=;` before it names): `client`, `image` (PNG, JPEG, WebP or BMP, relative to the
/// file), `class`; optionally `split` (`train`, `validation`, `test`; of a client's lines without one, the share
/// `test_ratio` of each class is for testing, the same every time) and `domain` (clients of a domain make a mean of their own).
/// Clients have the order of their first lines. What is unusual is in the notes: classes without training or test images, pictures of
/// several clients or for both training and testing, names that differ only in letter case.
///
/// # Errors
/// [`Error::Data`] naming the line that is wrong, or whose picture is, and for fewer than two classes; [`Error::Io`] where the file cannot
/// be read; [`Error::Config`] where the pictures take more than 8 GiB at their size.
pub fn load_clients(path: &Path, options: &LoadOptions) -> Result<Dataset> {
    let wrong = |what: &dyn std::fmt::Display| Error::Data(format!("{}: {what}", path.display()));
    let reading = |source| Error::Io { action: "cannot read the clients' file", path: path.into(), source };
    let content = std::fs::read(path).map_err(reading)?;
    unread::check(&path.display().to_string(), &content)?;
    if [&b"PK\x03\x04"[..], b"\xd0\xcf\x11\xe0"].iter().any(|start| content.starts_with(start)) {
        return Err(wrong(&"this is a spreadsheet, not a CSV file: save it as CSV UTF-8 (comma separated)"));
    }
    let content = String::from_utf8(content).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        wrong(&format!("line {line}: this is not UTF-8 text: save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"))
    })?;
    let (separator, before, body) = separated(&content);
    let lines = || (before + 1..).zip(body.lines());
    if lines().all(|(_, line)| line.trim().is_empty()) {
        return Err(wrong(&format!("the file is empty: {FORM}")));
    }
    // Else the lines up to the next quote, or all, would be one value.
    if let Some((line, _)) = lines().find(|(_, text)| leaves_quote_open(text, separator)) {
        return Err(wrong(&format!("line {line}: a double quote is opened and not closed on this line: close it, or remove it")));
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).from_reader(body.as_bytes());
    // A record's position is where the one before ended; empty lines follow.
    let line_at = |position: &csv::Position| {
        let rest = body.as_bytes().get(position.byte() as usize..).unwrap_or_default();
        before + position.line() + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count() as u64
    };
    let unread = |error: csv::Error| {
        let Some(line) = error.position().map(line_at) else { return wrong(&error) };
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => wrong(&format!(
                "line {line}: {len} column{}, where the first line names {expected_len}: put {:?} between them, and double quotes around a \
                 value that holds one",
                if *len == 1 { "" } else { "s" },
                char::from(separator)
            )),
            _ => wrong(&error),
        }
    };
    let head = reader.headers().map_err(unread)?.clone();
    let head_line = head.position().map_or(before + 1, line_at);
    let (places, passed) = columns(&head).map_err(|e| wrong(&format!("line {head_line}: {e}")))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_stem().map_or_else(|| "clients".into(), |stem| stem.to_string_lossy().to_string());
    let mut rows: Vec<(u64, Row)> = Vec::new();
    // By client and its picture's first row: the line. By picture: the first row. Rows of pictures that another row has, with that row.
    let (mut seen, mut first, mut repeated) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for record in reader.into_records() {
        let record = record.map_err(unread)?;
        let line = record.position().map_or(0, line_at);
        let [client, image, class, split, domain] = places.map(|place| place.and_then(|i| record.get(i)).unwrap_or_default().to_string());
        // A name composed and one decomposed look the same.
        let [client, class, domain] = [client, class, domain].map(|name| name.nfc().collect::<String>());
        let row = Row { client, image: image.into(), class, split, domain };
        if [&row.client, &row.class].into_iter().any(String::is_empty) || row.image.as_os_str().is_empty() {
            return Err(wrong(&format!("line {line}: client, image and class must all be there")));
        }
        // `./a.png` is `a.png`, and so is a link to it.
        let place = || folder.join(&row.image).components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
        let place = folder.join(&row.image).canonicalize().unwrap_or_else(|_| place());
        let one = *first.entry(place).or_insert(rows.len());
        if let Some(before) = seen.insert((row.client.clone(), one), line) {
            return Err(wrong(&format!("line {line}: client {} has {} already, by line {before}", row.client, row.image.display())));
        }
        if let Some((before, other)) = rows.get(one) {
            if other.class != row.class {
                return Err(wrong(&format!(
                    "line {line}: {} is of class {}, but of class {} by line {before}: give each picture one class",
                    row.image.display(),
                    row.class,
                    other.class
                )));
            }
            repeated.push((rows.len(), one));
        }
        rows.push((line, row));
    }
    if rows.is_empty() {
        return Err(wrong(&format!("it names no image: {FORM}")));
    }
    let classes: Vec<String> = rows.iter().map(|(_, r)| r.class.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if let [class] = classes.as_slice() {
        return Err(wrong(&format!(
            "all its images have one class, {class}, and there is nothing to tell apart: name two classes or more"
        )));
    }
    if classes.len() > 256 {
        return Err(wrong(&format!("{} classes; there can be 256", classes.len())));
    }
    let mut domains: Vec<String> = Vec::new();
    let mut clients: Vec<Holding> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    // Pictures of each domain, to train or validate on and to test on.
    let mut pictures: Vec<[Vec<(PathBuf, u8)>; 2]> = Vec::new();
    // Classes of each domain's pictures to train on and to test on.
    let mut labels: Vec<[Vec<u8>; 2]> = Vec::new();
    let mut line_of: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let images = rows.len();
    let splits = splits(&rows, options.test_ratio).map_err(|e| wrong(&e))?;
    let mut notes = passed;
    notes.extend(repetitions(&rows, &splits, &repeated));
    if options.test_ratio != LoadOptions::TEST_RATIO && rows.iter().all(|(_, row)| !row.split.is_empty()) {
        notes.push(format!("test-ratio = {} has no effect: every line names its split", options.test_ratio));
    }
    for ((line, row), split) in rows.into_iter().zip(splits) {
        let of_domain = if row.domain.is_empty() { &name } else { &row.domain };
        let domain = domains.iter().position(|d| d == of_domain).unwrap_or_else(|| {
            domains.push(of_domain.clone());
            pictures.push([Vec::new(), Vec::new()]);
            labels.push([Vec::new(), Vec::new()]);
            domains.len() - 1
        });
        let place = *places.entry(row.client.clone()).or_insert_with(|| {
            clients.push(Holding { name: row.client.clone(), domain, train: vec![], validation: vec![], test: vec![] });
            clients.len() - 1
        });
        let client = &mut clients[place];
        if client.domain != domain {
            let told = format!("line {line}: client {} is of domain {} and of {of_domain}", row.client, domains[client.domain]);
            return Err(wrong(&told));
        }
        let label = classes.binary_search(&row.class).unwrap_or(0) as u8;
        let set = &mut pictures[domain][usize::from(split == Split::Test)];
        let list = match split {
            Split::Train => &mut client.train,
            Split::Validation => &mut client.validation,
            Split::Test => &mut client.test,
        };
        if split != Split::Validation {
            labels[domain][usize::from(split == Split::Test)].push(label);
        }
        list.push(set.len() as u32);
        let picture = folder.join(row.image);
        line_of.entry(picture.clone()).or_insert(line);
        set.push((picture, label));
    }
    check_room(images, options.size)?;
    for (domain, [train, test]) in domains.iter().zip(labels) {
        notes.extend(without_images(domain, &classes, "training", train.into_iter()));
        notes.extend(without_images(domain, &classes, "test", test.into_iter()));
    }
    let named = clients.iter().map(|client| client.name.clone()).collect();
    for (what, names) in [("classes", classes.clone()), ("clients", named), ("domains", domains.clone())] {
        notes.extend(cased(what, names));
    }
    let mut loaded = Vec::new();
    for (domain, [train, test]) in domains.into_iter().zip(pictures) {
        let read = Folders::of(classes.clone(), train, test).load(options.size, options.cache.as_deref());
        let (train, test, several) = read.map_err(|error| of_line(error, &line_of, &wrong))?;
        notes.extend(several_pictures(&domain, folder, &several));
        if let Some((split, _)) = [("train", &train), ("test", &test)].into_iter().find(|(_, set)| set.is_empty()) {
            return Err(wrong(&format!(
                "domain {domain} has no image to {split} on: write {split} into the column split of some of its lines, or name more images of \
                 each class and client"
            )));
        }
        loaded.push(Domain { name: domain, origin: Origin::Genuine, train, test, validation: 0 });
    }
    let mut set = Dataset::new(name, classes, loaded)?;
    set.clients = clients;
    set.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", path.display())));
    Ok(set)
}

/// What is between the columns, the lines before the one that names them, and the text after those lines. It is what spreadsheets write
/// and read in a line `sep=;` of its own, else a comma, or what the first line has instead.
fn separated(content: &str) -> (u8, u64, &str) {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let (first, rest) = content.split_once('\n').unwrap_or((content, ""));
    let stated = first.trim_start_matches('"').as_bytes();
    if let (Some(head), Some(separator)) = (stated.get(..4), stated.get(4).filter(|byte| byte.is_ascii()))
        && head.eq_ignore_ascii_case(b"sep=")
    {
        return (*separator, 1, rest);
    }
    let head = content.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    (b",;\t|".iter().copied().find(|byte| head.as_bytes().contains(byte)).unwrap_or(b','), 0, content)
}

/// Whether a value of this line begins with a double quote that the line does not close.
fn leaves_quote_open(line: &str, separator: u8) -> bool {
    // Two quotes in a quoted value stand for one: it closes and opens again.
    let (mut quoted, mut may_open) = (false, true);
    for byte in line.bytes() {
        if byte == b'"' && (quoted || may_open) {
            (quoted, may_open) = (!quoted, true);
        } else {
            may_open = byte == separator;
        }
    }
    quoted
}

/// What is unusual about pictures that several rows name, in words: `repeated` pairs each such row with the first of its picture.
fn repetitions(rows: &[(u64, Row)], splits: &[Split], repeated: &[(usize, usize)]) -> Vec<String> {
    let (mut leaked, mut shared) = (Vec::new(), Vec::new());
    for (row, first) in repeated {
        let (line, picture) = (rows[*row].0, rows[*row].1.image.display());
        let both = (splits[*row] == Split::Test) != (splits[*first] == Split::Test);
        if both { &mut leaked } else { &mut shared }.push(format!("{picture} (lines {} and {line})", rows[*first].0));
    }
    let count = |all: &[String]| if all.len() == 1 { "1 picture is".to_string() } else { format!("{} pictures are", all.len()) };
    let mut notes = Vec::new();
    if !leaked.is_empty() {
        notes.push(format!("{} both for training and for testing: {}", count(&leaked), few(&leaked)));
    }
    if !shared.is_empty() {
        notes.push(format!("{} of more than one client: {}", count(&shared), few(&shared)));
    }
    notes
}

/// Which of these names differ only in letter case, in words.
fn cased(what: &str, mut names: Vec<String>) -> Option<String> {
    names.sort_by_key(|name| (name.to_lowercase(), name.clone()));
    let pairs = names.windows(2).filter(|two| two[0].to_lowercase() == two[1].to_lowercase());
    let pairs: Vec<String> = pairs.map(|two| format!("{} and {}", two[0], two[1])).collect();
    (!pairs.is_empty()).then(|| format!("{} differ only in letter case, and are different {what}", few(&pairs)))
}

/// The error of a picture with the line that names it.
fn of_line(error: Error, line_of: &BTreeMap<PathBuf, u64>, wrong: &dyn Fn(&dyn std::fmt::Display) -> Error) -> Error {
    let (line, hint) = match &error {
        Error::Io { path, .. } if error.exit_code() == 2 => {
            let path_text = path.to_string_lossy();
            let hint = match () {
                () if path_text.contains("://") => "; pictures are not fetched: download it first",
                () if path_text.contains('\\') && cfg!(not(windows)) => "; write / between folders",
                () => "",
            };
            (line_of.get(path), hint)
        }
        Error::Data(what) => {
            (line_of.iter().find(|(path, _)| what.starts_with(&format!("{}: ", path.display()))).map(|(_, line)| line), "")
        }
        _ => (None, ""),
    };
    match line {
        Some(line) => wrong(&format!("line {line}: {error}{hint}")),
        None => error,
    }
}

/// The place of each of the [`COLUMNS`] in a line, and in words the columns that are passed over: those without a name, and those that
/// number the lines, which pandas writes before the others, under no name or, once read and written again, under its own.
fn columns(head: &csv::StringRecord) -> std::result::Result<([Option<usize>; COLUMNS.len()], Vec<String>), String> {
    let found: Vec<String> = head.iter().map(str::to_lowercase).collect();
    let is_unnamed = |name: &&String| name.is_empty() || name.starts_with("unnamed:");
    let numbering = found.iter().take_while(is_unnamed).count();
    let names: Vec<&String> = found.iter().filter(|name| !is_unnamed(name)).collect();
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(format!("the column {:?} is there twice: leave one out", twice.1));
    }
    let places = COLUMNS.map(|column| found.iter().position(|name| name == column));
    let missing: Vec<&str> = COLUMNS[..NEEDED].iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(name, _)| *name).collect();
    let unknown: Vec<&str> = names.iter().map(|name| name.as_str()).filter(|name| !COLUMNS.contains(name)).collect();
    let wanted = "the first line must name the columns client, image and class, and may name split and domain";
    let has = head.iter().collect::<Vec<_>>().join(", ");
    match (missing.as_slice(), unknown.as_slice()) {
        ([], []) => {
            let unnamed = found.iter().enumerate().filter(|(_, name)| is_unnamed(name));
            let passed = unnamed.map(|(i, _)| {
                let why = if i < numbering { "it numbers the lines" } else { "it has no name" };
                format!("the column {:?} is passed over: {why}", head.get(i).unwrap_or_default())
            });
            Ok((places, passed.collect()))
        }
        ([missing], [unknown]) => {
            Err(format!("there is no column {missing}, but one named {unknown:?}: rename it; {wanted}; found: {has}"))
        }
        ([], unknown) => Err(format!("unknown column {:?}: remove it; {wanted}; found: {has}", unknown.join(", "))),
        (missing, _) => Err(format!("there is no column {}; {wanted}; found: {has}", missing.join(" and no column "))),
    }
}

/// The split of every line: that which it says, or else one that depends on its place among the client's lines of its class alone.
fn splits(rows: &[(u64, Row)], test_ratio: f64) -> std::result::Result<Vec<Split>, String> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut all = Vec::new();
    for (line, row) in rows {
        all.push(match row.split.to_lowercase().as_str() {
            "train" | "training" => Split::Train,
            "validation" | "valid" | "val" => Split::Validation,
            "test" | "testing" => Split::Test,
            "" => {
                // The n-th is for testing where n · ratio passes a whole number.
                let n = counts.entry((&row.client, &row.class)).or_default();
                *n += 1;
                let passed = |n: u64| (n as f64 * test_ratio + 0.5).floor();
                if passed(*n) > passed(*n - 1) { Split::Test } else { Split::Train }
            }
            _ => return Err(format!("line {line}: split {:?}: it is train, validation or test, or left empty", row.split)),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Dataset> {
        let mut set = load_with_ratio(text)?;
        // The share is for lines without a split.
        set.notes.retain(|note| !note.contains("test-ratio"));
        Ok(set)
    }

    fn load_with_ratio(text: &str) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        for (i, name) in ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"].iter().enumerate() {
            image::RgbImage::from_pixel(2, 2, image::Rgb([i as u8 * 10; 3])).save(folder.path().join(name)).unwrap();
        }
        let file = folder.path().join("wards.csv");
        std::fs::write(&file, text).unwrap();
        load_clients(&file, &LoadOptions { size: (2, 2), test_ratio: 0.5, cache: None })
    }

    #[test]
    fn clients_have_the_pictures_that_they_are_given() {
        let set = load(
            "client,image,class,split,domain\n\
             Ulm, a.png, cat, train, south\n\
             Kiel, b.png, dog, train, north\n\
             Ulm, c.png, dog, test, south\n\
             Kiel, a.png, cat, test, north\n\
             Ulm, d.png, cat, validation, south\n\
             Kiel, e.png, cat, train, north\n",
        )
        .unwrap();
        assert_eq!((set.name.as_str(), set.classes.as_slice()), ("wards", ["cat".to_string(), "dog".to_string()].as_slice()));
        let named: Vec<&str> = set.domains.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(named, ["south", "north"]);
        let of = |name: &str, domain, train: &[u32], validation: &[u32]| Holding {
            name: name.into(),
            domain,
            train: train.to_vec(),
            validation: validation.to_vec(),
            test: vec![0],
        };
        assert_eq!(set.clients, [of("Ulm", 0, &[0], &[1]), of("Kiel", 1, &[0, 1], &[])]);
        assert_eq!(
            (set.domains[0].train.labels.as_slice(), set.domains[1].train.labels.as_slice()),
            ([0, 0].as_slice(), [1, 0].as_slice())
        );
        assert_eq!(set.domains[1].train.image(1), [40; 12]);
    }

    #[test]
    fn lines_without_a_split_are_split_by_class() {
        let set = load("image,class,client\na.png,x,1\nb.png,x,1\nc.png,x,1\nd.png,y,1\ne.png,x,1\nf.png,y,1\n").unwrap();
        assert_eq!((set.clients[0].train.len(), set.clients[0].test.len()), (3, 3));
        assert_eq!(set.domains[0].test.class_counts(2), [2, 1]);
        assert_eq!(set.domains[0].name, "wards");
    }

    #[test]
    fn a_chosen_test_ratio_without_effect_is_noted() {
        let notes = |text: &str| load_with_ratio(text).unwrap().notes;
        let stated = notes("client,image,class,split\n1,a.png,x,train\n1,b.png,y,train\n1,c.png,x,test\n1,d.png,y,test\n");
        assert!(stated.iter().any(|note| note.ends_with("test-ratio = 0.5 has no effect: every line names its split")), "{stated:?}");
        let drawn = notes("client,image,class,split\n1,a.png,x,train\n1,b.png,y,train\n1,c.png,x,test\n1,d.png,y,\n1,e.png,y,\n");
        assert!(!drawn.iter().any(|note| note.contains("test-ratio")), "{drawn:?}");
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let told = |text: &str| load(text).unwrap_err().to_string();
        assert!(told("client,image,class\n").contains("names no image"));
        assert!(told("client,image\n1,a.png\n").contains("class"));
        assert!(told("client,image,class,colour\n1,a.png,x,red\n").contains("colour"));
        assert!(told("client,image,class\n1,a.png,x\n,b.png,x\n").contains("line 3"));
        assert!(told("client,image,class\n1,a.png,x\n1,a.png,x\n").contains("by line 2"));
        assert!(told("client,image,class\n1,a.png,x\n1,./a.png,x\n").contains("by line 2"));
        assert!(told("client,image,class\ncaf\u{e9},a.png,x\ncafe\u{301},a.png,x\n").contains("by line 2"));
        assert!(told("client,image,class,split\n1,a.png,x,test\n1,b.png,y,best\n").contains("line 3: split \"best\""));
        assert!(told("client,image,class,domain\n1,a.png,x,n\n1,b.png,y,s\n").contains("line 3: client 1 is of domain n and of s"));
        // Empty lines count, whatever ends a line.
        for end in ["\n", "\r\n"] {
            let told = |text: &str| told(&text.replace('\n', end));
            let before = "\nclient,image,class\n\n\n1,a.png,\"two\"\n\n";
            assert!(told(&format!("{before},b.png,x\n")).contains("line 7: client"), "{}", told(&format!("{before},b.png,x\n")));
            let twice = told(&format!("{before}1,a.png,x"));
            assert!(twice.contains("line 7: ") && twice.contains("by line 5"), "{twice}");
            let short = told(&format!("{before}1,b.png\n"));
            assert!(
                short.ends_with(
                    "line 7: 2 columns, where the first line names 3: put ',' between them, and double quotes around a value that holds one"
                ),
                "{short}"
            );
        }
        assert!(told("\u{feff}client,image,class\n\n,a.png,x\n").contains("line 3"));
        let test = "client,image,class,split\n1,a.png,x,train\n1,b.png,y,train\n";
        let none = "domain wards has no image to test on: write test into the column split of some of its lines, or name more images of each class \
                    and client";
        assert!(told(test).ends_with(none), "{}", told(test));
        assert!(told(&test.replace("train", "Testing")).contains("domain wards has no image to train on: write train into"));
    }

    #[test]
    fn the_first_line_names_the_columns() {
        let wanted = "the first line must name the columns client, image and class, and may name split and domain";
        let lines = "1,a.png,x\n1,b.png,y\n1,c.png,x\n1,d.png,y\n";
        let told = |head: &str| {
            let error = load(&format!("{head}\n{lines}")).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string().split_once("wards.csv: ").unwrap().1.to_string()
        };
        assert_eq!(
            told("client,image,label"),
            format!("line 1: there is no column class, but one named \"label\": rename it; {wanted}; found: client, image, label")
        );
        assert_eq!(told("client,image"), format!("line 1: there is no column class; {wanted}; found: client, image"));
        assert_eq!(
            told("1,a.png,x"),
            format!("line 1: there is no column client and no column image and no column class; {wanted}; found: 1, a.png, x")
        );
        assert_eq!(
            told("client,image,class,age"),
            format!("line 1: unknown column \"age\": remove it; {wanted}; found: client, image, class, age")
        );
        assert_eq!(told("client,image,class,Class"), "line 1: the column \"class\" is there twice: leave one out");

        // Letter case, a byte-order mark, spreadsheets' separators and spaces change nothing.
        let plain = load(&format!("client,image,class\n{lines}")).unwrap();
        assert!(plain.notes.is_empty());
        for text in [
            format!("\u{feff}Client, IMAGE ,Class\n{lines}"),
            format!("\nclient;image;class\n{}", lines.replace(',', ";")),
            format!("client\timage\tclass\r\n{}", lines.replace(',', "\t")),
        ] {
            assert_eq!(load(&text).unwrap().clients, plain.clients, "{text}");
        }
        // pandas numbers the lines.
        let numbered = "0,1,a.png,x\n1,1,b.png,y\n2,1,c.png,x\n3,1,d.png,y\n";
        for (head, name) in [("", ""), ("Unnamed: 0", "Unnamed: 0")] {
            let set = load(&format!("{head},client,image,class\n{numbered}")).unwrap();
            assert_eq!(set.clients, plain.clients);
            let [note] = set.notes.as_slice() else { panic!("{:?}", set.notes) };
            assert!(note.ends_with(&format!("wards.csv: the column {name:?} is passed over: it numbers the lines")), "{note}");
        }
        let split = load("client,image,class,split\n1,a.png,x,Train\n1,b.png,y,VAL\n1,c.png,y,Test\n").unwrap();
        assert_eq!([split.clients[0].train.len(), split.clients[0].validation.len(), split.clients[0].test.len()], [1, 1, 1]);
    }

    /// The message of an error, or the notes, after the file's name.
    fn said(text: &str) -> std::result::Result<Vec<String>, String> {
        let after = |told: String| told.split_once("wards.csv: ").expect("the file's name").1.to_string();
        match load(text) {
            Ok(set) => Ok(set.notes.into_iter().map(after).collect()),
            Err(error) => {
                assert_eq!(error.exit_code(), 2);
                Err(after(error.to_string()))
            }
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_swallows_no_lines() {
        let rows = "1,a.png,x,train\n1,b.png,y,train\n1,c.png,x,test\n1,d.png,y,test\n";
        let whole = format!("client,image,class,split\n{rows}");
        assert_eq!(said(&whole), Ok(vec![]));
        for (from, to, line) in [("b.png", "\"b.png", 3), ("1,c.png", "\"1,c.png", 4), ("y,test", "y,\"test", 5), ("class", "\"class", 1)] {
            let told = said(&whole.replacen(from, to, 1)).unwrap_err();
            assert_eq!(told, format!("line {line}: a double quote is opened and not closed on this line: close it, or remove it"));
        }
        let quoted = "client,image,class,split\n\"1\",\"a.png\",\"an \"\"x\"\"\",\"train\"\n1,b.png,5\" y,train\n1,c.png,5\" y,test\n1,d.png,\"an \"\"x\"\"\",test\n";
        assert_eq!(load(quoted).unwrap().classes, ["5\" y", "an \"x\""]);
        assert!(!leaves_quote_open("\"\",\"a;b\"", b',') && leaves_quote_open("\"a\"\",b", b',') && leaves_quote_open("a;\"", b';'));
    }

    #[test]
    fn files_of_spreadsheets_are_read_or_refused_with_what_to_do() {
        let plain = load("client,image,class\n1,a.png,x\n1,b.png,y\n1,c.png,x\n1,d.png,y\n").unwrap();
        for text in [
            "sep=;\r\nclient;image;class\r\n1;a.png;x\r\n1;b.png;y\r\n1;c.png;x\r\n1;d.png;y\r\n",
            "\u{feff}SEP=\t\nclient\timage\tclass\n1\ta.png\tx\n1\tb.png\ty\n1\tc.png\tx\n1\td.png\ty\n",
            "client|image|class\n1|a.png|x\n1|b.png|y\n1|c.png|x\n1|d.png|y\n",
        ] {
            let set = load(text).unwrap();
            assert_eq!((&set.clients, &set.notes), (&plain.clients, &plain.notes), "{text}");
        }
        assert_eq!(said("sep=;\nclient;image;class\n1;a.png;x\n1;;y\n"), Err("line 4: client, image and class must all be there".into()));
        // pandas numbers the lines twice, and a spreadsheet ends them with a separator.
        let numbered = "Unnamed: 0.1,Unnamed: 0,client,image,class,\n0,0,1,a.png,x,\n1,1,1,b.png,y,\n2,2,1,c.png,x,\n3,3,1,d.png,y,\n";
        assert_eq!(load(numbered).unwrap().clients, plain.clients);
        assert_eq!(
            said(numbered),
            Ok(vec![
                "the column \"Unnamed: 0.1\" is passed over: it numbers the lines".into(),
                "the column \"Unnamed: 0\" is passed over: it numbers the lines".into(),
                "the column \"\" is passed over: it has no name".into(),
            ])
        );
        let empty = "the file is empty: its first line is client,image,class, and every other names an image";
        assert_eq!([said(""), said("\n \n"), said("\u{feff}")], [empty; 3].map(|told| Err(told.to_string())));
        let of_bytes = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let error = load_clients(file.path(), &LoadOptions::new((2, 2))).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string().split_once(": ").unwrap().1.to_string()
        };
        let sheet = "this is a spreadsheet, not a CSV file: save it as CSV UTF-8 (comma separated)";
        assert_eq!(of_bytes(b"PK\x03\x04\x14\x00"), sheet);
        assert_eq!(of_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), sheet);
        let encoding = "this is not UTF-8 text: save the file as UTF-8 (in a spreadsheet: CSV UTF-8)";
        assert_eq!(of_bytes(b"client,image,class\nM\xfcnchen,a.png,x\n"), format!("line 2: {encoding}"));
        assert_eq!(of_bytes(b"\xff\xfec\x00l\x00"), format!("line 1: {encoding}"));
        assert!(of_bytes(b"version https://git-lfs.github.com/spec/v1\n").starts_with("this is a git-lfs pointer"));
    }

    #[test]
    fn a_picture_that_cannot_be_read_is_named_with_its_line() {
        let told = said("client,image,class\n1,a.png,x\n1,c.png,y\n1,nowhere.png,y\n").unwrap_err();
        assert!(told.starts_with("line 4: cannot read the picture /"), "{told}");
        assert!(told.ends_with("nowhere.png: there is no such file or folder: check the path"), "{told}");
        let told = said("client,image,class\n1,a.png,x\n1,c.png,y\n1,of\\a.png,y\n").unwrap_err();
        assert!(told.starts_with("line 4: ") && (cfg!(windows) || told.ends_with("; write / between folders")), "{told}");
        let address = load("client,image,class\n1,a.png,x\n1,https://b.org/b.png,y\n").unwrap_err().to_string();
        assert!(address.contains("line 3: ") && address.ends_with("; pictures are not fetched: download it first"), "{address}");
        let told = said("client,image,class\n1,a.png,x\n1,c.png,y\n\n1,wards.csv,y\n").unwrap_err();
        assert!(told.starts_with("line 5: ") && told.contains("wards.csv: not a readable PNG"), "{told}");
    }

    #[test]
    fn a_picture_of_several_lines_is_noted_and_of_several_classes_refused() {
        let rows = "client,image,class,split\n1,a.png,x,train\n1,b.png,y,train\n1,c.png,x,test\n1,d.png,y,test\n";
        let with = |more: &str| said(&format!("{rows}{more}"));
        let classes = "is of class y, but of class x by line 2: give each picture one class";
        assert_eq!(with("2,a.png,y,train\n"), Err(format!("line 6: a.png {classes}")));
        assert_eq!(with("1,./a.png,y,test\n"), Err("line 6: client 1 has ./a.png already, by line 2".into()));
        assert_eq!(with("2,./a.png,y,test\n"), Err(format!("line 6: ./a.png {classes}")));
        assert_eq!(
            with("2,a.png,x,train\n2,b.png,y,validation\n2,d.png,y,train\n"),
            Ok(vec![
                "1 picture is both for training and for testing: d.png (lines 5 and 8)".into(),
                "2 pictures are of more than one client: a.png (lines 2 and 6), b.png (lines 3 and 7)".into(),
            ])
        );
    }

    #[test]
    fn classes_of_one_split_and_names_that_differ_in_letter_case_are_noted() {
        assert_eq!(
            said(
                "client,image,class,split\nUlm,a.png,cat,train\nUlm,b.png,Cat,train\nulm,c.png,cat,test\nulm,d.png,dog,test\nulm,e.png,dog,val\n"
            ),
            Ok(vec![
                "wards: class dog has no training images".into(),
                "wards: class Cat has no test images: names that differ in letter case are different classes".into(),
                "Cat and cat differ only in letter case, and are different classes".into(),
                "Ulm and ulm differ only in letter case, and are different clients".into(),
            ])
        );
    }

    #[test]
    fn one_class_is_nothing_to_tell_apart() {
        let error = load("client,image,class\n1,a.png,x\n1,b.png,x\n").unwrap_err();
        assert!(
            error.to_string().ends_with("all its images have one class, x, and there is nothing to tell apart: name two classes or more")
        );
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            load_clients(Path::new("no.csv"), &LoadOptions { size: (2, 2), test_ratio: 0.5, cache: None }).unwrap_err().exit_code(),
            2
        );
    }
}
