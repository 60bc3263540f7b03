//! `splitmix predict`

use super::eval::{Opened, PlaceArgs};
use super::mix::client_number;
use super::{print, table};
use crate::data::{Dataset, load_image};
use crate::run::config::{BnMode, Widths};
use crate::run::model::TestSettings;
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

/// Images that a picture is normalised with where nothing else is said.
const CONTEXT: usize = 127;

pub(super) async fn run(args: Args) -> Result<()> {
    let opened = Opened::new(&args.model, &args.place, args.widths.as_ref().map(|w| w.0.as_slice())).await?;
    let Opened { config, gpu, model, dataset, clients, header, .. } = &opened;
    let widths = match args.widths {
        Some(widths) => widths.0,
        None => vec![opened.widths().last().copied().unwrap_or(config.algorithm().full_width()?)],
    };
    model.check_lambda(args.lambda)?;
    let client = match (&model.local, &args.client) {
        (None, None) => 0,
        (Some(_), Some(name)) => client_number(clients, name)?,
        (None, Some(_)) => {
            return Err(Error::Config("client: this model has the same batch norms for all clients: leave it out".into()));
        }
        (Some(_), None) => {
            return Err(Error::Config("every client has batch norms of its own in this model: choose one with --client".into()));
        }
    };
    let [_, height, width] = header.image;
    let mut pictures = Vec::new();
    for path in &args.images {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { action: "cannot read the picture", path: path.clone(), source })?;
        let picture =
            load_image(&bytes, height as u32, width as u32).map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
        pictures.push(picture);
    }
    let alone = model.bn_mode != BnMode::Batch;
    if alone && (args.context.is_some() || args.domain.is_some()) {
        return Err(Error::Config(
            "context and domain: this model normalises by running statistics, each picture alone: leave them out".into(),
        ));
    }
    let context = if alone { Vec::new() } else { context(dataset, args.context.unwrap_or(CONTEXT), args.domain.as_deref())? };

    // Every picture in a batch of its own, so that a prediction does not depend on the other pictures named.
    let each = 1 + context.len();
    let mut pixels = Vec::new();
    for picture in &pictures {
        pixels.extend_from_slice(picture);
        context.iter().for_each(|c| pixels.extend_from_slice(c));
    }
    let batch = if alone { 1 } else { each.max(3) };
    let settings = TestSettings { widths: widths.clone(), lambda: args.lambda, order: Vec::new(), batch, limit: config.limit() };
    let probabilities = model.predict(gpu, &pixels, &settings, client).await?;

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

/// Test images of the model's data, of one domain or of all in turn.
fn context<'a>(dataset: &'a Dataset, count: usize, domain: Option<&str>) -> Result<Vec<&'a [u8]>> {
    if count == 0 {
        return Err(Error::Config("context = 0: a picture needs at least one other to be normalised with".into()));
    }
    let domains: Vec<_> = dataset.domains.iter().filter(|d| domain.is_none_or(|name| d.name == name)).collect();
    if domains.is_empty() {
        let names: Vec<_> = dataset.domains.iter().map(|d| d.name.as_str()).collect();
        return Err(Error::Config(format!("domain: no {:?}; the data has {}", domain.unwrap_or_default(), names.join(", "))));
    }
    let most = domains.iter().map(|d| d.test.len()).min().unwrap_or(0) * domains.len();
    Ok((0..count.min(most)).map(|i| domains[i % domains.len()].test.image(i / domains.len())).collect())
}
