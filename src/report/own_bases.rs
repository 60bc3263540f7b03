//! Which base each client has after each round, as a picture: a row for each client, a column for each round, a colour for each base.

use super::Run;
use super::chart::{COLOURS, readable};
use super::classes::{HEAD, LINE, LONGEST, NAMES, ROW, ROWS, WIDTH};
use crate::{Error, Result};
use plotters::prelude::*;

/// Pixels: height of the legend. The rest is as in the picture of classes, so that clients' rows look alike.
const LEGEND: i32 = 40;

/// Each client's own base by round, as an SVG document; none of a run whose clients have no bases of their own.
///
/// # Errors
/// [`Error::Data`] where it cannot be drawn.
pub fn own_bases_picture(run: &Run) -> Result<Option<String>> {
    let rounds: Vec<&[u32]> = run.metrics.iter().filter_map(|m| m.own_bases.as_deref()).collect();
    let (Some(clients), Some(first)) = (rounds.iter().map(|own| own.len()).min(), run.metrics.first()) else {
        return Ok(None);
    };
    let name = |client: usize| match &run.clients {
        Some(all) if client < all.rows.len() => all.rows[client].name.chars().take(LONGEST.0).collect(),
        _ => format!("client {client}"),
    };
    let names: Vec<String> = (0..clients).map(name).collect();
    let mut svg = String::new();
    let drawn = draw(&names, &rounds, first.round + 1, &mut svg);
    drawn.map_err(|e| Error::Data(format!("the picture of the clients' bases cannot be drawn: {e}")))?;
    Ok(Some(readable(svg)))
}

/// Bases beyond the colours share them, lighter each time.
fn colour(base: u32) -> RGBAColor {
    let (turn, place) = (base as usize / COLOURS.len(), base as usize % COLOURS.len());
    COLOURS[place].mix(1.0 / (1 + turn) as f64)
}

/// `rounds` are `[round][client]`, the first of which has number `first`.
fn draw(names: &[String], rounds: &[&[u32]], first: usize, svg: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (rows, columns) = (names.len().max(1) as i32, rounds.len().max(1) as i32);
    let row = (ROWS / rows).clamp(ROW.0, ROW.1);
    let bottom = HEAD + rows * row;
    let root = SVGBackend::with_string(svg, (WIDTH as u32, (bottom + LEGEND) as u32)).into_drawing_area();
    let text = ("sans-serif", 12);
    let left = |column: i32| NAMES + (WIDTH - NAMES - 8) * column / columns;
    for column in (0..columns).step_by((columns as usize).div_ceil(16)) {
        root.draw(&Text::new((first as i32 + column).to_string(), (left(column) + 1, HEAD - LINE - 4), text))?;
    }
    let every = (LINE + row - 1) / row;
    let gap = i32::from(row >= 5);
    for (place, client) in (0..).zip(names) {
        let top = HEAD + place * row;
        if place % every == 0 {
            root.draw(&Text::new(client.clone(), (2, top + (row - LINE).max(0) / 2), text))?;
        }
        let own: Vec<u32> = rounds.iter().map(|round| round[place as usize]).collect();
        // Rounds with the same base in one go.
        let mut from = 0;
        for same in own.chunk_by(|a, b| a == b) {
            let to = from + same.len() as i32;
            root.draw(&Rectangle::new([(left(from), top + gap), (left(to), top + row)], colour(same[0]).filled()))?;
            from = to;
        }
    }
    let bases = 1 + rounds.iter().flat_map(|own| own.iter()).copied().max().unwrap_or(0);
    root.draw(&Text::new("base", (2, bottom + 18), text))?;
    for base in 0..bases.min(20) {
        let x = NAMES + base as i32 * 32;
        root.draw(&Rectangle::new([(x, bottom + 16), (x + 12, bottom + 32)], colour(base).filled()))?;
        root.draw(&Text::new(base.to_string(), (x + 15, bottom + 18), text))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_with_the_same_base_are_one_piece_and_bases_have_colours_of_their_own() {
        let names = ["a".to_string(), "b".to_string()];
        let mut svg = String::new();
        draw(&names, &[&[0, 8], &[0, 1], &[2, 1]], 1, &mut svg).unwrap();
        // Two pieces for each client, and the legend of bases 0 to 8.
        assert_eq!(svg.matches("<rect").count(), 2 + 2 + 9, "{svg}");
        let all: std::collections::BTreeSet<String> = (0..14).map(|base| format!("{:?}", colour(base))).collect();
        assert_eq!(all.len(), 14);
    }
}
