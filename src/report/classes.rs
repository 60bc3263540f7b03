//! The class table as a picture: a row for each client, a column for each class, the darker the more images.

use super::Clients;
use super::chart::readable;
use crate::{Error, Result};
use plotters::prelude::*;

/// Colour of the cell with the most images; others are more transparent.
const COLOUR: RGBColor = RGBColor(0, 125, 196);
/// Opacity of a cell with next to no images: it must not look empty.
const FAINTEST: f64 = 0.12;

/// Pixels: width of the picture, of the clients' names, height of the classes' names, of the legend, of a line of text, width of a letter.
pub(super) const WIDTH: i32 = 800;
pub(super) const NAMES: i32 = 136;
pub(super) const HEAD: i32 = 24;
const LEGEND: i32 = 48;
pub(super) const LINE: i32 = 13;
const LETTER: i32 = 7;
/// Height of all rows together, where there are many, and of one: at least, at most.
pub(super) const ROWS: i32 = 1200;
pub(super) const ROW: (i32, i32) = (2, 22);
/// Most letters of a client's and of a class's name.
pub(super) const LONGEST: (usize, usize) = (18, 8);

/// Training images of each client by class, as an SVG document.
///
/// # Errors
/// [`Error::Data`] where it cannot be drawn.
pub fn class_picture(clients: &Clients) -> Result<String> {
    let mut svg = String::new();
    draw(clients, &mut svg).map_err(|e| Error::Data(format!("the picture of the clients' classes cannot be drawn: {e}")))?;
    Ok(readable(svg))
}

/// How opaque a cell of `count` images is where the most are `most`: by the root, for the eye tells faint tones apart better.
fn opacity(count: usize, most: usize) -> f64 {
    if count == 0 { 0.0 } else { FAINTEST + (1.0 - FAINTEST) * (count as f64 / most.max(1) as f64).sqrt() }
}

fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most { name.into() } else { name.chars().take(most - 1).chain(['…']).collect() }
}

fn draw(clients: &Clients, svg: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (rows, columns) = (clients.rows.len().max(1) as i32, clients.classes.len().max(1) as i32);
    let row = (ROWS / rows).clamp(ROW.0, ROW.1);
    let bottom = HEAD + rows * row;
    let root = SVGBackend::with_string(svg, (WIDTH as u32, (bottom + LEGEND) as u32)).into_drawing_area();
    let text = ("sans-serif", 12);
    let left = |column: i32| NAMES + (WIDTH - NAMES - 8) * column / columns;
    // Names that have room: all, or every second, third …
    let longest = clients.classes.iter().map(|c| c.chars().count().min(LONGEST.1)).max().unwrap_or(0) as i32;
    let each = ((longest + 1) * LETTER * columns / (WIDTH - NAMES - 8) + 1).max(1);
    for (column, class) in (0..).zip(&clients.classes).step_by(each as usize) {
        root.draw(&Text::new(shortened(class, LONGEST.1), (left(column) + 1, HEAD - LINE - 4), text))?;
    }
    let most = clients.rows.iter().flat_map(|r| &r.train).copied().max().unwrap_or(0);
    let every = (LINE + row - 1) / row;
    // A hair of a gap between cells that are large enough for one.
    let gap = |size: i32| i32::from(size >= 5);
    let mut domain = None;
    for (place, client) in (0..).zip(&clients.rows) {
        let top = HEAD + place * row;
        if place % every == 0 {
            root.draw(&Text::new(shortened(&client.name, LONGEST.0), (2, top + (row - LINE).max(0) / 2), text))?;
        }
        if domain.is_some_and(|before| before != &client.domain) {
            root.draw(&PathElement::new([(0, top), (WIDTH - 8, top)], BLACK.stroke_width(1)))?;
        }
        domain = Some(&client.domain);
        for (column, count) in (0..).zip(&client.train).take(clients.classes.len()).filter(|(_, count)| **count > 0) {
            let (from, to) = (left(column), left(column + 1));
            let corners = [(from, top + gap(row)), ((to - gap(to - from)).max(from + 1), top + row)];
            root.draw(&Rectangle::new(corners, COLOUR.mix(opacity(*count, most)).filled()))?;
        }
    }
    let mut examples = vec![most / 16, most / 4, most / 2, most];
    examples.retain(|count| *count > 0);
    examples.dedup();
    root.draw(&Text::new("training images of a client, by class", (2, bottom + 18), text))?;
    for (place, count) in (0..).zip(examples) {
        let x = 250 + place * 110;
        root.draw(&Rectangle::new([(x, bottom + 16), (x + 24, bottom + 32)], COLOUR.mix(opacity(count, most)).filled()))?;
        root.draw(&Text::new(count.to_string(), (x + 32, bottom + 18), text))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ClientRow;

    fn clients(rows: usize, classes: usize) -> Clients {
        let row = |i: usize| ClientRow {
            name: format!("domain-{i}"),
            domain: format!("domain {}", i % 2),
            budget: "1".into(),
            train: (0..classes).map(|c| if (c + i).is_multiple_of(3) { 0 } else { 1 + (c * 7 + i) % 90 }).collect(),
            validation: vec![],
            test: vec![],
        };
        Clients { classes: (0..classes).map(|c| format!("class {c}")).collect(), rows: (0..rows).map(row).collect() }
    }

    #[test]
    fn every_cell_with_images_is_drawn_whatever_their_number() {
        for (rows, classes) in [(4, 2), (4, 256), (100, 10), (100, 256), (1, 1), (1000, 10)] {
            let table = clients(rows, classes);
            let svg = class_picture(&table).unwrap();
            let cells = table.rows.iter().flat_map(|r| &r.train).filter(|n| **n > 0).count();
            let most = table.rows.iter().flat_map(|r| &r.train).max().copied().unwrap();
            let mut legend = vec![most / 16, most / 4, most / 2, most];
            legend.retain(|n| *n > 0);
            legend.dedup();
            assert_eq!(svg.matches("fill=\"#007DC4\"").count(), cells + legend.len(), "{rows} × {classes}");
            assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("currentColor") && !svg.contains("#000000"));
            assert!(svg.contains("domain-0") && svg.contains("class 0"));
        }
    }

    #[test]
    fn odd_tables_are_drawn() {
        let mut table = clients(3, 2);
        table.rows[0].train = vec![5, 6, 7, 8];
        table.rows[1].train.clear();
        table.rows[2].name = "a client with a very long name & <signs>".into();
        let svg = class_picture(&table).unwrap();
        assert!(svg.contains("a client with a v…"), "{svg}");
        assert!(class_picture(&Clients { classes: vec![], rows: vec![] }).is_ok());
    }

    #[test]
    fn few_images_are_seen_and_most_are_darkest() {
        assert_eq!((opacity(0, 100), opacity(100, 100), opacity(0, 0)), (0.0, 1.0, 0.0));
        assert!(opacity(1, 10_000) > FAINTEST && opacity(25, 100) < opacity(50, 100));
    }
}
