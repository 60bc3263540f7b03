//! `splitmix eval`

use super::train::{client_rows, report_table};
use super::{effective, load_data, open_gpu, percent, print, table};
use crate::fl::Attack;
use crate::run::config::{ByteSize, DataSource, List, Widths};
use crate::run::model::{self, Images, Model, Report, TestSettings};
use crate::run::robust::{RobustReport, signs_of_masking};
use crate::run::run_dir::{BEST, read_checkpoint, write_atomically};
use crate::run::{Checkpoint, TrainConfig};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(default_value = "runs/train")]
    model: PathBuf,
    /// Widths to mix, separated by commas, such as 1/8,3/8,1. Any multiple of the base width; those of training when not
    /// given.
    #[arg(long)]
    widths: Option<Widths>,
    /// Images in a test batch; with batch statistics it is part of the result. As in training when not given.
    #[arg(long)]
    eval_batch_size: Option<usize>,
    /// Test the same images after these attacks, too, separated by commas: fgsm or pgd-STEPS in a ball of 8/255; then, as
    /// wanted, -epsN for N/255, -restartsN, -targeted; such as fgsm,pgd-20,pgd-20-eps16-restarts5. Each width is attacked
    /// for itself.
    #[arg(long, value_name = "ATTACKS")]
    attack: Option<List<Attack>>,
    /// Show every client's accuracy, too.
    #[arg(long)]
    clients: bool,
    /// Write the report to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where a trained model's data is and where it runs: what may differ from its training.
#[derive(clap::Args)]
pub(super) struct PlaceArgs {
    /// Folder with the data sets, where it has moved since the training.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Adapter: its index in `splitmix devices` or a part of its name; the fastest when not given.
    #[arg(long)]
    adapter: Option<String>,
    /// GPU memory to use at most, such as 2GiB.
    #[arg(long)]
    memory_limit: Option<ByteSize>,
    /// Keep the run-time bounds checks in the shaders.
    #[arg(long)]
    checked_shaders: bool,
}

impl PlaceArgs {
    /// The configuration of a model's training with this machine's places in it.
    pub(super) fn apply(&self, mut config: TrainConfig) -> Result<TrainConfig> {
        config.adapter = self.adapter.clone();
        config.memory_limit = self.memory_limit;
        config.checked_shaders = self.checked_shaders;
        if config.data == DataSource::Directory
            && let Some(folder) = self.data_dir.clone().or_else(super::data_folder_of_environment)
        {
            config.data_dir = Some(folder);
        }
        effective(config)
    }
}

/// Reads a checkpoint file, or the best checkpoint of a run's folder. Returns its path as well.
pub(super) fn open_model(path: &Path) -> Result<(PathBuf, Checkpoint)> {
    let file = if path.is_dir() { path.join(BEST) } else { path.to_path_buf() };
    if !file.exists() {
        return Err(Error::Data(format!("{} is not there: name a checkpoint or the folder of a run", file.display())));
    }
    let checkpoint = read_checkpoint(&file)?;
    Ok((file, checkpoint))
}

/// What `--json` writes: the standard accuracies as ever, and those after each attack.
#[derive(serde::Serialize)]
struct Reports {
    #[serde(flatten)]
    standard: Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attacked: Vec<RobustReport>,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let (file, checkpoint) = open_model(&args.model)?;
    let config = args.place.apply(checkpoint.header.config.clone())?;
    let widths = args.widths.map_or_else(|| config.widths.0.clone(), |w| w.0);
    let batch = args.eval_batch_size.unwrap_or(config.eval_batch_size);
    // Before the slow part, so that a wrong width is told at once.
    widths.iter().try_for_each(|w| config.method().mixed_bases(*w).map(|_| ()))?;
    let dataset = load_data(&config)?;
    let gpu = open_gpu(config.adapter.clone(), config.checked_shaders).await?;
    let model = Model::from_checkpoint(&gpu, checkpoint, &file.display().to_string())?;
    if model.classes != dataset.classes.len() {
        return Err(Error::Data(format!("the model knows {} classes, the data has {}", model.classes, dataset.classes.len())));
    }
    let clients = model::partition(&dataset, &config)?.clients;
    let images = Images::new(&gpu, &dataset, model.network.input)?;
    let settings = TestSettings { widths, lambda: 0.0, order: Vec::new(), batch, limit: config.limit() };
    let report = model.test(&gpu, &images, &clients, &settings).await?;
    let mut attacked = Vec::new();
    for attack in args.attack.map_or_else(Vec::new, |a| a.0) {
        eprintln!("attack {attack}");
        attacked.push(model.attack(&gpu, &images, &clients, &settings, attack, config.seed as u32).await?);
    }

    let mut text = format!("test accuracy in %, mean over clients, of {}:\n{}", file.display(), report_table(&report, &dataset));
    for a in &attacked {
        text += &format!("\nthe same after the attack {}:\n{}", a.attack, report_table(&a.report, &dataset));
    }
    for sign in signs_of_masking(&attacked) {
        text += &format!("warning: {sign}; gradients may be masked, and robust accuracy overstated\n");
    }
    if args.clients {
        let mut rows = vec![vec!["client".to_string(), "domain".to_string(), "budget".to_string()]];
        rows[0].extend(report.widths.iter().map(|w| w.width.to_string()));
        for (i, client) in client_rows(&clients, &dataset).into_iter().enumerate() {
            let mut row = vec![client.name, client.domain, client.budget];
            row.extend(report.widths.iter().map(|w| percent(w.clients[i])));
            rows.push(row);
        }
        text += &format!("\n{}", table(&rows));
    }
    print(&text)?;
    if let Some(path) = args.json {
        let json = serde_json::to_vec_pretty(&Reports { standard: report, attacked })
            .map_err(|e| Error::Data(format!("the report cannot be written: {e}")))?;
        write_atomically(&path, &json)?;
    }
    Ok(())
}
