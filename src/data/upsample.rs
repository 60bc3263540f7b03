//! The colours of a JPEG at its full size, by the rule of libjpeg, which most programs read pictures with.
//!
//! The decoder takes the rounding of its blocks for pixels: where the colours have half as many columns or rows, the last ones of a picture
//! are mixed with what lies outside it, and in a picture of few columns all are. So here each component is decoded alone.

use super::jpeg::Halved;

/// A component: its columns, and its rows one after the other.
pub(super) struct Plane {
    pub columns: usize,
    pub values: Vec<u8>,
}

impl Plane {
    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.values[row * self.columns..][..self.columns]
    }
}

/// Most columns of halved colours that are repeated and not mixed.
const NARROW: usize = 2;

/// Largest side of a picture in which one row or column counts: larger ones are made smaller for a network, and decoding takes longer.
const SMALL: u32 = 64;

/// Whether a picture of this size, with so many columns and rows to one of its colours, has other colours by the decoder than by libjpeg.
pub(super) fn differs((width, height): (u32, u32), (across, down): (usize, usize)) -> bool {
    if across == 2 && width.div_ceil(2) as usize <= NARROW {
        return true;
    }
    // A picture of whole units, of 16 columns, has nothing outside.
    let mixes_columns = across == 2 && width % 2 == 0 && width % 16 != 0;
    let mixes_rows = down == 2 && height % 2 == 0;
    width <= SMALL && height <= SMALL && (mixes_columns || mixes_rows)
}

/// The pixels, red, green and blue, of a picture with these components.
pub(super) fn rgb(halved: &Halved, [brightness, blue, red]: [&Plane; 3]) -> Vec<u8> {
    let [blue, red] = [blue, red].map(|plane| whole(plane, halved));
    let pixels = brightness.values.iter().zip(blue.iter().zip(&red));
    pixels.flat_map(|(y, (cb, cr))| pixel(i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128)).collect()
}

/// A halved component with all columns and rows of the picture.
fn whole(plane: &Plane, halved: &Halved) -> Vec<u8> {
    let (width, height) = (halved.size.0 as usize, halved.size.1 as usize);
    let narrow = halved.across == 2 && plane.columns <= NARROW;
    let mut all = Vec::with_capacity(width * height);
    for y in 0..height {
        let (row, lower) = (y / halved.down, y % 2 == 1);
        // Two rows, three parts of the nearer one and one of the next; times 1 or 4.
        let (near, mixed) = (plane.row(row), halved.down == 2 && !narrow);
        let next = if lower { (row + 1).min(plane.rows() - 1) } else { row.saturating_sub(1) };
        let sums: Vec<u16> = match mixed {
            true => near.iter().zip(plane.row(next)).map(|(near, next)| 3 * u16::from(*near) + u16::from(*next)).collect(),
            false => near.iter().map(|value| u16::from(*value)).collect(),
        };
        let line = (0..width).map(|x| match (halved.across, mixed) {
            (1, true) => (sums[x] + 1 + u16::from(lower)) >> 2,
            (1, false) => sums[x],
            _ if narrow => sums[x / 2],
            (_, mixed) => {
                let (at, right) = (x / 2, x % 2 == 1);
                let beside = if right { (at + 1).min(sums.len() - 1) } else { at.saturating_sub(1) };
                // The rounding alternates, so that no side is preferred.
                let (shift, [left_bias, right_bias]) = if mixed { (4, [8, 7]) } else { (2, [1, 2]) };
                (3 * sums[at] + sums[beside] + if right { right_bias } else { left_bias }) >> shift
            }
        });
        all.extend(line.map(|value| value as u8));
    }
    all
}

/// By ITU-R BT.601, in 16 bits behind the point.
fn pixel(y: i32, cb: i32, cr: i32) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
