//! `splitmix predict`

use super::eval::{PlaceArgs, open};
use super::{print, table};
use crate::data::load_picture;
use crate::run::config::Widths;
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Pictures to classify, PNG, JPEG, WebP or BMP; each is resized to the network's input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(long, default_value = "runs/train")]
    model: PathBuf,
    /// Widths to mix, separated by commas; the full width when not given.
    #[arg(long)]
    widths: Option<Widths>,
    /// Share of the adversarial batch norms in [0, 1], for a model of adversarial training.
    #[arg(long, default_value_t = 0.0)]
    lambda: f64,
    /// Client whose batch norms are used, as `splitmix data` names it, where clients have their own (local-bn, or bn-mode post).
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Test images of the model's data that each picture is normalised with, 127 when not given: with batch statistics a network
    /// cannot judge a picture alone.
    #[arg(long, value_name = "IMAGES")]
    context: Option<usize>,
    /// Domain that the context is taken from; all domains in turn when not given.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Likeliest classes to show.
    #[arg(long, default_value_t = 3)]
    top: usize,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let (_, trained) = open(&args.model, &args.place, args.widths.as_ref().map(|w| w.0.as_slice())).await?;
    let widths = match args.widths {
        Some(widths) => widths.0,
        None => vec![trained.widths().last().copied().unwrap_or(trained.config.algorithm().full_width()?)],
    };
    let client = trained.client_of_norms(args.client.as_deref())?;
    let [_, height, width] = trained.header.image;
    // One that cannot be read does not keep the others from being shown.
    let (mut names, mut pictures, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.images {
        match load_picture(path, (height as u32, width as u32)) {
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
    let context = trained.context(args.context, args.domain.as_deref())?;
    let mut probabilities = vec![Vec::new(); widths.len()];
    let at_once = pictures_at_once(trained.gpu.largest_binding(), trained.model.network.input.len().into(), context.count());
    for some in pictures.chunks(at_once) {
        let of_some = trained.predict(some, &widths, args.lambda, &context, client).await?;
        probabilities.iter_mut().zip(of_some).for_each(|(all, some)| all.extend(some));
    }

    let top = args.top.min(trained.dataset.classes.len());
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

/// Pictures that go to the device in one buffer of at most so many bytes, each with the images that it is judged with.
fn pictures_at_once(largest: u64, image: u64, beside: usize) -> usize {
    // More at once would gain nothing.
    (largest.min(64 << 20) / image.saturating_mul(1 + beside as u64)).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::pictures_at_once;

    #[test]
    fn pictures_and_their_context_fit_a_buffer() {
        assert_eq!(pictures_at_once(128 << 20, 28 * 28 * 3, 127), 222);
        assert_eq!(pictures_at_once(1 << 20, 28 * 28 * 3, 0), 445);
        assert_eq!(pictures_at_once(1 << 20, 224 * 224 * 3, usize::MAX - 1), 1, "one is tried at least");
    }
}
