//! `splitmix predict`

use super::eval::{PlaceArgs, open_model};
use super::{load_data, open_gpu, print, table};
use crate::data::load_image;
use crate::run::config::Widths;
use crate::run::model::{Model, TestSettings};
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Pictures to classify, PNG or JPEG; each is resized to the network's input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(long, default_value = "runs/train")]
    model: PathBuf,
    /// Widths to mix, separated by commas; the full width when not given.
    #[arg(long)]
    widths: Option<Widths>,
    /// Test images of the model's data that each picture is normalised with: with batch statistics a network cannot judge
    /// a picture alone.
    #[arg(long, default_value_t = 127)]
    context: usize,
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
    let (file, checkpoint) = open_model(&args.model)?;
    let config = args.place.apply(checkpoint.header.config.clone())?;
    let widths = match args.widths {
        Some(widths) => widths.0,
        None => vec![config.method().full_width()?],
    };
    widths.iter().try_for_each(|w| config.method().mixed_bases(*w).map(|_| ()))?;
    if args.context == 0 {
        return Err(Error::Config("context = 0: a picture needs at least one other to be normalised with".into()));
    }
    let [_, height, width] = checkpoint.header.image;
    let mut pictures = Vec::new();
    for path in &args.images {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { action: "cannot read the picture", path: path.clone(), source })?;
        let picture =
            load_image(&bytes, height as u32, width as u32).map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
        pictures.push(picture);
    }

    let dataset = load_data(&config)?;
    let domains: Vec<_> = match &args.domain {
        None => dataset.domains.iter().collect(),
        Some(name) => dataset.domains.iter().filter(|d| &d.name == name).collect(),
    };
    if domains.is_empty() {
        let names: Vec<_> = dataset.domains.iter().map(|d| d.name.as_str()).collect();
        return Err(Error::Config(format!("domain: no {:?}; the data has {}", args.domain.unwrap_or_default(), names.join(", "))));
    }
    let most = domains.iter().map(|d| d.test.len()).min().unwrap_or(0) * domains.len();
    let context: Vec<&[u8]> = (0..args.context.min(most)).map(|i| domains[i % domains.len()].test.image(i / domains.len())).collect();

    let gpu = open_gpu(config.adapter.clone(), config.checked_shaders).await?;
    let model = Model::from_checkpoint(&gpu, checkpoint, &file.display().to_string())?;
    // Every picture in a batch of its own, so that a prediction does not depend on the other pictures named.
    let each = 1 + context.len();
    let mut pixels = Vec::new();
    for picture in &pictures {
        pixels.extend_from_slice(picture);
        context.iter().for_each(|c| pixels.extend_from_slice(c));
    }
    let probabilities = model
        .predict(
            &gpu,
            &pixels,
            &TestSettings { widths: widths.clone(), lambda: 0.0, order: Vec::new(), batch: each.max(3), limit: config.limit() },
            0,
        )
        .await?;

    let mut rows = vec![vec!["picture".to_string(), "width".to_string()]];
    rows[0].extend((1..=args.top).map(|n| format!("{n}.")));
    for (i, path) in args.images.iter().enumerate() {
        for (width, of_width) in widths.iter().zip(&probabilities) {
            let mut classes: Vec<(usize, f32)> = of_width[i * each].iter().copied().enumerate().collect();
            classes.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut row = vec![path.display().to_string(), width.to_string()];
            row.extend(classes.iter().take(args.top).map(|(c, p)| format!("{} {:.1}%", dataset.classes[*c], 100.0 * p)));
            rows.push(row);
        }
    }
    print(&table(&rows))
}
