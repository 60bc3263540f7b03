//! The generated domain `synth-digits`: printed digits in colours on coloured grounds, in the manner of SynthDigits.
//!
//! Every random choice is an integer or a multiple of 2⁻¹⁶, sine and cosine come from `libm`, and the rasteriser uses
//! only IEEE-exact operations (`+ − × ÷ √`), so the pixels are the same on every platform.

use ab_glyph::{Font, FontRef, OutlineCurve, Point, point};
use ab_glyph_rasterizer::Rasterizer;

use super::dice::Dice;
use super::{CHANNELS, GENERATOR_SEED, ImageSet};
use crate::{Error, Result};

const SIDE: usize = 28;
/// Canvas kept free round the image, so that turned and neighbouring digits may stick out of it.
const MARGIN: usize = 40;
const CANVAS: usize = SIDE + 2 * MARGIN;
/// Least difference of luminance (of 255) between digit and ground.
const CONTRAST: i32 = 60;

/// The fonts of the training images and, none of them the same, of the test images.
type FontFiles = &'static [fn() -> &'static [u8]];
const TRAIN_FONTS: FontFiles = &[dejavu::sans_mono::regular, dejavu::serif::regular, dejavu::sans::extra_light, dejavu::serif::bold_italic];
const TEST_FONTS: FontFiles = &[dejavu::sans_mono::bold, dejavu::serif_condensed::regular];

/// The outline of a digit, its box centred on the origin and one unit high; y grows downwards.
struct Glyph {
    curves: Vec<OutlineCurve>,
    width: f32,
}

/// `count` training images; the classes take turns.
///
/// # Errors
/// [`Error::Data`] if a font does not have the digits, which would be a fault of the font crate.
pub(super) fn train(count: usize) -> Result<ImageSet> {
    images(count, TRAIN_FONTS, "synth-digits train")
}

/// `count` test images, in other fonts than the training images.
///
/// # Errors
/// As [`train`].
pub(super) fn test(count: usize) -> Result<ImageSet> {
    images(count, TEST_FONTS, "synth-digits test")
}

fn images(count: usize, files: FontFiles, stream: &str) -> Result<ImageSet> {
    let fonts = files.iter().map(|file| digits(file())).collect::<Result<Vec<_>>>()?;
    let mut dice = Dice::new(GENERATOR_SEED, stream);
    let mut painter = Painter { raster: Rasterizer::new(CANVAS, CANVAS), cover: vec![0.0; SIDE * SIDE] };
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE * CHANNELS);
    let mut labels = Vec::with_capacity(count);
    for i in 0..count {
        let label = i % 10;
        let font = &fonts[dice.below(fonts.len() as u32) as usize];
        painter.paint(font, label, &mut dice, &mut pixels);
        labels.push(label as u8);
    }
    Ok(ImageSet { height: SIDE as u32, width: SIDE as u32, pixels, labels })
}

/// The outlines of 0 to 9.
fn digits(file: &'static [u8]) -> Result<Vec<Glyph>> {
    let font = FontRef::try_from_slice(file).map_err(|e| Error::Data(format!("a DejaVu font: {e}; rebuild")))?;
    ('0'..='9')
        .map(|digit| {
            let outline = font.outline(font.glyph_id(digit));
            let outline = outline.ok_or_else(|| Error::Data(format!("a DejaVu font lacks the digit {digit}; rebuild")))?;
            // Font units grow upwards and the box is stored with min.y above max.y, hence abs and the minus below.
            let bounds = outline.bounds;
            let height = (bounds.max.y - bounds.min.y).abs();
            let middle = point((bounds.min.x + bounds.max.x) / 2.0, (bounds.min.y + bounds.max.y) / 2.0);
            let place = |p: Point| point((p.x - middle.x) / height, -(p.y - middle.y) / height);
            let curves = outline.curves.into_iter().map(|curve| map(curve, place)).collect();
            Ok(Glyph { curves, width: (bounds.max.x - bounds.min.x).abs() / height })
        })
        .collect()
}

fn map(curve: OutlineCurve, f: impl Fn(Point) -> Point) -> OutlineCurve {
    match curve {
        OutlineCurve::Line(a, b) => OutlineCurve::Line(f(a), f(b)),
        OutlineCurve::Quad(a, b, c) => OutlineCurve::Quad(f(a), f(b), f(c)),
        OutlineCurve::Cubic(a, b, c, d) => OutlineCurve::Cubic(f(a), f(b), f(c), f(d)),
    }
}

/// Draws images, keeping its buffers between them.
struct Painter {
    raster: Rasterizer,
    /// How much of each pixel the digits cover, 0 to 1.
    cover: Vec<f32>,
}

impl Painter {
    /// Appends one image of `label` to `pixels`.
    fn paint(&mut self, font: &[Glyph], label: usize, dice: &mut Dice, pixels: &mut Vec<u8>) {
        let ground = dice.colour();
        let other_ground = ground.map(|c| (c + dice.between(-60, 60)).clamp(0, 255));
        let ink = contrasting(ground, dice);
        self.draw_digits(font, label, dice);

        // The ground changes from one colour to the other along a random direction.
        let (slope_x, slope_y) = (dice.between(-8, 8), dice.between(-8, 8));
        let noise = dice.between(2, 12);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (dx, dy) = (x as i32 - SIDE as i32 / 2, y as i32 - SIDE as i32 / 2);
                let part = (128 + dx * slope_x + dy * slope_y).clamp(0, 256);
                let cover = (self.cover[y * SIDE + x] * 256.0).round() as i32;
                for c in 0..CHANNELS {
                    let back = ground[c] + (other_ground[c] - ground[c]) * part / 256;
                    let value = back + (ink[c] - back) * cover / 256;
                    pixels.push((value + dice.between(-noise, noise)).clamp(0, 255) as u8);
                }
            }
        }
    }

    /// Sets `cover` to the digit, slightly turned, slanted, scaled and moved, with neighbours that reach in from the
    /// sides, as in a house number (each side has one twice in three times).
    fn draw_digits(&mut self, font: &[Glyph], label: usize, dice: &mut Dice) {
        let height = dice.real(15.0, 23.0);
        let stretch = dice.real(0.85, 1.2);
        let (sin, cos) = libm::sincosf(dice.real(-0.25, 0.25));
        let slant = dice.real(-0.15, 0.15);
        let (shift_x, shift_y) = (dice.real(-2.5, 2.5), dice.real(-2.5, 2.5));
        let centre = CANVAS as f32 / 2.0;
        let place = move |p: Point, along: f32| {
            let (x, y) = (((p.x + along) * stretch + p.y * slant) * height, p.y * height);
            point(centre + shift_x + cos * x - sin * y, centre + shift_y + sin * x + cos * y)
        };

        self.raster.reset(CANVAS, CANVAS);
        let mut draw = |digit: usize, along: f32| {
            for curve in &font[digit].curves {
                match map(curve.clone(), |p| place(p, along)) {
                    OutlineCurve::Line(a, b) => self.raster.draw_line(a, b),
                    OutlineCurve::Quad(a, b, c) => self.raster.draw_quad(a, b, c),
                    OutlineCurve::Cubic(a, b, c, d) => {
                        self.raster.draw_cubic(a, b, c, d);
                    }
                }
            }
        };
        draw(label, 0.0);
        for direction in [-1.0, 1.0] {
            let (neighbour, gap, wanted) = (dice.below(10) as usize, dice.real(0.1, 0.35), !dice.one_in(3));
            if wanted {
                draw(neighbour, direction * ((font[label].width + font[neighbour].width) / 2.0 + gap));
            }
        }
        let cover = &mut self.cover;
        self.raster.for_each_pixel_2d(|x, y, part| {
            let (x, y) = ((x as usize).wrapping_sub(MARGIN), (y as usize).wrapping_sub(MARGIN));
            if x < SIDE && y < SIDE {
                cover[y * SIDE + x] = part.clamp(0.0, 1.0);
            }
        });
    }
}

/// A random colour whose luminance is at least [`CONTRAST`] away from that of `ground`.
fn contrasting(ground: [i32; 3], dice: &mut Dice) -> [i32; 3] {
    loop {
        // Black or white is at least 127 away from any ground, so a throw succeeds often enough to end soon.
        let ink = dice.colour();
        if (luminance(ink) - luminance(ground)).abs() >= CONTRAST {
            return ink;
        }
    }
}

/// ITU-R BT.601 luminance, 0 to 255.
fn luminance([r, g, b]: [i32; 3]) -> i32 {
    (299 * r + 587 * g + 114 * b) / 1000
}
