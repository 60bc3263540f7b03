//! Clients given by the user: a CSV file that names every client's pictures.

use super::folders::Folders;
use super::{Dataset, Domain, Holding, LoadOptions, Origin, check_room};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Columns that the first line must name, then those that it may.
const COLUMNS: [&str; 5] = ["client", "image", "class", "split", "domain"];
const NEEDED: usize = 3;

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
/// semicolons or tabs: `client`, `image` (PNG, JPEG, WebP or BMP, relative to the file), `class`; optionally `split` (`train`,
/// `validation`, `test`; of a client's lines without one, the share
/// `test_ratio` of each class is for testing, the same every time) and `domain` (clients of a domain make a mean of their own).
/// Clients have the order of their first lines.
///
/// # Errors
/// [`Error::Data`] naming the line that is wrong, or the picture, and for fewer than two classes; [`Error::Io`] where the file or a
/// picture cannot be read; [`Error::Config`] where the pictures take more than 8 GiB at their size.
pub fn load_clients(path: &Path, options: &LoadOptions) -> Result<Dataset> {
    let wrong = |what: &dyn std::fmt::Display| Error::Data(format!("{}: {what}", path.display()));
    let reading = |source| Error::Io { action: "cannot read the clients' file", path: path.into(), source };
    let content = std::fs::read(path).map_err(reading)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(separator(&content)).trim(csv::Trim::All).from_reader(content.as_slice());
    // A record's position is where the one before ended; empty lines follow.
    let line_at = |position: &csv::Position| {
        let rest = content.get(position.byte() as usize..).unwrap_or_default();
        position.line() + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count() as u64
    };
    let unread = |error: csv::Error| {
        let Some(line) = error.position().map(line_at) else { return wrong(&error) };
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                wrong(&format!("line {line}: {len} columns, where the first line names {expected_len}"))
            }
            csv::ErrorKind::Utf8 { err, .. } => wrong(&format!("line {line}: {err}: save the file as UTF-8")),
            _ => wrong(&error),
        }
    };
    let head = reader.headers().map_err(unread)?.clone();
    let (places, passed) = columns(&head).map_err(|e| wrong(&format!("line {}: {e}", head.position().map_or(1, line_at))))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_stem().map_or_else(|| "clients".into(), |stem| stem.to_string_lossy().to_string());
    let mut rows: Vec<(u64, Row)> = Vec::new();
    let mut seen = BTreeMap::new();
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
        // `./a.png` is `a.png`.
        let place: PathBuf = row.image.components().filter(|part| *part != Component::CurDir).collect();
        if let Some(before) = seen.insert((row.client.clone(), place), line) {
            return Err(wrong(&format!("line {line}: client {} has {} already, by line {before}", row.client, row.image.display())));
        }
        rows.push((line, row));
    }
    if rows.is_empty() {
        return Err(wrong(&"it names no image: its first line is client,image,class, and every other names an image"));
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
    let images = rows.len();
    let splits = splits(&rows, options.test_ratio).map_err(|e| wrong(&e))?;
    for ((line, row), split) in rows.into_iter().zip(splits) {
        let of_domain = if row.domain.is_empty() { &name } else { &row.domain };
        let domain = domains.iter().position(|d| d == of_domain).unwrap_or_else(|| {
            domains.push(of_domain.clone());
            pictures.push([Vec::new(), Vec::new()]);
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
        list.push(set.len() as u32);
        set.push((folder.join(row.image), label));
    }
    check_room(images, options.size)?;
    let mut loaded = Vec::new();
    for (domain, [train, test]) in domains.into_iter().zip(pictures) {
        let (train, test) = Folders::of(classes.clone(), train, test).load(options.size, options.cache.as_deref())?;
        loaded.push(Domain { name: domain, origin: Origin::Genuine, train, test, validation: 0 });
    }
    let mut set = Dataset::new(name, classes, loaded)?;
    set.clients = clients;
    set.notes.extend(passed.map(|column| format!("{}: {column} is passed over: it numbers the lines", path.display())));
    Ok(set)
}

/// What is between the columns: a comma, or what spreadsheets write in its place where the first line has no comma.
fn separator(content: &[u8]) -> u8 {
    let head = content.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|byte| head.contains(byte)).unwrap_or(b',')
}

/// The place of each of the [`COLUMNS`] in a line, and in words the column that is passed over, if any: pandas writes the number of a
/// line before it, under no name or, once read and written again, under its own.
fn columns(head: &csv::StringRecord) -> std::result::Result<([Option<usize>; COLUMNS.len()], Option<String>), String> {
    let found: Vec<String> = head.iter().map(str::to_lowercase).collect();
    let is_index = |(i, name): (usize, &String)| i == 0 && (name.is_empty() || name.starts_with("unnamed:"));
    let index = found.iter().enumerate().any(is_index);
    let names = &found[usize::from(index)..];
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(format!("the column {:?} is there twice: leave one out", twice.1));
    }
    let places = COLUMNS.map(|column| found.iter().position(|name| name == column));
    let missing: Vec<&str> = COLUMNS[..NEEDED].iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(name, _)| *name).collect();
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !COLUMNS.contains(name)).collect();
    let wanted = "the first line must name the columns client, image and class, and may name split and domain";
    let has = head.iter().collect::<Vec<_>>().join(", ");
    match (missing.as_slice(), unknown.as_slice()) {
        ([], []) => Ok((places, index.then(|| format!("the column {:?}", head.get(0).unwrap_or_default())))),
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
            "train" => Split::Train,
            "validation" | "valid" | "val" => Split::Validation,
            "test" => Split::Test,
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
        assert!(told("client,image,class\n1,a.png,x\n1,nowhere.png,y\n").contains("nowhere.png"));
        // Empty lines and quoted line ends count, whatever ends a line.
        for end in ["\n", "\r\n"] {
            let told = |text: &str| told(&text.replace('\n', end));
            let before = "\nclient,image,class\n\n\n1,a.png,\"two\nlines\"\n\n";
            assert!(told(&format!("{before},b.png,x\n")).contains("line 8: client"), "{}", told(&format!("{before},b.png,x\n")));
            let twice = told(&format!("{before}1,a.png,x"));
            assert!(twice.contains("line 8: ") && twice.contains("by line 5"), "{twice}");
            let short = told(&format!("{before}1,b.png\n"));
            assert!(short.contains("line 8: 2 columns, where the first line names 3"), "{short}");
        }
        assert!(told("\u{feff}client,image,class\n\n,a.png,x\n").contains("line 3"));
        let test = "client,image,class,split\n1,a.png,x,train\n1,b.png,y,train\n";
        assert!(told(test).contains("test: there is no image"), "{}", told(test));
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
