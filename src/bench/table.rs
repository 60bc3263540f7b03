//! Text in aligned columns.

use std::fmt;

/// Rows of cells under a header.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// The first so many columns are aligned to the left, the others to the right.
    left: usize,
}

impl Table {
    pub fn new(left: usize, header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|h| h.to_string()).collect()], left }
    }

    /// Adds a row of as many cells as the header has.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells.into());
    }

    /// The same of a number of cells known later.
    pub fn cells(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.rows[0].len());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                line += &if i < self.left { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_characters() {
        let mut table = Table::new(1, &["name", "µs"]);
        table.row(["a".into(), "12.5".into()]);
        table.row(["größer".into(), "1".into()]);
        assert_eq!(table.to_string(), "name      µs\na       12.5\ngrößer     1\n");
    }
}
