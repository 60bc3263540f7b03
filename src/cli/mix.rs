//! `splitmix mix`

use super::eval::{Order, PlaceArgs, open, order_of};
use super::{check_apart, check_new, check_output, ending, print};
use crate::fl::Ratio;
use crate::run::config::BnMode;
use crate::run::mix::Choice;
use crate::run::model::{Model, TestSettings};
use crate::run::onnx::to_onnx;
use crate::run::run_dir::write_atomically;
use crate::run::trained::client_number;
use crate::run::{Checkpoint, Trained};
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(default_value = "runs/train")]
    model: PathBuf,
    /// Width of the model to make, such as 3/8: any multiple of the base width; the full width when not given.
    #[arg(long)]
    width: Option<Ratio>,
    /// Share of the adversarial batch norms in [0, 1], for a model of adversarial training.
    #[arg(long, default_value_t = 0.0)]
    lambda: f64,
    /// Which bases are taken first: `own`, as they are numbered, or `accuracy`, the best on the validation images.
    #[arg(long, default_value = "own", ignore_case = true)]
    order: Order,
    /// Client whose own parameters are taken, as `splitmix data` names it, where clients have such (local-bn, personal, bn-mode post,
    /// fesem or ifca).
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The checkpoint to write: eval and predict take it.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Write the model as an ONNX file, too; not of a model that normalises by the statistics of each batch.
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: Args) -> Result<()> {
    check_new(&args.to)?;
    // Other programs go by a file's ending.
    if let Some(other) =
        ending(&args.to).filter(|ending| ["onnx", "pt", "pth", "bin", "npz", "json", "toml", "h5"].contains(&ending.as_str()))
    {
        let named = args.to.with_extension("safetensors");
        let onnx = if other == "onnx" { format!(", and add --onnx {} for one", args.to.display()) } else { String::new() };
        return Err(Error::Config(format!(
            "--to {}: a checkpoint is no .{other} file: write --to {}{onnx}",
            args.to.display(),
            named.display()
        )));
    }
    if let Some(onnx) = &args.onnx {
        check_new(onnx)?;
        check_output(onnx)?;
        check_apart(&args.to, onnx, "onnx")?;
    }
    let (file, trained) = open(&args.model, &args.place, args.width.as_ref().map(std::slice::from_ref)).await?;
    let Trained { gpu, model, clients, header, .. } = &trained;
    let width = match (args.width, trained.widths().last()) {
        (Some(width), _) => width,
        (None, Some(widest)) => *widest,
        (None, None) => return Err(Error::Config("width: the model names none: say which with --width".into())),
    };
    model.check_lambda(args.lambda)?;
    let client = args.client.as_ref().map(|name| client_number(clients, name)).transpose()?;
    let order = order_of(&trained, args.order, args.lambda).await?;
    let choice = Choice { width, lambda: args.lambda, order, client: client.zip(args.client.clone()) };
    let mixed = model.mix(gpu, header, &choice).await?;
    check_answers(&trained, &mixed, width).await.map_err(|error| match error {
        Error::Data(what) => Error::Data(format!("{}: {what}; nothing is written", file.display())),
        other => other,
    })?;
    let network = mixed.header.network()?;
    let onnx = args.onnx.as_ref().map(|_| to_onnx(&network, &mixed)).transpose()?;
    write_atomically(&args.to, &mixed.to_bytes()?)?;
    let bases = mixed.header.bases as u64;
    let norm = match mixed.header.bn_mode() {
        BnMode::Batch => "the statistics of each batch",
        _ => "running statistics",
    };
    let mut text = format!(
        "width {width}, lambda {}: {bases} base(s), {} parameters, {:.2} million multiply–adds an image, normalised by {norm}\nmodel: {}\n",
        args.lambda,
        bases * network.parameters(),
        (bases * network.macs()) as f64 * 1e-6,
        args.to.display(),
    );
    if let (Some(path), Some(bytes)) = (&args.onnx, onnx) {
        write_atomically(path, &bytes).inspect_err(|_| {
            // Both files or neither.
            if args.to.is_file() {
                let _ = std::fs::remove_file(&args.to);
            }
        })?;
        text += &format!("onnx: {}\n", path.display());
    }
    print(&text)
}

/// Checks on a few test images of every client that the answers of a mixed model are finite.
async fn check_answers(trained: &Trained, mixed: &Checkpoint, width: Ratio) -> Result<()> {
    const IMAGES: usize = 4;
    let Trained { gpu, images, config, .. } = trained;
    let model = Model::from_checkpoint(gpu, mixed.clone(), "the mixed model")?;
    let settings = TestSettings { widths: vec![width], lambda: 0.0, order: Vec::new(), batch: IMAGES, limit: config.limit() };
    model.test(gpu, images, &trained.clients_with_tests(Some(IMAGES)), &settings).await.map(|_| ())
}
