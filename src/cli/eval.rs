//! `splitmix eval`

use super::train::{client_rows, report_table};
use super::{check_apart, check_output, effective, load_data, open_gpu, percent, print, table};
use crate::data::Dataset;
use crate::fl::{Attack, Client, Ratio};
use crate::report::{Grid, grid_page};
use crate::run::config::{ByteSize, DataSource, List, Widths};
use crate::run::model::{Report, TestSettings};
use crate::run::robust::{GridPoint, RobustReport, signs_of_masking, without_effect};
use crate::run::run_dir::{BEST, CONFIG, GRID, GRID_PAGE, read_checkpoint, write_atomically};
use crate::run::{Checkpoint, TrainConfig, Trained, ValidConfig};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A checkpoint, or the folder of a run (its best round).
    #[arg(default_value = "runs/train")]
    model: PathBuf,
    /// Widths to mix, separated by commas, for example 1/8,3/8,1. Any multiple of the base width; those of training when not
    /// given.
    #[arg(long)]
    widths: Option<Widths>,
    /// Images in a test batch; with batch statistics it is part of the result. As in training when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=65_536))]
    eval_batch_size: Option<u32>,
    /// Test the same images after these attacks, too, separated by commas: fgsm or pgd-STEPS in a ball of 8/255; then, as
    /// wanted, -epsN for N/255, -restartsN, -targeted; for example fgsm,pgd-20,pgd-20-eps16-restarts5. Each width is attacked
    /// separately.
    #[arg(long, value_name = "ATTACKS")]
    attack: Option<List<Attack>>,
    /// Share of the adversarial batch norms in [0, 1], for a model of adversarial training: 0 is the clean one alone, 1 the
    /// adversarial. Several, separated by commas, are tested one after the other. 0 when not given.
    #[arg(long, value_name = "LAMBDAS")]
    lambda: Option<List<f64>>,
    /// Every width at every lambda (0,0.2,0.5,0.8,1 when not given), on clean and attacked images (by pgd-20 when not
    /// given), with a page that shows robust against standard accuracy. Of a run's best round it is kept in the run's folder, for
    /// `splitmix report`, unless the one stored there has more images, widths, lambdas or attacks.
    #[arg(long)]
    grid: bool,
    /// The page that --grid writes; grid.html beside the model when not given.
    #[arg(long, value_name = "FILE", requires = "grid")]
    page: Option<PathBuf>,
    /// Which bases a width takes first: `own`, as they are numbered, or `accuracy`, the best on the validation images at the first
    /// lambda.
    #[arg(long, default_value = "own", ignore_case = true)]
    order: Order,
    /// Test at most this many images of every client, spread evenly over its own: attacking all images is slow.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    images_per_client: Option<u32>,
    /// Show every client's accuracy, too.
    #[arg(long)]
    clients: bool,
    /// Write the results to this file as JSON, in the form of a run's grid.json: under `grid` one entry for each lambda, with the accuracies
    /// of every width in `standard` and those after each attack in `attacked`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where a trained model's data is and where it runs: what may differ from its training.
#[derive(clap::Args)]
pub(super) struct PlaceArgs {
    /// Folder with the data sets, where it has moved since the training. When not given: that of the training, or $SPLITMIX_DATA where
    /// that is not there.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// CSV file of the clients' pictures, where it has moved since the training.
    #[arg(long)]
    clients_file: Option<PathBuf>,
    /// Adapter: its index in `splitmix devices` or a part of its name; the fastest when not given.
    #[arg(long)]
    adapter: Option<String>,
    /// GPU memory to use at most, for example 2GiB.
    #[arg(long)]
    memory_limit: Option<ByteSize>,
    /// Keep the run-time bounds checks in the shaders.
    #[arg(long)]
    checked_shaders: bool,
}

impl PlaceArgs {
    /// The configuration of a model's training with this machine's places in it.
    pub(super) fn apply(&self, mut config: TrainConfig) -> Result<ValidConfig> {
        config.adapter = self.adapter.clone();
        config.memory_limit = self.memory_limit;
        config.checked_shaders = self.checked_shaders;
        let useless = |option: &str| {
            let data = match config.data {
                DataSource::Embedded => "the images inside the program",
                DataSource::Directory => "a folder of data sets",
                DataSource::Csv => "the pictures of a clients file",
            };
            Err(Error::Config(format!("{option}: this model belongs to {data}, so --{option} has no effect: leave it out")))
        };
        if self.data_dir.is_some() && config.data != DataSource::Directory {
            return useless("data-dir");
        }
        if self.clients_file.is_some() && config.data != DataSource::Csv {
            return useless("clients-file");
        }
        match config.data {
            DataSource::Embedded => {}
            DataSource::Directory => {
                let gone = config.data_dir.as_ref().filter(|folder| !folder.exists());
                if let Some(folder) = &self.data_dir {
                    config.data_dir = Some(folder.clone());
                } else if let (Some(gone), Some(folder)) = (gone, super::data_folder_of_environment()) {
                    eprintln!("note: {} is not there; the data is taken from $SPLITMIX_DATA, {}", gone.display(), folder.display());
                    config.data_dir = Some(folder);
                }
            }
            DataSource::Csv => {
                if self.clients_file.is_some() {
                    config.clients_file.clone_from(&self.clients_file);
                }
            }
        }
        check_moved(&config)?;
        effective(config)
    }

    /// Whether the data is that of a model's training, as far as its places say: the same, or moved.
    fn keeps_data(&self, trained: &TrainConfig) -> bool {
        [(&self.data_dir, &trained.data_dir), (&self.clients_file, &trained.clients_file)].into_iter().all(|places| match places {
            (Some(given), Some(own)) => !own.exists() || std::fs::canonicalize(given).ok() == std::fs::canonicalize(own).ok(),
            _ => true,
        })
    }
}

/// Checks that the data of a trained model, or of a run that was begun, is where it was.
pub(super) fn check_moved(config: &TrainConfig) -> Result<()> {
    let (place, what, option) = match config.data {
        DataSource::Embedded => return Ok(()),
        DataSource::Directory => (&config.data_dir, "folder", "data-dir"),
        DataSource::Csv => (&config.clients_file, "file", "clients-file"),
    };
    match place.as_ref().filter(|place| !place.exists()) {
        None => Ok(()),
        Some(place) => Err(Error::Config(format!(
            "{}: there is no such {what}: if the model's data have moved, name their place with --{option}",
            place.display()
        ))),
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

/// In which order bases are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Order {
    /// As they are numbered.
    Own,
    /// By their accuracy on the validation images, the best first.
    Accuracy,
}

/// Opens a model of this path, with its file, and what it was trained on.
pub(super) async fn open(path: &Path, place: &PlaceArgs, widths: Option<&[Ratio]>) -> Result<(PathBuf, Trained)> {
    if widths.is_some_and(<[Ratio]>::is_empty) {
        return Err(Error::Config("widths: it has no value: write --widths 1/8,1 or leave it out".into()));
    }
    let (file, checkpoint) = open_model(path)?;
    let config = place.apply(checkpoint.header.config.clone())?;
    // Before the slow part, so that a wrong width is reported at once.
    widths.unwrap_or_default().iter().try_for_each(|w| config.algorithm().model(*w).map(|_| ()))?;
    let dataset = Rc::new(load_data(&config)?);
    let gpu = open_gpu(config.adapter.clone(), config.checked_shaders).await?;
    let trained = Trained::new(gpu, checkpoint, &file.display().to_string(), dataset, config).await?;
    if let Some(difference) = &trained.other_data {
        eprintln!("note: these are not the data of the model's training: {difference}");
    }
    Ok((file, trained))
}

/// The order of the bases, printed if it is measured; empty for their own.
pub(super) async fn order_of(trained: &Trained, order: Order, lambda: f64) -> Result<Vec<u32>> {
    if order == Order::Own {
        return Ok(Vec::new());
    }
    if trained.header.bases == 1 {
        eprintln!("note: --order accuracy has no effect: the model has one base");
        return Ok(Vec::new());
    }
    let order = trained.order_by_accuracy(lambda).await?;
    let each: Vec<String> = order.iter().map(|(base, accuracy)| format!("{base} ({}%)", percent(Some(*accuracy)))).collect();
    let at = if trained.model.network.norms.dual { format!(" at lambda {lambda}") } else { String::new() };
    eprintln!("bases by validation accuracy{at}: {}", each.join(", "));
    Ok(order.into_iter().map(|(base, _)| base).collect())
}

/// λ of a grid where none are given: those of the paper.
const LAMBDAS: [f64; 5] = [0.0, 0.2, 0.5, 0.8, 1.0];

/// What a grid is asked for.
struct Asked<'a> {
    widths: &'a [Ratio],
    lambdas: &'a [f64],
    attacks: &'a [Attack],
    /// Images that are attacked, of all clients.
    images: usize,
}

impl Asked<'_> {
    /// Whether it would have all that this one has.
    fn covers(&self, kept: &Grid) -> bool {
        let attacked = |a: &RobustReport| {
            self.attacks.contains(&a.attack)
                && a.report.widths.iter().all(|w| self.widths.contains(&w.width))
                && a.progress.iter().all(|p| p.images as usize <= self.images)
        };
        kept.grid.iter().all(|point| self.lambdas.contains(&point.lambda) && point.attacked.iter().all(attacked))
    }

    /// Why it is not to be the grid that the run's folder keeps; nothing where it is.
    fn why_not_kept(&self, file: &Path, trained: &Trained, place: &PlaceArgs) -> Option<&'static str> {
        if file.file_name().is_none_or(|name| name != BEST) {
            return Some("this model is not the best round of the run");
        }
        if !place.keeps_data(&trained.header.config) {
            return Some("this data is not that of the training");
        }
        let kept = std::fs::read(file.with_file_name(GRID)).ok()?;
        // One that is damaged is not worth keeping.
        let kept: Grid = serde_json::from_slice(&kept).ok()?;
        (!self.covers(&kept)).then_some("the grid there has images, widths, lambdas or attacks that this one lacks")
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    args.json.iter().chain(&args.page).try_for_each(|file| check_output(file))?;
    args.json.iter().zip(&args.page).try_for_each(|(json, page)| check_apart(json, page, "page"))?;
    args.lambda.iter().try_for_each(|all| check_distinct("lambda", &all.0))?;
    args.attack.iter().try_for_each(|all| check_distinct("attack", &all.0))?;
    args.widths.iter().try_for_each(|all| check_distinct("widths", &all.0))?;
    let (file, trained) = open(&args.model, &args.place, args.widths.as_ref().map(|w| w.0.as_slice())).await?;
    let clients = &trained.clients_with_tests(args.images_per_client.map(|n| n as usize));
    let Trained { config, gpu, model, dataset, images, .. } = &trained;
    let widths = args.widths.map_or_else(|| trained.widths(), |w| w.0);
    let batch = args.eval_batch_size.map_or(config.eval_batch_size, |n| n as usize);
    let default = if args.grid && model.network.norms.dual { LAMBDAS.to_vec() } else { vec![0.0] };
    let lambdas = args.lambda.map_or(default, |l| l.0);
    let Some(first) = lambdas.first() else {
        return Err(Error::Config("lambda: it has no value: write --lambda 0.5 or leave it out".into()));
    };
    lambdas.iter().try_for_each(|l| model.check_lambda(*l))?;
    let default = if args.grid { vec!["pgd-20".parse::<Attack>()?] } else { Vec::new() };
    if args.attack.as_ref().is_some_and(|attacks| attacks.0.is_empty()) {
        return Err(Error::Config("attack: it has no value: write --attack fgsm,pgd-20 or leave it out".into()));
    }
    let attacks = args.attack.map_or(default, |a| a.0);
    let (mut kept, mut page) = (None, args.page);
    if args.grid {
        let (grid_file, in_run) = (file.with_file_name(GRID), file.with_file_name(CONFIG).is_file());
        let images = clients.iter().map(|c| c.test.len()).sum();
        let asked = Asked { widths: &widths, lambdas: &lambdas, attacks: &attacks, images };
        match asked.why_not_kept(&file, &trained, &args.place).filter(|_| in_run) {
            // Told before the hours that it takes.
            Some(why) if page.is_none() && args.json.is_none() => {
                return Err(Error::Config(format!(
                    "{} is not overwritten: {why}: name other files with --page and --json",
                    grid_file.display()
                )));
            }
            Some(why) => eprintln!("note: {} stays unchanged: {why}", grid_file.display()),
            None => {
                page = page.or_else(|| Some(file.with_file_name(GRID_PAGE)));
                kept = in_run.then_some(grid_file);
            }
        }
    }
    let order = order_of(&trained, args.order, *first).await?;
    if !order.is_empty() && model.network.norms.dual && lambdas.len() > 1 {
        eprintln!(
            "note: --order accuracy: the order of lambda {first} is used at every lambda; for the order of each, test them one by one"
        );
    }
    let settings = TestSettings { widths, lambda: 0.0, order, batch, limit: config.limit() };
    for attack in &attacks {
        model.check_attack(gpu, images, clients, &settings, *attack).await?;
    }
    let mut grid: Vec<GridPoint> = Vec::new();
    let standard = model.test_each(gpu, images, clients, &settings, &lambdas).await?;
    grid.extend(lambdas.iter().zip(standard).map(|(lambda, standard)| GridPoint { lambda: *lambda, standard, attacked: vec![] }));
    for attack in attacks {
        let progress = |width: Ratio, lambda: f64| match lambdas.len() {
            1 => eprintln!("attack {attack}, width {width}"),
            _ => eprintln!("attack {attack}, width {width}, lambda {lambda}"),
        };
        let reports = model.attack_each(gpu, images, clients, &settings, attack, config.seed as u32, &lambdas, progress).await?;
        grid.iter_mut().zip(reports).for_each(|(point, report)| point.attacked.push(report));
    }

    let mut text = String::new();
    for (i, point) in grid.iter().enumerate() {
        let at = if lambdas.len() > 1 || *first > 0.0 { format!(", lambda {}", point.lambda) } else { String::new() };
        let gap = if i > 0 { "\n" } else { "" };
        text +=
            &format!("{gap}test accuracy in %, mean over clients, of {}{at}:\n{}", file.display(), report_table(&point.standard, dataset));
        for a in &point.attacked {
            text += &format!("\nthe same after the attack {}{at}:\n{}", a.attack, report_table(&a.report, dataset));
        }
        if args.clients {
            text += &format!("\n{}", client_table(&point.standard, clients, dataset));
        }
    }
    if args.grid {
        text += &format!("\n{}", grid_table(&grid));
    }
    text += &doubts(&grid);
    // The results are printed first: a file may fail.
    print(&text)?;
    let results = Grid { grid };
    let json = || serde_json::to_vec_pretty(&results).map_err(|e| Error::Data(format!("the report cannot be written: {e}")));
    if let Some(path) = args.json {
        write_atomically(&path, &json()?)?;
    }
    if args.grid {
        // For `splitmix report`.
        if let Some(file) = kept {
            write_atomically(&file, &json()?)?;
        }
        if let Some(page) = page {
            write_atomically(&page, grid_page(&file.display().to_string(), &results.alone())?.as_bytes())?;
            print(&format!("page: {}\n", page.display()))?;
        }
    }
    Ok(())
}

/// Checks that no value of an option is there twice: it would be tested twice.
pub(super) fn check_distinct<T: PartialEq + std::fmt::Display>(option: &str, values: &[T]) -> Result<()> {
    match values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)) {
        Some((_, twice)) => Err(Error::Config(format!("--{option}: {twice} is there twice: leave one out"))),
        None => Ok(()),
    }
}

/// Why robust accuracies are not to be trusted, if anything says so: one line for the model, and one for each attack without effect.
fn doubts(grid: &[GridPoint]) -> String {
    const SHOWN: usize = 3;
    let mut text: String = without_effect(grid).iter().map(|what| format!("note: {what}\n")).collect();
    let signs = signs_of_masking(grid);
    if !signs.is_empty() {
        let more = signs.len().saturating_sub(SHOWN);
        let rest = if more > 0 { format!("; and {more} more signs") } else { String::new() };
        let shown = signs[..signs.len().min(SHOWN)].join("; ");
        text += &format!("warning: gradients may be masked, and robust accuracy overstated: {shown}{rest}\n");
    }
    text
}

/// Accuracies of every client, a column a width.
fn client_table(report: &Report, clients: &[Client], dataset: &Dataset) -> String {
    let mut rows = vec![vec!["client".to_string(), "domain".to_string(), "budget".to_string()]];
    rows[0].extend(report.widths.iter().map(|w| w.width.to_string()));
    for (i, client) in client_rows(clients, dataset).into_iter().enumerate() {
        let mut row = vec![client.name, client.domain, client.budget];
        row.extend(report.widths.iter().map(|w| percent(w.clients[i])));
        rows.push(row);
    }
    table(&rows)
}

/// Mean accuracies of all clients: a row a width and λ.
fn grid_table(grid: &[GridPoint]) -> String {
    let mut rows = vec![vec!["width".to_string(), "lambda".to_string(), "standard".to_string()]];
    let Some(first) = grid.first() else { return String::new() };
    rows[0].extend(first.attacked.iter().map(|a| a.attack.to_string()));
    for (w, width) in first.standard.widths.iter().enumerate() {
        for point in grid {
            let mut row = vec![width.width.to_string(), point.lambda.to_string(), percent(point.standard.widths[w].mean)];
            row.extend(point.attacked.iter().map(|a| percent(a.report.widths[w].mean)));
            rows.push(row);
        }
    }
    table(&rows)
}
