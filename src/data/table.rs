//! Text tables of what is in a data set and of what every client holds.

use super::Dataset;
use crate::error::OneLine;

/// What one client holds: a row of [`class_table`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClientRow {
    /// Name or number of the client.
    pub name: String,
    /// Name of its domain.
    pub domain: String,
    /// Its budget as it is to be shown, as in `1/8`.
    pub budget: String,
    /// Training images of each class.
    pub train: Vec<usize>,
    /// Validation images of each class.
    pub validation: Vec<usize>,
    /// Test images of each class.
    pub test: Vec<usize>,
}

/// Which rows [`class_table`] prints for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splits {
    /// One row: its training images by class, and the totals of all three splits.
    Train,
    /// Three rows: training, validation and test images by class.
    All,
}

/// An aligned table of the clients' images by class, each line ending in a line feed and, with ten classes and names of
/// usual length, fitting 100 columns. Classes that a client lacks show as `·`. The last row is the sum over clients.
///
/// Counts beyond `classes` are not shown; missing ones count as 0.
pub fn class_table(rows: &[ClientRow], classes: &[String], splits: Splits) -> String {
    let sum = |of: fn(&ClientRow) -> &Vec<usize>| {
        (0..classes.len()).map(|c| rows.iter().map(|row| of(row).get(c).copied().unwrap_or(0)).sum()).collect()
    };
    let total = ClientRow {
        name: "all".into(),
        domain: format!("{} clients", rows.len()),
        budget: String::new(),
        train: sum(|row| &row.train),
        validation: sum(|row| &row.validation),
        test: sum(|row| &row.test),
    };
    let texts = |cells: &[&str]| cells.iter().map(|&c| Cell::left(c)).collect::<Vec<_>>();
    let counts = |counts: &[usize]| (0..classes.len()).map(|c| Cell::count(counts.get(c).copied().unwrap_or(0))).collect::<Vec<_>>();

    let mut lines = Vec::new();
    let mut head = texts(&["client", "domain", "budget"]);
    if splits == Splits::All {
        head.extend(texts(&["split"]));
    }
    // Few columns are left for names, and the first letters tell most classes apart.
    head.extend(classes.iter().map(|class| Cell::right(class.chars().take(5).collect::<String>())));
    head.extend(match splits {
        Splits::Train => ["train", "val", "test"].map(Cell::right).to_vec(),
        Splits::All => vec![Cell::right("images")],
    });
    lines.push(head);
    for row in rows.iter().chain([&total]) {
        let name = texts(&[&row.name, &row.domain, &row.budget]);
        let total = |counts: &[usize]| Cell::count(counts.iter().take(classes.len()).sum());
        match splits {
            Splits::Train => {
                let totals = [&row.train, &row.validation, &row.test].map(|c| total(c));
                lines.push([name, counts(&row.train), totals.to_vec()].concat());
            }
            Splits::All => {
                let parts = [("train", &row.train), ("val", &row.validation), ("test", &row.test)];
                for (i, (split, part)) in parts.into_iter().enumerate() {
                    let name = if i == 0 { name.clone() } else { texts(&["", "", ""]) };
                    lines.push([name, texts(&[split]), counts(part), vec![total(part)]].concat());
                }
            }
        }
    }
    let rules = [1, lines.len() - if splits == Splits::All { 3 } else { 1 }];
    aligned(&lines, &rules)
}

/// What is in a data set: image size, classes, and for every domain its origin and its splits' images by class; the validation split only
/// where the data has one. Each line ends in a line feed.
pub fn describe(dataset: &Dataset) -> String {
    let (height, width) = dataset.image_size();
    let (domains, classes) = (dataset.domains.len(), dataset.classes.len());
    let mut text = format!(
        "{}: {domains} domain{}, {classes} classes, images {height}×{width} RGB\n\n",
        OneLine(&dataset.name),
        if domains == 1 { "" } else { "s" }
    );
    let mut head = ["domain", "origin", "split"].map(Cell::left).to_vec();
    head.push(Cell::right("images"));
    head.extend(dataset.classes.iter().map(|class| Cell::right(class.chars().take(5).collect::<String>())));
    let mut lines = vec![head];
    for (number, domain) in dataset.domains.iter().enumerate() {
        let origin = domain.origin.to_string();
        let validation = validation_counts(dataset, number);
        let train = domain.train.class_counts(classes).iter().zip(&validation).map(|(all, kept)| all.saturating_sub(*kept)).collect();
        for (split, counts) in [("train", train), ("validation", validation), ("test", domain.test.class_counts(classes))] {
            let images = counts.iter().sum();
            if split == "validation" && images == 0 {
                continue;
            }
            let named = if split == "train" { [domain.name.as_str(), &origin, split] } else { ["", "", split] };
            let mut line = named.map(Cell::left).to_vec();
            line.push(Cell::count(images));
            line.extend(counts.into_iter().map(Cell::count));
            lines.push(line);
        }
    }
    text.push_str(&aligned(&lines, &[1]));
    text
}

/// Images of each class that the data itself keeps for validation: of a domain's validation split, or as a file of clients says.
fn validation_counts(dataset: &Dataset, number: usize) -> Vec<usize> {
    let domain = &dataset.domains[number];
    let labels = &domain.train.labels;
    let mut counts = vec![0; dataset.classes.len()];
    let own = labels[labels.len() - domain.validation..].iter();
    let named = dataset.clients.iter().filter(|client| client.domain == number).flat_map(|client| &client.validation);
    own.chain(named.map(|image| &labels[*image as usize])).for_each(|label| counts[usize::from(*label)] += 1);
    counts
}

/// Names are those of files, so a cell is one line of plain characters.
#[derive(Clone)]
struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    fn left(text: impl AsRef<str>) -> Self {
        Self { text: OneLine(text.as_ref()).to_string(), right: false }
    }

    fn right(text: impl AsRef<str>) -> Self {
        Self { text: OneLine(text.as_ref()).to_string(), right: true }
    }

    /// A number; a dot for 0, so that missing classes are seen at once.
    fn count(n: usize) -> Self {
        Self::right(if n == 0 { "·".to_owned() } else { n.to_string() })
    }
}

/// Lines with their columns aligned, two spaces apart after text and one apart after numbers, and a rule above each
/// line of `rules`.
fn aligned(lines: &[Vec<Cell>], rules: &[usize]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let length = |cell: &Cell| cell.text.chars().count();
    let widths: Vec<_> = (0..columns)
        .map(|c| {
            lines
                .iter()
                .filter_map(|line| line.get(c))
                // Columns of small numbers are kept as wide as the others beside them.
                .map(|cell| length(cell).max(if cell.right { 3 } else { 0 }))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut rule = 0;
    for (i, line) in lines.iter().enumerate() {
        let mut out = String::new();
        for (cell, &width) in line.iter().zip(&widths) {
            let pad = " ".repeat(width - length(cell));
            match cell.right {
                true => out.extend([" ", &pad, &cell.text]),
                false => out.extend([&cell.text, &pad, "  "]),
            }
        }
        rule = rule.max(out.chars().count());
        if rules.contains(&i) {
            text.push_str(&"─".repeat(rule));
            text.push('\n');
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Domain, Holding, ImageSet, Origin, digit_names};
    use super::*;

    fn rows() -> Vec<ClientRow> {
        ["1/8", "1/1"]
            .iter()
            .enumerate()
            .map(|(i, budget)| ClientRow {
                name: format!("{i}"),
                domain: "meter-digits".into(),
                budget: (*budget).into(),
                train: (0..10).map(|c| if c == 3 { 0 } else { 100 + c + i }).collect(),
                validation: vec![11; 10],
                test: vec![2000; 10],
            })
            .collect()
    }

    #[test]
    fn table_of_training_images() {
        let expected = "\
client  domain        budget     0   1   2   3   4   5   6   7   8   9 train val  test
──────────────────────────────────────────────────────────────────────────────────────
0       meter-digits  1/8      100 101 102   · 104 105 106 107 108 109   942 110 20000
1       meter-digits  1/1      101 102 103   · 105 106 107 108 109 110   951 110 20000
──────────────────────────────────────────────────────────────────────────────────────
all     2 clients              201 203 205   · 209 211 213 215 217 219  1893 220 40000
";
        let table = class_table(&rows(), &digit_names(), Splits::Train);
        assert_eq!(table.replace(' ', ""), expected.replace(' ', ""), "\n{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn table_of_all_splits() {
        let table = class_table(&rows(), &digit_names(), Splits::All);
        assert_eq!(table.lines().count(), 1 + 1 + 6 + 1 + 3, "\n{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 100));
        assert!(table.lines().nth(3).unwrap().trim_start().starts_with("val"));
    }

    #[test]
    fn names_of_files_neither_end_the_line_nor_steer_the_terminal() {
        let mut row = rows().remove(0);
        (row.name, row.domain) = ("a\nb".into(), "\x1b[31mred".into());
        let classes = ["\x1b[2J".to_string(), "\tx".into()];
        let table = class_table(&[row], &classes, Splits::Train);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.len() == 5 && lines[2].starts_with("a b  "), "{table}");
        assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "{table:?}");
        let set = ImageSet { height: 1, width: 1, pixels: vec![0; 6], labels: vec![0, 1] };
        let domain = Domain { name: "d\x07".into(), origin: Origin::Genuine, train: set.clone(), test: set, validation: 0 };
        let text = describe(&Dataset::new("of\x1b", classes.to_vec(), vec![domain]).unwrap());
        assert!(text.contains("d\u{fffd}  ") && !text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn odd_input_is_shown_not_refused() {
        let mut row = rows().remove(0);
        row.train = vec![1];
        row.test = vec![1; 30];
        let table = class_table(&[row], &digit_names(), Splits::Train);
        assert!(table.contains('·'));
        assert!(class_table(&[], &[], Splits::All).contains("0 clients"));
    }

    #[test]
    fn description_names_origin_and_counts() {
        let set = |labels: Vec<u8>| ImageSet { height: 1, width: 1, pixels: vec![0; 3 * labels.len()], labels };
        let domain =
            |name: &str, origin| Domain { name: name.into(), origin, train: set(vec![0, 0, 1]), test: set(vec![1]), validation: 0 };
        let domains = vec![domain("a", Origin::Genuine), domain("longer", Origin::Generated)];
        let text = describe(&Dataset::new("demo", vec!["x".into(), "y".into()], domains).unwrap());
        assert_eq!(
            text,
            "\
demo: 2 domains, 2 classes, images 1×1 RGB

domain  origin     split   images   x   y
─────────────────────────────────────────
a       genuine    train        3   2   1
                   test         1   ·   1
longer  generated  train        3   2   1
                   test         1   ·   1
"
        );
    }

    #[test]
    fn validation_images_are_not_counted_as_training_images() {
        let set = |labels: Vec<u8>| ImageSet { height: 1, width: 1, pixels: vec![0; 3 * labels.len()], labels };
        let split = Domain { name: "a".into(), origin: Origin::Genuine, train: set(vec![0, 0, 1, 1]), test: set(vec![1]), validation: 1 };
        let shared = Domain { name: "b".into(), validation: 0, ..split.clone() };
        let mut dataset = Dataset::new("demo", vec!["x".into(), "y".into()], vec![split, shared]).unwrap();
        let client =
            |name: &str, train: Vec<u32>, validation: Vec<u32>| Holding { name: name.into(), domain: 1, train, validation, test: vec![] };
        dataset.clients = vec![client("m", vec![1], vec![0]), client("n", vec![3], vec![2])];
        assert_eq!(
            describe(&dataset),
            "\
demo: 2 domains, 2 classes, images 1×1 RGB

domain  origin   split        images   x   y
────────────────────────────────────────────
a       genuine  train             3   2   1
                 validation        1   ·   1
                 test              1   ·   1
b       genuine  train             2   1   1
                 validation        2   1   1
                 test              1   ·   1
"
        );
    }
}
