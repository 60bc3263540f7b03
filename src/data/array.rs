//! Arrays of numbers with a shape, as NumPy, MATLAB and pickles store them, and what images and labels become of them.

use std::borrow::Cow;

use super::read::{RawImages, bad, side};
use crate::Result;

/// An array whose bytes fit its shape and element type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array<'a> {
    /// Element type in NumPy's notation: byte order (`<`, `>`, or `|` for single bytes), kind and bytes, for example `|u1` or `<f4`.
    descr: String,
    element: Option<Element>,
    pub shape: Vec<usize>,
    /// Whether the first index varies fastest (Fortran's and MATLAB's order), not the last one.
    fortran: bool,
    data: Cow<'a, [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Element {
    kind: Kind,
    /// Bytes.
    size: usize,
    big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Bool,
    Int,
    Unsigned,
    Float,
}

/// What [`Array::images`] makes of an array.
pub(super) struct Pixels {
    pub images: RawImages,
    /// How the stored numbers became bytes, where that is not plain, in words.
    pub note: Option<&'static str>,
    /// Whether the numbers went from 0 to 1.
    pub from_unit: bool,
}

/// The axis of channels where there is none.
const GREY: usize = usize::MAX;

/// What to write where pixels are not bytes.
const UNIT_ADVICE: &str = "save them as bytes: (255 * x).round().astype('uint8')";

/// What to write where the pixels, from `least` to `most`, are no bytes.
fn advice(kind: Kind, least: f64, most: f64) -> String {
    match () {
        () if least < 0.0 && kind == Kind::Int && most < 128.0 => "shift them first: (x.astype('int16') + 128).astype('uint8')".to_owned(),
        // Images with values around 0 and of a few units were normalised: rounded, they would be black.
        () if least < 0.0 || (kind == Kind::Float && 1.0 < most && most < 16.0) => {
            format!("undo the normalisation first (x * std + mean), then {UNIT_ADVICE}")
        }
        () if most <= 1.0 => UNIT_ADVICE.to_owned(),
        () if most <= 255.0 => "save them as bytes: x.round().astype('uint8')".to_owned(),
        () if most < 1024.0 => format!("they go to {most}: if 1023 is white, save (x // 4).astype('uint8')"),
        () if most < 4096.0 => format!("they go to {most}: if 4095 is white, save (x // 16).astype('uint8')"),
        () if most < 65536.0 => format!("they go to {most}: if 65535 is white, save (x // 257).astype('uint8')"),
        () => format!("they go to {most}: scale them to 0 to 255, then save x.round().astype('uint8')"),
    }
}

impl<'a> Array<'a> {
    /// # Errors
    /// In words: an element type of no known size, or data that do not fit type and shape.
    pub fn new(descr: &str, shape: Vec<usize>, fortran: bool, data: impl Into<Cow<'a, [u8]>>) -> std::result::Result<Self, String> {
        let (data, element) = (data.into(), element(descr));
        // Text is stored in elements of four bytes a letter.
        let unit = if descr.get(1..2) == Some("U") { 4 } else { 1 };
        let digits = descr.get(2..).and_then(|n| n.parse::<usize>().ok()?.checked_mul(unit));
        let item = digits.filter(|&n| n > 0).ok_or_else(|| match descr.get(1..2) {
            Some("O") => "its elements are Python objects: save numbers, for example with .astype('uint8')".to_owned(),
            _ => format!("unknown element type {descr:?}"),
        })?;
        let wanted = shape.iter().try_fold(item, |product, &n| product.checked_mul(n));
        // An axis of no length makes the product 0, and the others must not overflow without it.
        let steps = shape.iter().try_fold(item, |product, &n| product.checked_mul(n.max(1)));
        if wanted != Some(data.len()) || steps.is_none() {
            return Err(format!("{} bytes of data do not fit shape {shape:?} of type {descr:?}", data.len()));
        }
        Ok(Self { descr: descr.to_owned(), element, shape, fortran, data })
    }

    /// Steps between neighbours along each axis, in elements. [`new`](Self::new) sees to it that nothing overflows.
    fn strides(&self) -> Vec<usize> {
        (0..self.shape.len())
            .map(|i| if self.fortran { self.shape[..i].iter().product() } else { self.shape[i + 1..].iter().product() })
            .collect()
    }

    /// Images of shape N×H×W, N×H×W×C or N×C×H×W with C of 1, 3 or 4; alpha is dropped. The last axis holds the channels where either
    /// could. Bytes are taken as they are; other whole numbers from 0 to 255, numbers from 0 to 1 that are 255ths, and booleans are
    /// converted.
    ///
    /// # Errors
    /// [`crate::Error::Data`] for another shape or element type and for values that are no pixels, with the image and what to write.
    pub fn images(&self, file: &str) -> Result<Pixels> {
        let shape_is = format!("shape is {:?}", self.shape);
        let axes = match self.shape[..] {
            [_, _, _] => [0, 1, 2, GREY],
            [_, _, _, 1 | 3 | 4] => [0, 1, 2, 3],
            [_, 1 | 3 | 4, _, _] => [0, 2, 3, 1],
            [_, a, b, c] if a == b && b == c => {
                return Err(bad(
                    file,
                    format_args!("{shape_is}: these are volumes (3-D), and only flat images are read; save slices, N×H×W"),
                ));
            }
            [_, pixels] => {
                return Err(bad(
                    file,
                    format_args!(
                        "{shape_is}: {pixels} numbers a row have no height and width; give them, for example x.reshape(-1, 28, 28)"
                    ),
                ));
            }
            _ => {
                return Err(bad(
                    file,
                    format_args!("{shape_is}, but must be N×H×W (grey) or N×H×W×3 (channels last), or N×3×H×W; reshape or transpose it"),
                ));
            }
        };
        self.pixels(file, axes)
    }

    /// As [`images`](Self::images), with the axes of images, rows, columns and channels (1, 3 or 4 of them; [`GREY`] for none).
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn pixels(&self, file: &str, axes: [usize; 4]) -> Result<Pixels> {
        let [(count, step_n), (height, step_y), (width, step_x), (stored, step_c)] =
            axes.map(|axis| (self.shape.get(axis).copied().unwrap_or(1), self.strides().get(axis).copied().unwrap_or(0)));
        let height = side(file, height as u64, "the image height")?;
        let width = side(file, width as u64, "the image width")?;
        let kept = if stored == 4 { 3 } else { stored };
        let places = move || {
            (0..count).flat_map(move |n| {
                (0..height).flat_map(move |y| {
                    (0..width).flat_map(move |x| (0..kept).map(move |c| n * step_n + y * step_y + x * step_x + c * step_c))
                })
            })
        };
        let element = self.number_type(file, "images")?;
        let (mut note, mut from_unit) = ((stored == 4).then_some("the alpha channel is left out"), false);
        let pixels: Vec<u8> = match element.kind {
            Kind::Unsigned if element.size == 1 && kept == stored && self.in_order(axes) => self.data.to_vec(),
            Kind::Unsigned if element.size == 1 => places().map(|at| self.data[at]).collect(),
            Kind::Bool => {
                note = Some("true and false become 255 and 0");
                places().map(|at| if self.data[at] == 0 { 0 } else { 255 }).collect()
            }
            kind => {
                let value = |at: usize| element.number(&self.data[at * element.size..(at + 1) * element.size]);
                let each = kept * height * width;
                let wrong = |i: usize, v: f64, why: &str| bad(file, format_args!("image {}: value {v} {why}", i / each.max(1)));
                let (least, most) = places().map(value).fold((0.0, 0.0), |(least, most), v| (v.min(least), v.max(most)));
                let unit = kind == Kind::Float && most <= 1.0;
                let allowed = if element.size == 2 { 0.15 } else { 1e-3 };
                let mut pixels = Vec::with_capacity(count * each);
                for (i, v) in places().map(value).enumerate() {
                    let scaled = if unit { v * 255.0 } else { v };
                    if !v.is_finite() {
                        return Err(wrong(i, v, "is no number from 0 to 255; check how the images were made"));
                    }
                    if !(0.0..=255.0).contains(&v) {
                        return Err(wrong(i, v, &format!("is not among 0 to 255; {}", advice(kind, least, most))));
                    }
                    if (scaled - scaled.round()).abs() > if unit { allowed } else { 0.0 } {
                        let why = if unit { "is no 255th, so that it would be rounded" } else { "is no whole number from 0 to 255" };
                        return Err(wrong(i, v, &format!("{why}; {}", advice(kind, least, most))));
                    }
                    pixels.push(scaled.round() as u8);
                }
                from_unit = unit;
                note = note.or(unit.then_some("numbers from 0 to 1 are taken as 255ths"));
                pixels
            }
        };
        Ok(Pixels { images: RawImages { height, width, channels: kept, pixels }, note, from_unit })
    }

    /// Whether the elements already lie in the order of these axes (those that there are).
    fn in_order(&self, axes: [usize; 4]) -> bool {
        let strides = self.strides();
        let mut wanted = 1;
        axes.iter().rev().filter(|&&axis| axis < strides.len()).all(|&axis| {
            let fits = strides[axis] == wanted || self.shape[axis] == 1;
            wanted *= self.shape[axis];
            fits
        })
    }

    /// Labels of shape N, N×1 or one-hot N×K: whole numbers from 0 to 255 of any type.
    ///
    /// # Errors
    /// [`crate::Error::Data`] for another shape or element type, several or no marked class in a row, and for other numbers, with the row.
    pub fn labels(&self, file: &str) -> Result<Vec<u8>> {
        let element = self.number_type(file, "labels")?;
        let strides = self.strides();
        let value = |at: usize| element.number(&self.data[at * element.size..(at + 1) * element.size]);
        match self.shape[..] {
            [count] | [count, 1] => (0..count)
                .map(|i| {
                    let label = value(i * strides[0]);
                    if label.fract() != 0.0 || !(0.0..256.0).contains(&label) {
                        let what = if label.fract() == 0.0 { "is not among 0 to 255; number the classes from 0" } else { "is no whole number" };
                        return Err(bad(file, format_args!("row {i}: label {label} {what}")));
                    }
                    Ok(label as u8)
                })
                .collect(),
            [count, classes @ 2..=256] => (0..count)
                .map(|i| {
                    let row = |k: usize| value(i * strides[0] + k * strides[1]);
                    let marked: Vec<usize> = (0..classes).filter(|&k| row(k) == 1.0).collect();
                    let other = (0..classes).any(|k| row(k) != 0.0 && row(k) != 1.0);
                    match marked[..] {
                        _ if count == 1 && (other || marked.len() != 1) => Err(self.lying(file, classes)),
                        _ if other => Err(bad(
                            file,
                            format_args!("shape is {:?} and row {i} holds more than 0 and 1; save one class number an image", self.shape),
                        )),
                        [one] => Ok(one as u8),
                        _ => Err(bad(
                            file,
                            format_args!(
                                "row {i} marks {} of {classes} classes: these are multi-label data, and each image must have one class; save \
                                 one class number an image",
                                marked.len()
                            ),
                        )),
                    }
                })
                .collect(),
            [1, count] if count > 256 => Err(self.lying(file, count)),
            _ => Err(bad(file, format_args!("shape is {:?}, but labels must be a single row: one class number an image", self.shape))),
        }
    }

    /// Labels as MATLAB's rows come to Python.
    fn lying(&self, file: &str, count: usize) -> crate::Error {
        bad(file, format_args!("shape is {:?}, a single row of {count} numbers, but labels are N or N×1; save labels.ravel()", self.shape))
    }

    /// The bytes of an array of rows of `len` elements, row by row; further axes count as part of a row.
    ///
    /// # Errors
    /// [`crate::Error::Data`] for another shape or element type.
    pub fn rows(&self, file: &str, len: usize) -> Result<Vec<u8>> {
        let wrong = |what: &str| bad(file, format_args!("shape {:?} of type {:?}: {what}", self.shape, self.descr));
        if self.descr.get(1..) != Some("u1") {
            return Err(wrong("its elements must be uint8"));
        }
        let [count, ref row @ ..] = self.shape[..] else { return Err(wrong("it has no rows")) };
        // Any other shape of as many elements has them in another order.
        if row != [len] && !(row.len() == 3 && row[0] == 3 && row.iter().product::<usize>() == len) {
            return Err(wrong(&format!(
                "it must be N×{len}, or N×3×H×W of as many elements: for N×H×W×3, save data.transpose(0, 3, 1, 2)"
            )));
        }
        match self.fortran && row.len() == 1 {
            true => Ok((0..count * len).map(|i| self.data[i / len + i % len * count]).collect()),
            false if self.fortran => Err(wrong("it is in Fortran order; use numpy.ascontiguousarray")),
            false => Ok(self.data.to_vec()),
        }
    }

    /// The first column of an array of whole numbers of shape N×K, for sets that keep more beside the class.
    pub fn first_column(mut self, file: &str) -> Result<Vec<u8>> {
        let (element, columns) = (self.number_type(file, "labels")?, self.shape.get(1).copied().unwrap_or(1).max(1));
        let first: Vec<u8> = self.data.chunks_exact(element.size * columns).flat_map(|row| row[..element.size].to_vec()).collect();
        self.shape = vec![first.len() / element.size];
        self.data = first.into();
        self.labels(file)
    }

    fn number_type(&self, file: &str, what: &str) -> Result<Element> {
        let wanted = if what == "images" { "uint8" } else { "integers" };
        self.element.ok_or_else(|| {
            let kind = match self.descr.get(1..2) {
                Some("U" | "S") => ", that is text",
                Some("c") => ", that is complex numbers",
                _ => "",
            };
            let how =
                if what == "images" { "" } else { "; number the classes from 0, for example with numpy.unique(y, return_inverse=True)[1]" };
            bad(file, format_args!("elements are of type {:?}{kind}, but {what} must be {wanted}{how}", self.descr))
        })
    }
}

/// The element type of that name, if it is a number.
fn element(descr: &str) -> Option<Element> {
    let &[order @ (b'<' | b'>' | b'|' | b'='), kind, size @ (b'1' | b'2' | b'4' | b'8')] = descr.as_bytes() else {
        return None;
    };
    let size = usize::from(size - b'0');
    let kind = match kind {
        b'b' if size == 1 => Kind::Bool,
        b'i' => Kind::Int,
        b'u' => Kind::Unsigned,
        b'f' if size > 1 => Kind::Float,
        _ => return None,
    };
    Some(Element { kind, size, big_endian: order == b'>' })
}

impl Element {
    /// The number in `item`, exact up to 2⁵³.
    fn number(self, item: &[u8]) -> f64 {
        let mut little = [0; 8];
        little[..self.size].copy_from_slice(item);
        if self.big_endian {
            little[..self.size].reverse();
        }
        let bits = u64::from_le_bytes(little);
        match (self.kind, self.size) {
            (Kind::Bool, _) => f64::from(u8::from(bits != 0)),
            (Kind::Unsigned, _) => bits as f64,
            // Shifted up and down again to extend the sign.
            (Kind::Int, size) => ((bits << (64 - 8 * size)) as i64 >> (64 - 8 * size)) as f64,
            (Kind::Float, 2) => half(bits as u16),
            (Kind::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Kind::Float, _) => f64::from_bits(bits),
        }
    }
}

/// A number of IEEE's half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, shape: &[usize], fortran: bool, data: &[u8]) -> Array<'static> {
        Array::new(descr, shape.to_vec(), fortran, data.to_vec()).unwrap()
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn every_order_of_axes_gives_the_same_images() {
        // Two images of 2 rows, 5 columns and 3 channels; the value says its place.
        let at = |n: usize, y: usize, x: usize, c: usize| (n * 100 + y * 30 + x * 5 + c) as u8;
        let walk = |order: fn(usize, usize, usize, usize) -> [usize; 4], shape: [usize; 4]| {
            let mut data = vec![0; 60];
            for (n, y, x, c) in (0..60).map(|i| (i / 30, i / 15 % 2, i / 3 % 5, i % 3)) {
                let place = order(n, y, x, c).iter().zip(shape).fold(0, |sum, (i, len)| sum * len + i);
                data[place] = at(n, y, x, c);
            }
            data
        };
        let last = walk(|n, y, x, c| [n, y, x, c], [2, 2, 5, 3]);
        let first = walk(|n, y, x, c| [n, c, y, x], [2, 3, 2, 5]);
        let fortran_last = walk(|n, y, x, c| [c, x, y, n], [3, 5, 2, 2]);
        let fortran_first = walk(|n, y, x, c| [x, y, c, n], [5, 2, 3, 2]);
        for (shape, fortran, data) in [
            (&[2, 2, 5, 3], false, &last),
            (&[2, 3, 2, 5], false, &first),
            (&[2, 2, 5, 3], true, &fortran_last),
            (&[2, 3, 2, 5], true, &fortran_first),
        ] {
            let read = array("|u1", shape, fortran, data).images("f").unwrap();
            assert_eq!((read.images.height, read.images.width, read.images.channels, read.note), (2, 5, 3, None));
            assert_eq!(read.images.pixels, last, "{shape:?}, {fortran}");
        }
        let grey = array("|u1", &[2, 2, 2], true, &[0, 1, 2, 3, 4, 5, 6, 7]).images("f").unwrap();
        assert_eq!(grey.images.pixels, [0, 4, 2, 6, 1, 5, 3, 7]);
        let alpha = array("|u1", &[1, 1, 2, 4], false, &[1, 2, 3, 255, 4, 5, 6, 0]).images("f").unwrap();
        assert_eq!((&alpha.images.pixels[..], alpha.note), (&[1, 2, 3, 4, 5, 6][..], Some("the alpha channel is left out")));
    }

    #[test]
    fn numbers_become_pixels_where_that_is_exact() {
        let read = |descr: &str, data: &[u8], pixels: &[u8]| {
            assert_eq!(array(descr, &[1, 1, pixels.len()], false, data).images("f").unwrap().images.pixels, pixels, "{descr}");
        };
        read("|b1", &[1, 0], &[255, 0]);
        read("<i8", &[255, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0], &[255, 7]);
        read(">u2", &[0, 255, 0, 1], &[255, 1]);
        read("<f4", &f32s(&[0.0, 1.0, 128.0 / 255.0]), &[0, 255, 128]);
        read("<f4", &f32s(&[0.0, 1.0, 254.0]), &[0, 1, 254]);
        read("<f8", &[0.0_f64, 3.0 / 255.0].map(f64::to_le_bytes).concat(), &[0, 3]);
        // 200/255 in half precision is 0x3a46.
        read("<f2", &[0x46, 0x3a, 0, 0x3c], &[200, 255]);
        let told = |descr: &str, data: &[u8], shape: &[usize]| {
            array(descr, shape, false, data).images("f").map(|p| p.images).unwrap_err().to_string()
        };
        assert_eq!(
            told("<f4", &f32s(&[0.0, 0.5]), &[2, 1, 1]),
            "f: image 1: value 0.5 is no 255th, so that it would be rounded; save them as bytes: (255 * x).round().astype('uint8')"
        );
        let floats = |values: &[f32]| told("<f4", &f32s(values), &[1, 1, values.len()]);
        let normalised = "undo the normalisation first (x * std + mean), then save them as bytes: (255 * x).round().astype('uint8')";
        assert_eq!(floats(&[0.0, 2.5]), format!("f: image 0: value 2.5 is no whole number from 0 to 255; {normalised}"));
        assert_eq!(floats(&[0.5, -1.5, 1.0]), format!("f: image 0: value 0.5 is no 255th, so that it would be rounded; {normalised}"));
        assert_eq!(floats(&[-0.5, 1.0]), format!("f: image 0: value -0.5 is not among 0 to 255; {normalised}"));
        let rounded = "f: image 0: value 127.5 is no whole number from 0 to 255; save them as bytes: x.round().astype('uint8')";
        assert_eq!(floats(&[127.5, 255.0]), rounded);
        assert_eq!(floats(&[f32::NAN]), "f: image 0: value NaN is no number from 0 to 255; check how the images were made");
        let integers =
            |values: &[u16], descr| told(descr, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(), &[1, 1, values.len()]);
        let deep = |value, most, white, divisor| {
            format!(
                "f: image 0: value {value} is not among 0 to 255; they go to {most}: if {white} is white, save (x // \
                 {divisor}).astype('uint8')"
            )
        };
        assert_eq!(integers(&[256, 65000], "<u2"), deep(256, 65000, 65535, 257));
        assert_eq!(integers(&[3000, 4000], "<u2"), deep(3000, 4000, 4095, 16));
        assert_eq!(integers(&[0, 1023], "<u2"), deep(1023, 1023, 1023, 4));
        let shifted = "f: image 0: value -1 is not among 0 to 255; shift them first: (x.astype('int16') + 128).astype('uint8')";
        assert_eq!(integers(&[0xffff, 127], "<i2"), shifted);
        assert!(told("<c8", &[0; 8], &[1, 1, 1]).contains("\"<c8\", that is complex numbers, but images must be uint8"));
    }

    #[test]
    fn shapes_that_are_no_images_are_named() {
        let told = Array::new("|u1", vec![0, 1 << 32, 1 << 32], false, Vec::new()).unwrap_err();
        assert_eq!(told, "0 bytes of data do not fit shape [0, 4294967296, 4294967296] of type \"|u1\"");
        let told = |shape: &[usize]| {
            let data = vec![0; shape.iter().product()];
            array("|u1", shape, false, &data).images("f").map(|p| p.images).unwrap_err().to_string()
        };
        assert!(told(&[1, 8, 8, 8]).contains("shape is [1, 8, 8, 8]: these are volumes (3-D)"));
        assert!(told(&[2, 784]).contains("784 numbers a row have no height and width; give them, for example x.reshape(-1, 28, 28)"));
        assert!(told(&[2, 5, 6, 7]).contains("N×H×W×3 (channels last), or N×3×H×W"));
        assert!(told(&[2]).contains("shape is [2], but must be"));
        assert!(told(&[2, 0, 4]).contains("the image height is 0"));
    }

    #[test]
    fn labels_of_every_usual_form() {
        for (descr, item) in
            [("|i1", &[5][..]), (">i2", &[0, 5]), ("<u4", &[5, 0, 0, 0]), (">i8", &[0, 0, 0, 0, 0, 0, 0, 5]), ("<f4", &[0, 0, 0xa0, 0x40])]
        {
            assert_eq!(array(descr, &[1], false, item).labels("f").unwrap(), [5], "{descr}");
        }
        assert_eq!(array("|u1", &[3, 1], false, &[9, 0, 255]).labels("f").unwrap(), [9, 0, 255]);
        assert_eq!(array("|b1", &[2], false, &[1, 0]).labels("f").unwrap(), [1, 0]);
        assert_eq!(array("|u1", &[2, 3], false, &[0, 0, 1, 1, 0, 0]).labels("f").unwrap(), [2, 0]);
        assert_eq!(array("|u1", &[2, 3], true, &[0, 1, 0, 0, 1, 0]).labels("f").unwrap(), [2, 0]);
        assert_eq!(array(">i4", &[2, 2], false, &[0, 0, 0, 7, 9, 9, 9, 9, 0, 0, 0, 4, 1, 1, 1, 1]).first_column("f").unwrap(), [7, 4]);
        let told = |descr: &str, shape: &[usize], data: &[u8]| array(descr, shape, false, data).labels("f").unwrap_err().to_string();
        assert!(told("|u1", &[2, 3], &[0, 0, 1, 1, 1, 0]).contains("row 1 marks 2 of 3 classes: these are multi-label data"));
        assert!(told("|u1", &[2, 3], &[0, 0, 0, 0, 0, 1]).contains("row 0 marks 0 of 3 classes"));
        assert!(told("|u1", &[2, 3], &[0, 2, 0, 0, 0, 1]).contains("row 0 holds more than 0 and 1"));
        let lying = |n: usize| format!("f: shape is [1, {n}], a single row of {n} numbers, but labels are N or N×1; save labels.ravel()");
        for row in [&[0, 2, 1][..], &[0, 1, 1], &[0; 300]] {
            assert_eq!(told("|u1", &[1, row.len()], row), lying(row.len()));
        }
        assert!(told("|i1", &[1], &[0xff]).contains("row 0: label -1 is not among 0 to 255"));
        assert!(told("<f4", &[1], &f32s(&[0.5])).contains("row 0: label 0.5 is no whole number"));
        assert!(told("<U1", &[1], &[65, 0, 0, 0]).contains("that is text, but labels must be integers; number the classes"));
        assert!(told("|u1", &[1, 1, 1], &[0]).contains("labels must be a single row"));
        let rows = array("|u1", &[2, 3], true, &[1, 4, 2, 5, 3, 6]);
        assert_eq!(rows.rows("f", 3).unwrap(), [1, 2, 3, 4, 5, 6]);
        assert!(
            rows.rows("f", 4)
                .unwrap_err()
                .to_string()
                .contains("shape [2, 3] of type \"|u1\": it must be N×4, or N×3×H×W of as many elements")
        );
        let objects = Array::new("|O", vec![1], false, vec![0; 8]).unwrap_err();
        assert!(objects.contains("Python objects"), "{objects}");
        assert!(Array::new("|u1", vec![usize::MAX, 2], false, vec![0; 8]).unwrap_err().contains("8 bytes of data do not fit"));
    }

    #[test]
    fn half_precision() {
        for (bits, value) in [(0, 0.0), (1, 2_f64.powi(-24)), (0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x7c00, f64::INFINITY)] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7e00).is_nan());
    }
}
