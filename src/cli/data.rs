//! `splitmix data`

use super::train::client_rows;
use super::{configuration, load_data, print};
use crate::Result;
use crate::data::contact_sheet;
use crate::data::{Splits, class_table, describe};
use crate::run::run_dir::write_atomically;
use crate::run::{TrainOverrides, model};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Show what each client of a training with these options would hold.
    #[arg(long)]
    clients: bool,
    /// Draw samples of every domain to this PNG file.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Samples of each class on the sheet, 1 to 20.
    #[arg(long, default_value_t = 6)]
    samples: u32,
    /// TOML file with the options of a training; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: TrainOverrides,
}

pub(super) fn run(args: Args) -> Result<()> {
    let config = configuration(args.config.as_deref(), args.options)?;
    let dataset = load_data(&config)?;
    print(&describe(&dataset))?;
    if args.clients {
        let parts = model::partition(&dataset, &config)?;
        print(&format!("\n{}", class_table(&client_rows(&parts.clients, &dataset), &dataset.classes, Splits::All)))?;
        for warning in &parts.warnings {
            eprintln!("note: {warning}");
        }
    }
    if let Some(path) = args.sheet {
        write_atomically(&path, &contact_sheet(&dataset, args.samples)?)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
