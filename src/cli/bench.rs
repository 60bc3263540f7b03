//! `splitmix bench`

use super::{AdapterArgs, check_output, print};
use crate::bench::{self, BenchOptions, Progress};
use crate::engine::Limit;
use crate::fl::Ratio;
use crate::run::config::{ByteSize, List, NetworkChoice};
use crate::run::run_dir::write_atomically;
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Numbers of lanes to measure a step and a round with, separated by commas, at most 65536; 1,8,64,190 on a GPU and fewer
    /// on a software driver when not given.
    #[arg(long)]
    lanes: Option<List<u32>>,
    /// Number of lanes to measure every single dispatch with; 0 for none. The last of --lanes when only that is given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=MOST_LANES))]
    kernels_at: Option<u32>,
    /// Images in a mini-batch, 2 to 4096.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=4096))]
    batch_size: Option<u32>,
    /// Network: digits, preact-resnet18, alexnet, or a TOML file that describes one.
    #[arg(long)]
    network: Option<NetworkChoice>,
    /// Width of one base as a fraction of the full network.
    #[arg(long)]
    base_width: Option<Ratio>,
    /// Most timings of which the best is taken.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MOST_REPEATS))]
    repeats: Option<u32>,
    /// Time the convolutions and linear layers with every variant of their kernels, too.
    #[arg(long)]
    variants: bool,
    /// Measure 190 lanes × 32 of the Digits base against the bars set for one H100, validation included.
    #[arg(long)]
    goal: bool,
    /// GPU memory to use at most, such as 2GiB.
    #[arg(long)]
    memory_limit: Option<ByteSize>,
    /// Lanes trained at once at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MOST_LANES))]
    wave_lanes: Option<u32>,
    /// Write the report to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterArgs,
}

/// More would not end within a day.
const MOST_REPEATS: i64 = 1_000_000;

/// More measure nothing new, and their lists alone would fill the memory.
const MOST_LANES: i64 = 65_536;

pub(super) async fn run(args: Args) -> Result<()> {
    args.json.iter().try_for_each(|file| check_output(file))?;
    if let Some(lanes) = args.lanes.iter().flat_map(|l| &l.0).find(|lanes| i64::from(**lanes) > MOST_LANES) {
        return Err(Error::Config(format!("lanes = {lanes}: it must be at most {MOST_LANES}")));
    }
    let gpu = args.adapter.open().await?;
    let mut options = BenchOptions::for_adapter(&gpu);
    options.started = super::STARTED.get().map(|began| (*began, began.elapsed().as_secs_f64()));
    if args.goal {
        (options.lanes, options.kernels_at, options.validation) = (vec![190], 190, true);
    }
    options.variants = args.variants;
    options.network = args.network.unwrap_or(options.network).read()?;
    if let Some(lanes) = args.lanes {
        options.kernels_at = lanes.0.last().copied().unwrap_or(options.kernels_at);
        options.lanes = lanes.0;
    }
    options.kernels_at = args.kernels_at.unwrap_or(options.kernels_at);
    options.batch = args.batch_size.unwrap_or(options.batch);
    options.base_width = args.base_width.unwrap_or(options.base_width);
    // As many bases as make the full width, if they are few.
    options.bases = options.bases.min(Ratio::ONE.floor_div(options.base_width).max(1) as u32);
    options.repeats = args.repeats.unwrap_or(options.repeats);
    options.limit = Limit { memory: args.memory_limit.map(|b| b.0), lanes: args.wave_lanes, ..Limit::default() };
    let mut printed = Ok(());
    let report = bench::run(&gpu, &options, |progress| match progress {
        Progress::Next(what) => eprintln!("{what}"),
        // The JSON is worth measuring even where nobody reads the page.
        Progress::Section(text) if printed.is_ok() => printed = print(text),
        Progress::Section(_) => {}
    })
    .await?;
    if let Some(path) = args.json {
        let json = serde_json::to_vec_pretty(&report).map_err(|e| Error::Data(format!("the report cannot be written: {e}")))?;
        write_atomically(&path, &json)?;
    }
    printed
}
