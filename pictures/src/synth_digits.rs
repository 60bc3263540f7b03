//! The generated domain `synth-digits`: printed digits in colours on coloured grounds, in the manner of SynthDigits.
//!
//! Every random choice is an integer or a multiple of 2⁻¹⁶, sine and cosine come from `libm`, and the rasteriser uses
//! only IEEE-exact operations (`+ − × ÷ √`), so the pixels are the same on every platform.

use ab_glyph_rasterizer::{Point, Rasterizer, point};

use crate::dice::Dice;
use crate::{CHANNELS, GENERATOR_SEED};

/// Rows and columns of an image.
pub const SIDE: usize = 28;
/// Canvas kept free round the image, so that turned and neighbouring digits may stick out of it.
const MARGIN: usize = 40;
const CANVAS: usize = SIDE + 2 * MARGIN;
/// Least difference of luminance (of 255) between digit and ground.
const CONTRAST: i32 = 60;

/// The outlines of 0 to 9 in six fonts, taken from the fonts by the test below: all that is needed of 2 MB.
const OUTLINES: &[u8] = include_bytes!("../../datasets/dejavu/digits.bin");
/// The fonts of the training images: sans mono, serif, sans extra light, serif bold italic.
const TRAIN_FONTS: std::ops::Range<usize> = 0..4;
/// Those of the test images, none of them the same: sans mono bold, serif condensed.
const TEST_FONTS: std::ops::Range<usize> = 4..6;

/// A piece of an outline.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Line(Point, Point),
    Quad(Point, Point, Point),
}

/// The outline of a digit, its box centred on the origin and one unit high; y grows downwards.
struct Glyph {
    curves: Vec<Curve>,
    width: f32,
}

/// Pixels and labels of `count` training images; the classes take turns. None if the outlines were damaged when the program was built.
pub fn train(count: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    images(count, TRAIN_FONTS, "synth-digits train")
}

/// Those of `count` test images, in other fonts than the training images.
pub fn test(count: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    images(count, TEST_FONTS, "synth-digits test")
}

fn images(count: usize, fonts: std::ops::Range<usize>, stream: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let all = parse(OUTLINES).filter(|all| all.len() == TEST_FONTS.end * 10)?;
    let fonts: Vec<&[Glyph]> = all.chunks(10).skip(fonts.start).take(fonts.len()).collect();
    let mut dice = Dice::new(GENERATOR_SEED, stream);
    let mut painter = Painter { raster: Rasterizer::new(CANVAS, CANVAS), cover: vec![0.0; SIDE * SIDE] };
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE * CHANNELS);
    let mut labels = Vec::with_capacity(count);
    for i in 0..count {
        let label = i % 10;
        let font = fonts[dice.below(fonts.len() as u32) as usize];
        painter.paint(font, label, &mut dice, &mut pixels);
        labels.push(label as u8);
    }
    Some((pixels, labels))
}

/// Reads glyphs: width, number of curves, and of each curve its points' number (2 or 3) and the points; every number a
/// little-endian f32. None where the bytes are not that.
fn parse(bytes: &[u8]) -> Option<Vec<Glyph>> {
    let (words, []) = bytes.as_chunks::<4>() else { return None };
    let mut numbers = words.iter().map(|word| f32::from_le_bytes(*word));
    let mut glyphs = Vec::new();
    while let Some(width) = numbers.next() {
        let count = numbers.next()? as usize;
        let mut curve = || {
            let points = numbers.next()?;
            let mut next = || Some(point(numbers.next()?, numbers.next()?));
            let (a, b) = (next()?, next()?);
            if points == 2.0 { Some(Curve::Line(a, b)) } else { Some(Curve::Quad(a, b, next()?)) }
        };
        glyphs.push(Glyph { curves: (0..count).map(|_| curve()).collect::<Option<_>>()?, width });
    }
    Some(glyphs)
}

impl Curve {
    fn map(self, f: impl Fn(Point) -> Point) -> Curve {
        match self {
            Curve::Line(a, b) => Curve::Line(f(a), f(b)),
            Curve::Quad(a, b, c) => Curve::Quad(f(a), f(b), f(c)),
        }
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
                match curve.map(|p| place(p, along)) {
                    Curve::Line(a, b) => self.raster.draw_line(a, b),
                    Curve::Quad(a, b, c) => self.raster.draw_quad(a, b, c),
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

#[cfg(test)]
mod tests {
    use super::*;
    use ab_glyph::{Font, FontRef, OutlineCurve};

    /// The outlines of 0 to 9, as [`parse`] reads them.
    fn digits(file: &'static [u8]) -> Vec<f32> {
        let font = FontRef::try_from_slice(file).unwrap();
        let mut out = Vec::new();
        for digit in '0'..='9' {
            let outline = font.outline(font.glyph_id(digit)).unwrap();
            // Font units grow upwards and the box is stored with min.y above max.y, hence abs and the minus below.
            let bounds = outline.bounds;
            let height = (bounds.max.y - bounds.min.y).abs();
            let (x, y) = ((bounds.min.x + bounds.max.x) / 2.0, (bounds.min.y + bounds.max.y) / 2.0);
            out.extend([(bounds.max.x - bounds.min.x).abs() / height, outline.curves.len() as f32]);
            for curve in &outline.curves {
                let points = match curve {
                    OutlineCurve::Line(a, b) => vec![a, b],
                    OutlineCurve::Quad(a, b, c) => vec![a, b, c],
                    OutlineCurve::Cubic(..) => unreachable!("TrueType has none"),
                };
                out.push(points.len() as f32);
                out.extend(points.iter().flat_map(|p| [(p.x - x) / height, -(p.y - y) / height]));
            }
        }
        out
    }

    /// With SPLITMIX_WRITE_OUTLINES it writes the file.
    #[test]
    fn the_outlines_are_those_of_the_fonts() {
        let fonts = [
            dejavu::sans_mono::regular(),
            dejavu::serif::regular(),
            dejavu::sans::extra_light(),
            dejavu::serif::bold_italic(),
            dejavu::sans_mono::bold(),
            dejavu::serif_condensed::regular(),
        ];
        let bytes: Vec<u8> = fonts.into_iter().flat_map(digits).flat_map(f32::to_le_bytes).collect();
        if std::env::var_os("SPLITMIX_WRITE_OUTLINES").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/dejavu/digits.bin"), &bytes).unwrap();
        }
        assert!(bytes == OUTLINES, "datasets/dejavu/digits.bin is not what the fonts have");
        assert_eq!(parse(&bytes).unwrap().len(), 60);
        assert!(parse(&bytes[..bytes.len() - 4]).is_none() && parse(&bytes[1..]).is_none());
    }
}
