//! The `splitmix` command line: one module a command. Messages go to standard error, results to standard output.

mod arguments;
mod bench;
mod data;
mod devices;
mod eval;
mod import;
mod mix;
mod predict;
mod report;
mod self_test;
mod sweep;
mod train;
mod web;

use crate::data::{self as sets, Dataset};
use crate::error::OneLine;
use crate::gpu::{Gpu, GpuOptions};
use crate::run::config::{DataSource, Images};
use crate::run::run_dir::{BEST, CLIENTS, CONFIG, LAST, METRICS, TEST, TIMING, folder_of};
use crate::run::written::expanded;
use crate::run::{TrainConfig, TrainOverrides, ValidConfig};
use crate::{Error, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Split-Mix federated learning on any GPU: train an ensemble of narrow networks federatedly, mix any width afterwards.
#[derive(Parser)]
#[command(
    name = "splitmix",
    version,
    after_help = "Exit codes: 0 done, 1 run-time failure, 2 usage, configuration or data, 130 interrupted \
                  or out of time.\n\
                  Environment: SPLITMIX_DATA is the folder of data sets if --data-dir is not given and a model's own does not exist, \
                  SPLITMIX_ADAPTER the adapter if --adapter is not given, SPLITMIX_CACHE the folder for compiled kernels and resized pictures (empty: \
                  none is kept). \
                  SPLITMIX_TRACE=1 prints the duration of each dispatch to standard error."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train an ensemble federatedly, then test the best round at every width.
    Train(Box<train::Args>),
    /// Test a checkpoint at any widths and robustness, per domain and per client, on images as they are and attacked.
    Eval(eval::Args),
    /// Make one model file of a width and a robustness, without training; as ONNX, too.
    Mix(mix::Args),
    /// Train many configurations: every combination of the options that a file lists. Runs that differ only in seed or clients-per-round
    /// are trained together.
    Sweep(sweep::Args),
    /// Put finished runs side by side: one page with means over seeds, tables and charts.
    Report(report::Args),
    /// Classify pictures with a checkpoint.
    Predict(predict::Args),
    /// Make a checkpoint of parameters that another program trained, such as the authors'.
    Import(Box<import::Args>),
    /// List the adapters of this machine.
    Devices(devices::Args),
    /// Show the data sets and what each client holds, or draw a sheet of samples.
    Data(Box<data::Args>),
    /// Measure kernels, steps and rounds against this adapter's own ceilings.
    Bench(bench::Args),
    /// Check every kernel of this adapter against its CPU twin.
    SelfTest(self_test::Args),
    /// Serve the browser's page on this machine and open it.
    Web(web::Args),
}

/// When the program began, for the benchmark.
static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();

/// Runs the command line.
pub fn main() -> ExitCode {
    STARTED.get_or_init(std::time::Instant::now);
    #[cfg(all(unix, not(target_os = "macos")))]
    silence_wayland();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    let command = arguments::prepared(Cli::command().mut_subcommand("train", crate::run::config::show_defaults));
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => match arguments::refusal(&error, std::env::args_os()) {
            Some(error) => return failed(&error),
            None => error.exit(),
        },
    };
    let done = pollster::block_on(async {
        match cli.command {
            Command::Train(args) => train::run(*args).await,
            Command::Eval(args) => eval::run(args).await,
            Command::Mix(args) => mix::run(args).await,
            Command::Sweep(args) => sweep::run(args).await,
            Command::Report(args) => report::run(&args),
            Command::Predict(args) => predict::run(args).await,
            Command::Import(args) => import::run(*args),
            Command::Devices(args) => devices::run(args).await,
            Command::Data(args) => data::run(*args),
            Command::Bench(args) => bench::run(args).await,
            Command::SelfTest(args) => self_test::run(args).await,
            Command::Web(args) => web::run(&args),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Every error is reported here, so that all have the same form.
fn failed(error: &Error) -> ExitCode {
    eprintln!("splitmix: {error}");
    ExitCode::from(error.exit_code())
}

/// Starts the program anew where Mesa's Vulkan layer would print an "error:" of libwayland's about a missing desktop, which no run needs:
/// wgpu asks for surfaces on every desktop there may be, and the layer then looks for a Wayland server, which it finds by these
/// variables. An absolute name that leads nowhere is one without a word. Nothing else sets a variable for a library, as a process with
/// threads cannot soundly change its own.
#[cfg(all(unix, not(target_os = "macos")))]
fn silence_wayland() {
    use std::os::unix::process::CommandExt;
    let absolute = |name: &str| std::env::var_os(name).is_some_and(|value| Path::new(&value).is_absolute());
    if absolute("XDG_RUNTIME_DIR") || absolute("WAYLAND_DISPLAY") || std::env::var_os("WAYLAND_SOCKET").is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        arguments.next().iter().for_each(|name| {
            again.arg0(name);
        });
        // It comes back only where it fails: then there are two lines more.
        let _ = again.args(arguments).env("WAYLAND_DISPLAY", "/nonexistent").exec();
    }
}

/// The options of commands that only need a GPU.
#[derive(clap::Args)]
struct AdapterArgs {
    /// Adapter: its index in `splitmix devices` or a part of its name; the fastest when not given.
    #[arg(long)]
    adapter: Option<String>,
    /// Keep the run-time bounds checks in the shaders.
    #[arg(long)]
    checked_shaders: bool,
}

impl AdapterArgs {
    async fn open(&self) -> Result<Gpu> {
        open_gpu(self.adapter.clone(), self.checked_shaders).await
    }
}

async fn open_gpu(adapter: Option<String>, checked_shaders: bool) -> Result<Gpu> {
    let adapter = adapter.or_else(|| std::env::var("SPLITMIX_ADAPTER").ok().filter(|name| !name.is_empty()));
    let pipeline_cache = cache_folder();
    let trace = std::env::var_os("SPLITMIX_TRACE").is_some_and(|value| !value.is_empty() && value != "0");
    Gpu::open(&GpuOptions { adapter, checked_shaders, default_limits: false, pipeline_cache, trace }).await
}

/// The folder of what need not be made twice: compiled kernels, resized pictures.
fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("SPLITMIX_CACHE") {
        Some(folder) => of_environment(folder),
        None => dirs::cache_dir().map(|folder| folder.join("splitmix")),
    }
}

/// The folder of data sets that the environment names.
fn data_folder_of_environment() -> Option<PathBuf> {
    std::env::var_os("SPLITMIX_DATA").and_then(of_environment)
}

/// A folder that a variable names; none where it is empty. A file of variables may hold `~` as it is.
fn of_environment(folder: std::ffi::OsString) -> Option<PathBuf> {
    let folder = Some(PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty())?;
    Some(expanded(folder.clone()).unwrap_or(folder))
}

/// The configuration of a file and flags, validated. A data folder or a file of clients among the flags asks for what is in it.
fn configuration(file: Option<&Path>, mut flags: TrainOverrides) -> Result<ValidConfig> {
    if flags.data_dir.is_some() && flags.data.is_none() {
        flags.data = Some(DataSource::Directory);
    }
    if flags.clients_file.is_some() && flags.data.is_none() {
        flags.data = Some(DataSource::Csv);
    }
    let given = flags.given();
    let rescaling = [("rescale-init", flags.rescale_init), ("rescale-layer", flags.rescale_layer)];
    let config = effective(TrainConfig::load(file, flags)?).map_err(|error| match (file, &error) {
        // What is wrong may be in the file, if no flag is at fault.
        (Some(path), Error::Config(message)) => in_file(path, message, &given).unwrap_or(error),
        _ => error,
    })?;
    for ((key, given), value) in rescaling.into_iter().zip([config.rescale_init, config.rescale_layer]) {
        if given.is_some_and(|given| given != value) {
            note(format!("--{key} has no effect: with {} it is always {}", config.method, if value { "on" } else { "off" }));
        }
    }
    // Also where the value is the default, which in the configuration looks like an option that is not given.
    match given.into_iter().find(|key| config.data == DataSource::Csv && TrainConfig::about(key).images == Images::Dealt) {
        Some(key) => Err(Error::Config(format!("--{key}: the clients file says who has which images: leave it out"))),
        None => Ok(config),
    }
}

/// An error about an option that a file sets, with the file and the line; nothing where a flag sets it.
fn in_file(path: &Path, message: &str, flags: &[String]) -> Option<Error> {
    let key = message.split([' ', ':']).next()?;
    if flags.iter().any(|flag| flag == key) {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let sets = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let line = text.lines().position(sets)? + 1;
    Some(Error::Config(format!("{}, line {line}: {message}", path.display())))
}

/// Fills in the environment's data folder, then validates.
fn effective(mut config: TrainConfig) -> Result<ValidConfig> {
    if config.data == DataSource::Directory && config.data_dir.is_none() {
        config.data_dir = data_folder_of_environment();
    }
    config.validate()
}

/// The data set that a configuration names, its domains in the requested order.
fn load_data(config: &ValidConfig) -> Result<Dataset> {
    let wanted = &config.domains.0;
    let [_, height, width] = config.network.architecture()?.input;
    let cache = cache_folder().map(|folder| folder.join("images"));
    let options = sets::LoadOptions { size: (height, width), test_ratio: config.test_ratio, cache };
    let dataset = match (config.data, &config.data_dir) {
        (DataSource::Directory, Some(folder)) => sets::load_directory(folder, wanted, &options),
        (DataSource::Directory, None) => Err(Error::Config("data = directory: name the folder with data-dir".into())),
        (DataSource::Csv, _) => {
            let file = config.clients_file.as_ref().ok_or_else(|| Error::Config("data = csv: name the file with clients-file".into()))?;
            sets::load_clients(file, &options)
        }
        (DataSource::Embedded, _) => sets::embedded_domains(wanted)?.resized((height, width)),
    }?;
    dataset.notes.iter().for_each(note);
    Ok(dataset)
}

/// Says on standard error what is unusual. Names that files hold are in it, so it is made one line of plain characters.
fn note(what: impl std::fmt::Display) {
    eprintln!("note: {}", OneLine(&what.to_string()));
}

/// Checks before the slow part that a result that is no checkpoint can be written to this file.
fn check_output(file: &Path) -> Result<()> {
    if ending(file).is_some_and(|ending| ending == "safetensors") {
        return Err(Error::Config(format!("{}: only checkpoints end in .safetensors: name the file otherwise", file.display())));
    }
    check_place(file)
}

/// A file's ending, in small letters.
fn ending(file: &Path) -> Option<String> {
    file.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

/// Checks that the folder that a file is to be in is there, and that it is none of the files that train keeps in a run's folder.
fn check_place(file: &Path) -> Result<()> {
    let folder = folder_of(file);
    let of_run = |name: &std::ffi::OsStr| [CONFIG, METRICS, TIMING, LAST, BEST, TEST, CLIENTS].iter().any(|own| name == *own);
    if file.file_name().is_some_and(of_run) && folder.join(CONFIG).is_file() {
        return Err(Error::Config(format!("{} is a file of the run in {}: name another", file.display(), folder.display())));
    }
    if file.is_dir() || file.file_name().is_none() {
        return Err(Error::Config(format!("{} is a folder: name a file", file.display())));
    }
    if !folder.is_dir() {
        return Err(Error::Config(format!("{}: there is no folder {}: make it, or name another", file.display(), folder.display())));
    }
    Ok(())
}

/// The same of a file that must not be there yet; a device or a pipe may.
fn check_new(file: &Path) -> Result<()> {
    if file.is_file() {
        return Err(Error::Config(format!("{} exists already: name another file", file.display())));
    }
    check_place(file)
}

/// Checks that two files to write are not one.
fn check_apart(one: &Path, other: &Path, option: &str) -> Result<()> {
    // They need not be there yet.
    let whole = |file: &Path| std::fs::canonicalize(folder_of(file)).ok().zip(file.file_name().map(std::ffi::OsStr::to_os_string));
    match whole(one) == whole(other) {
        true => Err(Error::Config(format!("{} is named for both files: name another with --{option}", other.display()))),
        false => Ok(()),
    }
}

/// A share as a percentage, or a dash.
fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |v| format!("{:.1}", 100.0 * v))
}

/// An aligned table: the first column to the left, the others to the right.
fn table(rows: &[Vec<String>]) -> String {
    // Names that files hold are in the cells.
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| OneLine(cell).to_string()).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(c, (cell, w))| if c == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Writes results to standard output; a closed pipe, as of `| head`, is no failure.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "cannot write", path: PathBuf::from("standard output"), source: error })
        }
        _ => Ok(()),
    }
}
