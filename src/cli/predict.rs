//! `splitmix predict`

use super::eval::{PlaceArgs, check_distinct, open};
use super::{note, print, table};
use crate::data::{Dataset, has_more_pictures, load_image, load_inverted, read_picture};
use crate::run::config::Widths;
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Pictures to classify, PNG, JPEG, WebP or BMP; each is resized to the network's input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Take the pictures' negatives: every value p becomes 255 − p. For dark strokes on white where the model's images are bright on black.
    #[arg(long)]
    invert: bool,
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(long, default_value = "runs/train")]
    model: PathBuf,
    /// Widths to mix, separated by commas; the full width when not given.
    #[arg(long)]
    widths: Option<Widths>,
    /// Share of the adversarial batch norms in [0, 1], for a model of adversarial training.
    #[arg(long, default_value_t = 0.0)]
    lambda: f64,
    /// Client whose own parameters are used, as `splitmix data` names it, where clients have such (local-bn, personal, bn-mode post,
    /// fesem or ifca).
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Test images of the model's data that each picture is normalised with, 127 when not given: with batch statistics a network
    /// cannot judge a picture alone.
    #[arg(long, value_name = "IMAGES")]
    context: Option<usize>,
    /// Domain that the context is taken from; all domains in turn when not given.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Likeliest classes to show; 3 when not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: Args) -> Result<()> {
    args.widths.iter().try_for_each(|all| check_distinct("widths", &all.0))?;
    let (_, trained) = open(&args.model, &args.place, args.widths.as_ref().map(|w| w.0.as_slice())).await?;
    let widths = match args.widths {
        Some(widths) => widths.0,
        None => vec![trained.widths().last().copied().unwrap_or(trained.config.algorithm().full_width()?)],
    };
    let client = trained.client_of_norms(args.client.as_deref())?;
    let [_, height, width] = trained.header.image;
    // One that cannot be read does not keep the others from being shown.
    let (mut names, mut pictures, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    let read = if args.invert { load_inverted } else { load_image };
    for path in &args.images {
        let read = |bytes: &[u8]| {
            if has_more_pictures(bytes) {
                note(format!("{}: it holds several pictures: only the first is used", path.display()));
            }
            read(bytes, height as u32, width as u32)
        };
        match read_picture(path, read) {
            Ok(picture) => {
                names.push(path);
                pictures.push(picture);
            }
            Err(error) => unread.push(error),
        }
    }
    if pictures.is_empty() {
        return fail(unread);
    }
    let brightness: Vec<u8> = pictures.iter().map(|picture| border(picture, height, width)).collect();
    if let Some(hint) = inversion_hint(&brightness, &test_borders(&trained.dataset, args.domain.as_deref()), args.invert) {
        eprintln!("hint: {hint}");
    }
    let context = trained.context(args.context, args.domain.as_deref())?;
    if let Some(wanted) = args.context.filter(|wanted| *wanted > context.count()) {
        note(format!("context = {wanted}: the data has {} test images for it, and all of them are used", context.count()));
    }
    let mut probabilities = vec![Vec::new(); widths.len()];
    let at_once = pictures_at_once(trained.gpu.largest_binding(), trained.model.network.input.len().into(), context.count());
    for some in pictures.chunks(at_once) {
        let of_some = trained.predict(some, &widths, args.lambda, &context, client).await?;
        probabilities.iter_mut().zip(of_some).for_each(|(all, some)| all.extend(some));
    }

    let classes = trained.dataset.classes.len();
    if let Some(top) = args.top.filter(|top| *top as usize > classes) {
        note(format!("top = {top}: the model knows {classes} classes, and all of them are shown"));
    }
    let top = classes.min(args.top.unwrap_or(3) as usize);
    let mut rows = vec![vec!["picture".to_string(), "width".to_string()]];
    rows[0].extend((1..=top).map(|n| format!("{n}.")));
    for (i, path) in names.iter().enumerate() {
        for (width, of_width) in widths.iter().zip(&probabilities) {
            let mut classes: Vec<(usize, f32)> = of_width[i].iter().copied().enumerate().collect();
            classes.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut row = vec![path.display().to_string(), width.to_string()];
            row.extend(classes.iter().take(top).map(|(c, p)| format!("{} {:.1}%", trained.dataset.classes[*c], 100.0 * p)));
            rows.push(row);
        }
    }
    print(&table(&rows))?;
    fail(unread)
}

/// Ends with the last of these errors, after a line for each of the others.
fn fail(mut unread: Vec<Error>) -> Result<()> {
    let last = unread.pop();
    unread.iter().for_each(|error| eprintln!("splitmix: {error}"));
    last.map_or(Ok(()), Err)
}

/// Brightness up to which a border is dark, and from which it is bright.
const DARK: u8 = 64;
const BRIGHT: u8 = 191;
/// Test images of a domain, spread over all, that pictures are compared with.
const COMPARED: usize = 200;

/// Mean of the outermost pixels of a picture of H·W·3 bytes, over all channels.
fn border(pixels: &[u8], height: usize, width: usize) -> u8 {
    let edge = |i: usize| {
        let (row, column) = (i / 3 / width, i / 3 % width);
        row == 0 || column == 0 || row + 1 == height || column + 1 == width
    };
    let (sum, count) = (0..pixels.len()).filter(|i| edge(*i)).fold((0, 0), |(sum, count), i| (sum + u64::from(pixels[i]), count + 1));
    (sum / std::cmp::max(count, 1)) as u8
}

/// The borders of test images of one domain, or of all.
fn test_borders(dataset: &Dataset, domain: Option<&str>) -> Vec<u8> {
    let (height, width) = dataset.image_size();
    let of_domain = |d: &crate::data::Domain| {
        let count = COMPARED.min(d.test.len());
        let borders = (0..count).map(|i| border(d.test.image(i * d.test.len() / count), height as usize, width as usize));
        borders.collect::<Vec<_>>()
    };
    dataset.domains.iter().filter(|d| domain.is_none_or(|name| d.name == name)).flat_map(of_domain).collect()
}

/// What to try where pictures look like negatives of the model's images: their borders are bright, while half of those of the model's
/// images are dark and next to none bright; or the other way round. Nothing else is changed by it.
fn inversion_hint(pictures: &[u8], own: &[u8], inverted: bool) -> Option<String> {
    let (dark, bright) = (|b: &u8| *b <= DARK, |b: &u8| *b >= BRIGHT);
    let count = |all: &[u8], is: &dyn Fn(&u8) -> bool| all.iter().filter(|b| is(b)).count();
    let mostly =
        |one: &dyn Fn(&u8) -> bool, other: &dyn Fn(&u8) -> bool| 2 * count(own, one) > own.len() && 20 * count(own, other) < own.len();
    let (found, theirs, ours) = if mostly(&dark, &bright) {
        (count(pictures, &bright), "bright", "dark")
    } else if mostly(&bright, &dark) {
        (count(pictures, &dark), "dark", "bright")
    } else {
        return None;
    };
    let what = match inverted {
        true => "leave --invert out",
        false => "if they are negatives of what the model was trained on, add --invert",
    };
    (found > 0).then(|| {
        let all = pictures.len();
        format!("the border of {found} of {all} picture(s) is {theirs}, those of the model's images are mostly {ours}: {what}")
    })
}

/// Pictures that go to the device in one buffer of at most so many bytes, each with the images that it is judged with.
fn pictures_at_once(largest: u64, image: u64, beside: usize) -> usize {
    // More at once would gain nothing.
    (largest.min(64 << 20) / image.saturating_mul(1 + beside as u64)).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::{border, inversion_hint, pictures_at_once, test_borders};

    #[test]
    fn negatives_are_hinted_at_by_their_borders() {
        let frame: Vec<u8> = (0..5 * 4 * 3).map(|i| if [5, 6].contains(&(i / 3)) { 7 } else { 250 }).collect();
        // Two pixels of row 1 are inside: they do not count.
        assert_eq!(border(&frame, 5, 4), 250);
        assert_eq!(border(&[9, 10, 11], 1, 1), 10);
        let digits = crate::data::embedded().unwrap();
        let own = test_borders(&digits, None);
        assert_eq!(own.len(), 200 * digits.domains.len());
        let hint = inversion_hint(&[255, 0, 250], &own, false).unwrap();
        assert_eq!(
            hint,
            "the border of 2 of 3 picture(s) is bright, those of the model's images are mostly dark: if they are negatives of what the model \
             was trained on, add --invert"
        );
        assert!(inversion_hint(&[255], &test_borders(&digits, Some("mnist")), true).unwrap().ends_with("leave --invert out"));
        assert_eq!(inversion_hint(&[0, 30, 128], &own, false), None);
        // Photographs have all borders: nothing is known.
        let photographs: Vec<u8> = (0..=255).collect();
        assert_eq!(inversion_hint(&[0, 255], &photographs, false), None);
        let paper = [255; 30];
        assert!(inversion_hint(&[0], &paper, false).unwrap().contains("is dark, those of the model's images are mostly bright"));
        assert_eq!(inversion_hint(&[255], &paper, false), None);
        assert_eq!(inversion_hint(&[255], &[], false), None);
    }

    #[test]
    fn pictures_and_their_context_fit_a_buffer() {
        assert_eq!(pictures_at_once(128 << 20, 28 * 28 * 3, 127), 222);
        assert_eq!(pictures_at_once(1 << 20, 28 * 28 * 3, 0), 445);
        assert_eq!(pictures_at_once(1 << 20, 224 * 224 * 3, usize::MAX - 1), 1, "one is tried at least");
    }
}
