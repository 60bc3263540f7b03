//! Text in aligned columns.

use std::fmt;

/// Rows of cells under a header. The first column is aligned to the left, the others to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

/// The header of a column, and its cell of an item.
pub(super) type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

impl Table {
    pub fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|h| h.to_string()).collect()] }
    }

    /// A row of these columns for each item.
    pub fn of<T>(items: impl IntoIterator<Item = T>, columns: &[Column<T>]) -> Table {
        let mut table = Table::new(&columns.iter().map(|(header, _)| *header).collect::<Vec<_>>());
        items.into_iter().for_each(|item| table.row(columns.iter().map(|(_, cell)| cell(&item)).collect::<Vec<_>>()));
        table
    }

    /// Adds a row of as many cells as the header has.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
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
                line += &if i == 0 { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
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
        let mut table = Table::new(&["name", "µs"]);
        table.row(["a", "12.5"].map(String::from));
        table.row(["größer", "1"].map(String::from));
        assert_eq!(table.to_string(), "name      µs\na       12.5\ngrößer     1\n");
    }
}
