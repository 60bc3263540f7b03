//! `splitmix data`

use super::arguments::time;
use super::train::{client_rows, unused_images, unused_limit};
use super::{check_output, configuration, data_folder_of_environment, load_data, note, print, table};
use crate::data::contact_sheet;
use crate::data::fetch::{Origin, fetch, sources};
use crate::data::{Splits, class_table, describe};
use crate::run::config::Images;
use crate::run::run_dir::write_atomically;
use crate::run::{TrainConfig, TrainOverrides, model};
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show what each client of a training with these options would hold.
    #[arg(long)]
    clients: bool,
    /// Draw samples of every domain to this PNG file.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Samples of each class on the sheet, 1 to 20; 6 when not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    samples: Option<u32>,
    /// TOML file with the options of a training; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: TrainOverrides,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Fetch a public data set from its authors' address: resumable, and checked against its known SHA-256 or published MD5.
    Fetch(FetchArgs),
}

#[derive(clap::Args)]
struct FetchArgs {
    /// Data set; without a name, the sets are listed.
    name: Option<String>,
    /// Folder of data sets, in which the set has a folder of its own: $SPLITMIX_DATA, or else `data`, when not given.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Address of a folder that has the files, instead of the authors'.
    #[arg(long, conflicts_with = "from")]
    url: Option<String>,
    /// Copy the files from this machine: the folder that has them, or a single file. Checksums are still verified.
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Longest wait for an answer or for the next bytes.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
}

/// Longest wait of `data fetch` where none is given.
const TIMEOUT: Duration = Duration::from_secs(30);

fn fetch_set(args: FetchArgs) -> Result<()> {
    let sources = sources();
    let Some(name) = &args.name else {
        let path = |path: &PathBuf| path.display().to_string();
        let given = [
            ("from", args.from.as_ref().map(path)),
            ("url", args.url.clone()),
            ("to", args.to.as_ref().map(path)),
            ("timeout", (args.timeout != TIMEOUT).then(|| humantime::format_duration(args.timeout).to_string())),
        ];
        if let Some((option, value)) = given.into_iter().find_map(|(option, value)| Some((option, value?))) {
            return Err(Error::Config(format!("--{option}: name the data set: splitmix data fetch mnist --{option} {value}")));
        }
        let mut rows = vec![["name", "what", "licence"].map(String::from).to_vec()];
        rows.extend(sources.iter().map(|s| vec![s.name.clone(), s.title.clone(), s.licence.clone()]));
        return print(&table(&rows));
    };
    let Some(source) = sources.iter().find(|s| s.name == *name) else {
        let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
        let how = "for other sets, use --data-dir with your own files (formats: datasets/README.md)";
        return Err(Error::Config(format!("{name:?} is not a data set that can be fetched: choose {}; {how}", names.join(", "))));
    };
    if args.timeout.is_zero() {
        return Err(Error::Config("--timeout 0s: it must be above 0: write for example --timeout 30s".into()));
    }
    let origin = match (args.url, args.from) {
        (Some(url), _) => Origin::Mirror(url),
        (None, Some(path)) => Origin::Path(path),
        (None, None) => Origin::Authors,
    };
    let to = args.to.or_else(data_folder_of_environment).unwrap_or_else(|| "data".into());
    eprintln!("{}; licence: {}", source.title, source.licence);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.expect("a valid template"));
    let files = fetch(source, &origin, &to.join(name), args.timeout, &mut |file, here, all| {
        if bar.message() != file {
            bar.set_message(file.to_string());
            bar.reset();
        }
        match all {
            Some(all) => bar.set_length(all),
            None => bar.unset_length(),
        }
        bar.set_position(here);
    });
    bar.finish_and_clear();
    let files = files?;
    let bytes: u64 = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|data| data.len()).sum();
    print(&format!(
        "{} file(s), {:.1} MB, as published\nuse them: splitmix train --data-dir {} --domains {name}\n",
        files.len(),
        bytes as f64 * 1e-6,
        to.display()
    ))
}

/// Samples of each class on a sheet where no number is given.
const SAMPLES: u32 = 6;

/// Checks before the data are read that the sheet can be written, under a name of its kind.
fn check_sheet(file: &Path) -> Result<()> {
    check_output(file)?;
    match file.extension() {
        Some(ending) if !ending.eq_ignore_ascii_case("png") => {
            let named = file.with_extension("png");
            Err(Error::Config(format!("--sheet {}: a sheet is a PNG: name it {}", file.display(), named.display())))
        }
        _ => Ok(()),
    }
}

pub(super) fn run(args: Args) -> Result<()> {
    if let Some(Action::Fetch(args)) = args.action {
        return fetch_set(args);
    }
    args.sheet.iter().try_for_each(|file| check_sheet(file))?;
    if let (Some(samples), None) = (args.samples, &args.sheet) {
        return Err(Error::Config(format!("--samples {samples}: it is about the sheet of samples: add --sheet samples.png")));
    }
    let given = args.options.given();
    let config = configuration(args.config.as_deref(), args.options)?;
    let images = |key: &str| TrainConfig::about(key).images;
    let deals = |key: &&String| images(key) == Images::Dealt || *key == "validation-ratio";
    if let Some(key) = given.iter().find(|key| !args.clients && deals(key)) {
        return Err(Error::Config(format!("--{key} is about the images of each client, which only --clients shows: add --clients")));
    }
    config.unused_dealing().iter().chain(&config.unused_by_method()).for_each(note);
    let shows = |key: &str| images(key) == Images::Read || args.clients && images(key) != Images::Unrelated;
    let others: Vec<String> = given.iter().filter(|key| !shows(key)).map(|key| format!("--{key}")).collect();
    if !others.is_empty() {
        note(format!("{}: no effect on what this command shows", others.join(", ")));
    }
    let dataset = load_data(&config)?;
    print(&describe(&dataset))?;
    if args.clients {
        let parts = model::partition(&dataset, &config)?;
        print(&format!("\n{}", class_table(&client_rows(&parts.clients, &dataset), &dataset.classes, Splits::All)))?;
        print(&format!("partition: {}\n", config.partition_rule()))?;
        for warning in &parts.warnings {
            note(warning);
        }
        if let Some(unused) = unused_limit(&config, &dataset) {
            note(unused);
        }
        if let Some(unused) = unused_images(&parts.clients, &dataset) {
            note(unused);
        }
    }
    if let Some(path) = args.sheet {
        write_atomically(&path, &contact_sheet(&dataset, args.samples.unwrap_or(SAMPLES))?)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
