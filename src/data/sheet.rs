//! A contact sheet: samples of every class of every domain on one picture.

use std::io::Cursor;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{ImageFormat, Rgb, RgbImage};

use super::{CHANNELS, Dataset, Domain, Origin};
use crate::{Error, Result};

const GROUND: Rgb<u8> = Rgb([250, 250, 248]);
const EMPTY: Rgb<u8> = Rgb([232, 232, 228]);
const TEXT: Rgb<u8> = Rgb([32, 32, 36]);
const FAINT: Rgb<u8> = Rgb([110, 110, 118]);
const GENUINE: Rgb<u8> = Rgb([20, 110, 70]);
const GENERATED: Rgb<u8> = Rgb([176, 84, 10]);

/// Pixels between images, between domains and round the sheet.
const GAP: u32 = 3;
const GUTTER: u32 = 32;
/// Heights of the text above a domain and of the class names, in pixels, and of the space that the former takes.
const TITLE: f32 = 21.0;
const NOTE: f32 = 16.0;
const HEADER: u32 = 58;
/// Largest side of a sheet, in pixels.
const MAX_SIDE: usize = 16_384;

/// A PNG picture of the domains side by side under their names and origins: a row a class, in it `samples` training
/// images (the first of the class). Small images are enlarged so as to be seen well.
///
/// # Errors
/// [`Error::Config`] if `samples` is not 1 to 20 or the sheet would be larger than 16 384 pixels a side;
/// [`Error::Data`] if the data set is not sound (see [`Dataset::check`]).
pub fn contact_sheet(dataset: &Dataset, samples: u32) -> Result<Vec<u8>> {
    if !(1..=20).contains(&samples) {
        return Err(Error::Config(format!("{samples} samples a class do not fit on a sheet; give 1 to 20")));
    }
    // Fields are public, so a changed set may break what drawing relies on.
    dataset.check()?;
    let mut png = Cursor::new(Vec::new());
    Sheet::new(dataset, samples)?
        .draw(dataset)
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|e| Error::Data(format!("data set {}: its sheet cannot be encoded: {e}", dataset.name)))?;
    Ok(png.into_inner())
}

/// Layout and fonts.
struct Sheet {
    samples: u32,
    /// Rows and columns of an image on the sheet.
    cell: (u32, u32),
    /// Column of the first image, right of the class names.
    left: u32,
    /// Columns from one domain to the next.
    pitch: u32,
    width: u32,
    height: u32,
    bold: FontRef<'static>,
    regular: FontRef<'static>,
}

impl Sheet {
    fn new(dataset: &Dataset, samples: u32) -> Result<Self> {
        let font = |bytes: &'static [u8]| FontRef::try_from_slice(bytes).map_err(|e| Error::Data(format!("a DejaVu font: {e}; rebuild")));
        let (bold, regular) = (font(dejavu::sans_mono::bold())?, font(dejavu::sans_mono::regular())?);
        let (height, width) = dataset.image_size();
        let (height, width) = (height as usize, width as usize);
        let zoom = (72 / height.max(width)).max(1);
        let (gap, gutter) = (GAP as usize, GUTTER as usize);
        let longest = |font, size, texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text_width(font, size, &text) as usize).max().unwrap_or(0)
        };
        let classes = longest(&bold, NOTE, &mut dataset.classes.iter().cloned());
        let titles = longest(&bold, TITLE, &mut dataset.domains.iter().map(Domain::title));
        let notes = longest(&regular, NOTE, &mut dataset.domains.iter().map(note));

        let left = gutter / 2 + classes + gutter / 2;
        let images = samples as usize * (width * zoom + gap) - gap;
        let pitch = images.max(titles).max(notes) + gutter;
        let sheet_width = left + dataset.domains.len() * pitch - gutter / 2;
        let sheet_height = HEADER as usize + dataset.classes.len() * (height * zoom + gap) + gutter / 2;
        if sheet_width > MAX_SIDE || sheet_height > MAX_SIDE {
            return Err(Error::Config(format!(
                "a sheet of {sheet_width}×{sheet_height} pixels is too large; take fewer samples or domains"
            )));
        }
        // All of these are below the limit just checked, so they fit u32.
        Ok(Self {
            samples,
            cell: ((height * zoom) as u32, (width * zoom) as u32),
            left: left as u32,
            pitch: pitch as u32,
            width: sheet_width as u32,
            height: sheet_height as u32,
            bold,
            regular,
        })
    }

    fn draw(&self, dataset: &Dataset) -> RgbImage {
        let mut sheet = RgbImage::from_pixel(self.width, self.height, GROUND);
        let top = |class: usize| HEADER + class as u32 * (self.cell.0 + GAP);
        for (class, name) in dataset.classes.iter().enumerate() {
            let right = (self.left - GUTTER / 2) as f32;
            let middle = top(class) as f32 + self.cell.0 as f32 / 2.0 + NOTE / 3.0;
            write(&mut sheet, &self.bold, NOTE, (right - text_width(&self.bold, NOTE, name), middle), FAINT, name);
        }
        for (d, domain) in dataset.domains.iter().enumerate() {
            let left = self.left + d as u32 * self.pitch;
            let x = left as f32;
            let origin = match domain.origin {
                Origin::Genuine => GENUINE,
                Origin::Generated => GENERATED,
            };
            let name = format!("{} ", domain.name);
            write(&mut sheet, &self.bold, TITLE, (x, 25.0), TEXT, &name);
            let after = x + text_width(&self.bold, TITLE, &name);
            write(&mut sheet, &self.bold, TITLE, (after, 25.0), origin, &format!("({})", domain.origin));
            write(&mut sheet, &self.regular, NOTE, (x, 46.0), FAINT, &note(domain));
            for class in 0..dataset.classes.len() {
                let mut samples = (0..domain.train.len()).filter(|&i| usize::from(domain.train.labels[i]) == class);
                for s in 0..self.samples {
                    let at = (left + s * (self.cell.1 + GAP), top(class));
                    self.place(&mut sheet, at, samples.next().map(|i| domain.train.image(i)), dataset.image_size());
                }
            }
        }
        sheet
    }

    /// Draws an image, or an empty field where a class has too few.
    fn place(&self, sheet: &mut RgbImage, (x, y): (u32, u32), image: Option<&[u8]>, (height, width): (u32, u32)) {
        let (rows, columns) = self.cell;
        for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            // Whole pixels are repeated: what the networks see is not to be smoothed over.
            let colour = image.map_or(EMPTY, |pixels| {
                let at = ((row * height / rows) * width + column * width / columns) as usize * CHANNELS;
                Rgb([pixels[at], pixels[at + 1], pixels[at + 2]])
            });
            sheet.put_pixel(x + column, y + row, colour);
        }
    }
}

/// The line under a domain's title.
fn note(domain: &Domain) -> String {
    format!("{} train, {} test images", domain.train.len(), domain.test.len())
}

/// Columns that `text` takes at `size` pixels.
fn text_width(font: &FontRef, size: f32, text: &str) -> f32 {
    let font = font.as_scaled(PxScale::from(size));
    text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum::<f32>().ceil()
}

/// Writes `text` with its base line starting at `(x, y)`. What lies outside of the sheet is cut off.
fn write(sheet: &mut RgbImage, font: &FontRef, size: f32, (mut x, y): (f32, f32), colour: Rgb<u8>, text: &str) {
    let scaled = font.as_scaled(PxScale::from(size));
    for c in text.chars() {
        let id = scaled.glyph_id(c);
        if let Some(outline) = font.outline_glyph(id.with_scale_and_position(PxScale::from(size), point(x, y))) {
            let corner = outline.px_bounds().min;
            outline.draw(|column, row, cover| {
                let (column, row) = (corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row));
                let inside = column >= 0 && row >= 0 && column < sheet.width().into() && row < sheet.height().into();
                if inside {
                    let pixel = sheet.get_pixel_mut(column as u32, row as u32);
                    for (p, ink) in pixel.0.iter_mut().zip(colour.0) {
                        *p = (f32::from(*p) + (f32::from(ink) - f32::from(*p)) * cover).round() as u8;
                    }
                }
            });
        }
        x += scaled.h_advance(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImageSet, digit_names};
    use super::*;

    fn dataset(name: &str) -> Dataset {
        let train = ImageSet { height: 28, width: 28, pixels: vec![200; 28 * 28 * 3 * 4], labels: vec![0, 1, 1, 9] };
        let domain = Domain { name: name.into(), origin: Origin::Generated, test: train.clone(), train, validation: 0 };
        Dataset::new("demo", digit_names(), vec![domain]).unwrap()
    }

    #[test]
    fn images_stand_where_they_belong() {
        let png = contact_sheet(&dataset("d"), 6).unwrap();
        let sheet = image::load_from_memory(&png).unwrap().into_rgb8();
        let plan = Sheet::new(&dataset("d"), 6).unwrap();
        assert_eq!(sheet.dimensions(), (plan.width, plan.height));
        assert_eq!(plan.cell, (56, 56));
        let pixel = |class: u32, sample: u32| sheet.get_pixel(plan.left + sample * (56 + GAP) + 55, HEADER + class * (56 + GAP) + 55).0;
        // Two images of class 1, none of class 2.
        assert_eq!([pixel(1, 0), pixel(1, 1)], [[200; 3]; 2]);
        assert_eq!([pixel(1, 2), pixel(2, 0)], [EMPTY.0; 2]);
        // Some of the title was written, in the colour of generated domains.
        assert!(sheet.pixels().any(|p| *p == GENERATED));
        assert!(!sheet.pixels().any(|p| *p == GENUINE));
    }

    #[test]
    fn bad_requests_are_refused() {
        for samples in [0, 21, u32::MAX] {
            assert!(contact_sheet(&dataset("d"), samples).unwrap_err().to_string().contains("give 1 to 20"));
        }
        let long = "long".repeat(1000);
        assert!(contact_sheet(&dataset(&long), 1).unwrap_err().to_string().contains("too large"));
        let mut broken = dataset("d");
        broken.domains[0].train.labels[0] = 99;
        assert!(contact_sheet(&broken, 1).is_err());
        // Characters that the font lacks are drawn as boxes.
        assert!(contact_sheet(&dataset("数字\u{1f600}"), 1).is_ok());
    }
}
