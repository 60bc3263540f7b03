//! `splitmix sweep`

use super::arguments::time;
use super::eval::open_model;
use super::train::{ProcessOptions, QueuedRun, Session, open_session, train, watch_for_interrupts};
use super::{effective, load_data, note, print, table};
use crate::data::Dataset;
use crate::report::{Run, difference, groups, page};
use crate::run::config::DataSource;
use crate::run::run_dir::{CONFIG, PAGE, Resumed, RunDir, TEST, folder_of, write_atomically};
use crate::run::written::{expanded, misspelled, read_options, read_text};
use crate::run::{TrainConfig, TrainOverrides, ValidConfig, model};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(super) struct Args {
    /// TOML file that says which runs: see presets/sweep-example.toml.
    file: PathBuf,
    /// Folder with the data sets, where the runs have data = directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// List the runs and their progress, then exit.
    #[arg(long)]
    list: bool,
    /// Runs that are trained together at most, their lanes in the same dispatches: only runs that differ in nothing but seed and
    /// clients-per-round are. It does not change results. 1: one after the other.
    #[arg(long, value_name = "RUNS", default_value = "8")]
    together: NonZeroUsize,
    /// Stop after the round in which this much time has passed: 90m, 2h, 1day 6h. Run the same command to resume.
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_time: Option<Duration>,
}

/// The file of a sweep.
struct Sweep {
    /// Folder in which every run has its own.
    out: PathBuf,
    /// A configuration to begin with, relative to this file.
    config: Option<PathBuf>,
    /// Options of every run; they win over the configuration's.
    options: toml::Table,
    /// Each a product: every combination of the values of its options is a run.
    grid: Vec<BTreeMap<String, Vec<toml::Value>>>,
}

/// Most runs of a sweep.
const MOST_RUNS: usize = 10_000;

impl Sweep {
    /// Reads the TOML text of a sweep; the error has no file's name.
    fn parse(text: &str) -> std::result::Result<Sweep, String> {
        let broken = |(line, what): (usize, String)| format!("line {line}: {what}");
        let mut keys: toml::Table = toml::from_str(text).map_err(|e| broken(misspelled(text, &e)))?;
        let mut path = |key: &str| match keys.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(path)) if !path.is_empty() => expanded(path.into()).map(Some).map_err(|e| format!("{key} = {e}")),
            Some(other) => Err(format!("{key} = {other}: it must be a path in quotes: write {key} = \"runs/sweep\"")),
        };
        let out = path("out")?.ok_or("it has no out: name the folder of its runs, for example out = \"runs/sweep\"")?;
        let config = path("config")?;
        let options = match keys.remove("options") {
            None => toml::Table::new(),
            Some(toml::Value::Table(options)) => options,
            Some(other) => return Err(format!("options = {other}: write options = {{ rounds = 18, lr = 0.05 }}")),
        };
        let products = match keys.remove("grid") {
            None => Vec::new(),
            Some(toml::Value::Array(products)) => products,
            Some(_) => return Err("grid: write [[grid]] with double brackets, for each grid of the sweep".into()),
        };
        let out_of_runs = options.contains_key("out") || products.iter().any(|product| product.get("out").is_some());
        if out_of_runs {
            return Err("out: every run has a folder of its own in the sweep's out: leave it out of options and [[grid]]".into());
        }
        let list = |(key, values)| match values {
            toml::Value::Array(values) => Ok((key, values)),
            one => Err(format!("grid: {key} = {one}: it must be a list: write {key} = [{one}]")),
        };
        let product = |product| match product {
            toml::Value::Table(lists) => lists.into_iter().map(list).collect(),
            other => Err(format!("grid: {other} is no table: write [[grid]], and options with lists of values below it")),
        };
        let grid = products.into_iter().map(product).collect::<std::result::Result<_, String>>()?;
        match keys.into_iter().next() {
            None => Ok(Sweep { out, config, options, grid }),
            Some((key, value)) if TrainConfig::keys().contains(&key) => {
                Err(format!("{key} is an option of runs: write options = {{ {key} = {value} }}, or a list of values below [[grid]]"))
            }
            Some((key, _)) => Err(format!("unknown key \"{key}\": a sweep has out, config, options and [[grid]]")),
        }
    }
}

/// Where a run of a sweep stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Finished,
    Begun,
    New,
}

impl State {
    fn of(config: &ValidConfig) -> State {
        match (config.out.join(CONFIG).exists(), config.out.join(TEST).exists()) {
            (true, true) => State::Finished,
            (true, false) => State::Begun,
            (false, _) => State::New,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            State::Finished => "finished",
            State::Begun => "begun",
            State::New => "to do",
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let configs = configurations(&args.file, args.data_dir.as_deref())?;
    configs.iter().try_for_each(|config| check_saved(config, &args.file))?;
    if args.data_dir.is_some() && !configs.iter().any(|config| config.data == DataSource::Directory) {
        note("--data-dir has no effect: no run of the sweep has data = directory");
    }
    let out = configs[0].out.parent().unwrap_or(Path::new(".")).to_path_buf();
    let mut rows = vec![vec!["run".to_string(), "state".to_string()]];
    rows.extend(configs.iter().map(|c| vec![c.out.display().to_string(), State::of(c).in_words().into()]));
    if args.list {
        return print(&table(&rows));
    }
    eprint!("{}", table(&rows));
    let unfinished = || configs.iter().filter(|c| State::of(c) != State::Finished);
    let mut read = check_data(unfinished())?;
    let interrupted = watch_for_interrupts()?;
    let began = Instant::now();
    let (mut failed, mut stopped) = (Vec::new(), Vec::new());
    let mut waiting = sets(unfinished(), args.together.get())?;
    while let Some(set) = waiting.pop_front() {
        let Some((session, set)) = prepare(set, &mut read, &mut waiting, &mut failed).await else {
            continue;
        };
        let left = args.max_time.map(|most| most.saturating_sub(began.elapsed()));
        let process = ProcessOptions { max_time: left, tensorboard: false, no_table: true };
        match train(session, &process, &interrupted).await {
            Ok(ends) => {
                for (name, end) in set.into_iter().zip(ends) {
                    match end {
                        Ok(()) => {}
                        Err(Error::Interrupted(_)) => stopped.push(name),
                        Err(error) => fail(&mut failed, name, error),
                    }
                }
            }
            Err(error) => fail(&mut failed, set.join(", "), error),
        }
        let out_of_time = args.max_time.is_some_and(|most| began.elapsed() >= most);
        if interrupted.load(Ordering::SeqCst) || out_of_time || !stopped.is_empty() {
            break;
        }
    }
    let page_file = out.join(PAGE);
    let finished: Vec<PathBuf> = configs.iter().filter(|c| State::of(c) == State::Finished).map(|c| c.out.clone()).collect();
    let done = format!("{} of {} runs finished", finished.len(), configs.len());
    if !finished.is_empty() {
        write_atomically(&page_file, page(&groups(Run::find(&finished)?)?)?.as_bytes())?;
        print(&format!("{done}\npage: {}\n", page_file.display()))?;
    }
    if !stopped.is_empty() || !waiting.is_empty() {
        let place = if stopped.is_empty() { format!("with {done}") } else { format!("in {}", stopped.join(", ")) };
        let data = args.data_dir.map_or(String::new(), |folder| format!(" --data-dir {}", folder.display()));
        return Err(Error::Interrupted(format!("stopped {place}; resume with: splitmix sweep {}{data}", args.file.display())));
    }
    match failed.into_iter().next() {
        Some((name, error)) => {
            let message = format!("not every run is finished; the first that is not: {name}: {error}");
            Err(if error.exit_code() == 2 { Error::Config(message) } else { Error::Training(message) })
        }
        None => Ok(()),
    }
}

/// Checks that what the folder of a run holds is of the options that the sweep asks for.
fn check_saved(config: &ValidConfig, file: &Path) -> Result<()> {
    let state = State::of(config);
    if state == State::New {
        return Ok(());
    }
    let folder = config.out.display();
    let saved = TrainConfig::load(Some(&config.out.join(CONFIG)), TrainOverrides::default())?.validate();
    let saved = saved.map_err(|e| Error::Config(format!("{folder}: {e}")))?;
    let config = &config.clone().with_checksum_of(&saved);
    if state == State::Begun {
        return config.check_resume(&saved).map_err(|e| Error::Config(format!("{folder}: {e}")));
    }
    match difference(config, &saved)? {
        Some((key, [now, then])) => Err(Error::Config(format!(
            "{folder}: this run is finished with {key} = {then}, and {} asks for {now}: name another folder as the sweep's out, or remove \
             this one",
            file.display()
        ))),
        None => Ok(()),
    }
}

/// The options of a run that say which data it reads, and the data.
type Read<'a> = (&'a ValidConfig, Dataset);

/// Whether two runs read the same data.
fn same_data(a: &ValidConfig, b: &ValidConfig) -> Result<bool> {
    let places = |c: &ValidConfig| (c.data, c.data_dir.clone(), c.clients_file.clone(), c.domains.clone(), c.test_ratio.to_bits());
    Ok(places(a) == places(b) && a.network.architecture()?.input == b.network.architecture()?.input)
}

/// Checks before the first run that the data of every run can be read and dealt to its clients. Returns what was read last.
fn check_data<'a>(configs: impl Iterator<Item = &'a ValidConfig>) -> Result<Option<Read<'a>>> {
    let (mut read, mut opened): (Option<Read>, BTreeSet<&Path>) = (None, BTreeSet::new());
    for config in configs {
        let named = |e: Error| match e.exit_code() {
            2 => Error::Config(format!("{}: {e}", config.out.display())),
            _ => e,
        };
        let dataset = match read.take() {
            Some((before, dataset)) if same_data(before, config)? => dataset,
            // What was read before must not take memory meanwhile.
            other => {
                drop(other);
                load_data(config).map_err(named)?
            }
        };
        model::partition(&dataset, config).map_err(named)?;
        // Runs of a sweep often begin with one checkpoint.
        if let Some(init) = config.init.as_deref().filter(|init| State::of(config) == State::New && opened.insert(init)) {
            open_model(init).map_err(|e| named(Error::Config(format!("init: {e}"))))?;
        }
        read = Some((config, dataset));
    }
    Ok(read)
}

/// Notes that a run failed: the other runs are worth having without it.
fn fail(failed: &mut Vec<(String, Error)>, name: String, error: Error) {
    eprintln!("{name}: {error}");
    failed.push((name, error));
}

/// Runs in sets that are trained together, at most `most` in each, as equal as can be; the order is that of each set's first.
fn sets<'a>(configs: impl Iterator<Item = &'a ValidConfig>, most: usize) -> Result<VecDeque<Vec<&'a ValidConfig>>> {
    let mut like: Vec<Vec<&ValidConfig>> = Vec::new();
    for config in configs {
        let mut place = None;
        for (i, set) in like.iter().enumerate() {
            if set[0].trains_together(config)? {
                place = Some(i);
                break;
            }
        }
        match place {
            Some(i) => like[i].push(config),
            None => like.push(vec![config]),
        }
    }
    let parts = |set: Vec<&'a ValidConfig>| -> Vec<Vec<&'a ValidConfig>> {
        let parts = set.len().div_ceil(most);
        set.chunks(set.len().div_ceil(parts)).map(<[_]>::to_vec).collect()
    };
    Ok(like.into_iter().flat_map(parts).collect())
}

/// Prepares a set of runs, on the data that was read if they have that. Returns it with the runs' names; nothing where it is to be tried
/// in parts, which then wait first, or every run failed, as one does that cannot be taken up again.
async fn prepare<'a>(
    set: Vec<&'a ValidConfig>,
    read: &mut Option<Read<'a>>,
    waiting: &mut VecDeque<Vec<&'a ValidConfig>>,
    failed: &mut Vec<(String, Error)>,
) -> Option<(Session, Vec<String>)> {
    let (mut runs, mut taken) = (Vec::new(), Vec::new());
    eprintln!();
    for config in set {
        let name = config.out.display().to_string();
        eprintln!("{name}");
        let mut own = config.clone();
        let resumed = match State::of(config) {
            State::Begun => RunDir::resume(&config.out).and_then(|Resumed { run_dir, config: saved, checkpoint, notes }| {
                notes.iter().for_each(note);
                own = config.clone().with_checksum_of(&saved);
                own.check_resume(&saved)?;
                run_dir.save_config(&own)?;
                Ok(Some((run_dir, checkpoint)))
            }),
            _ => Ok(None),
        };
        match resumed {
            Ok(resumed) => {
                runs.push(QueuedRun { config: own, resumed });
                taken.push(config);
            }
            Err(error) => fail(failed, name, error),
        }
    }
    if taken.is_empty() {
        return None;
    }
    let names: Vec<String> = taken.iter().map(|config| config.out.display().to_string()).collect();
    let read = match read.take() {
        Some((before, dataset)) if same_data(before, taken[0]).unwrap_or(false) => Some(dataset),
        _ => None,
    };
    match open_session(runs, read).await {
        Ok(session) => return Some((session, names)),
        // They may not fit together, or one of them may be at fault.
        Err(error) if taken.len() > 1 => {
            eprintln!("not together: {error}");
            taken.chunks(taken.len().div_ceil(2)).rev().for_each(|part| waiting.push_front(part.to_vec()));
        }
        Err(error) => fail(failed, names.concat(), error),
    }
    None
}

/// Every run's configuration, checked.
fn configurations(file: &Path, data_dir: Option<&Path>) -> Result<Vec<ValidConfig>> {
    let wrong = |e: &dyn std::fmt::Display| Error::Config(format!("{}: {e}", file.display()));
    let sweep = Sweep::parse(&read_options(file, "cannot read the sweep")?).map_err(|e| wrong(&e))?;
    let mut common = toml::Table::new();
    if let Some(config) = &sweep.config {
        let path = folder_of(file).join(config);
        let text = read_text(&path, "cannot read the configuration")?;
        // Its errors name its own lines.
        TrainConfig::from_toml(&text, &path)?;
        common = toml::from_str(&text).map_err(|e| Error::Config(format!("{}: {}", path.display(), e.message())))?;
    }
    common.extend(sweep.options.clone());
    let mut configs: Vec<ValidConfig> = Vec::new();
    let mut folders = BTreeSet::new();
    let mut trained: BTreeMap<String, PathBuf> = BTreeMap::new();
    for product in &sweep.grid {
        // Before any is made: a few lists of some values each have more combinations than there is memory.
        let runs = product.values().try_fold(1_usize, |runs, values| runs.checked_mul(values.len()));
        if runs.is_none_or(|runs| configs.len() + runs.min(MOST_RUNS + 1) > MOST_RUNS) {
            return Err(wrong(&format!("grid: the lists of values make more than {MOST_RUNS} runs: shorten them, or use several files")));
        }
        let mut combinations: Vec<Vec<(&String, &toml::Value)>> = vec![vec![]];
        for (key, values) in product {
            if values.is_empty() {
                return Err(wrong(&format!("grid: {key} has no values")));
            }
            let with = |value| combinations.iter().map(move |c| [c.as_slice(), &[(key, value)]].concat());
            combinations = values.iter().flat_map(with).collect();
        }
        for combination in combinations {
            let mut options = common.clone();
            options.extend(combination.iter().map(|(k, v)| ((*k).clone(), (*v).clone())));
            let out = sweep.out.join(name(&combination));
            options.insert("out".into(), toml::Value::String(out.display().to_string()));
            let mut config = TrainConfig::from_table(&options).and_then(TrainConfig::with_files).map_err(|e| wrong(&e))?;
            if let Some(folder) = data_dir.filter(|_| config.data == DataSource::Directory) {
                config.data_dir = Some(folder.to_path_buf());
            }
            let config = effective(config).map_err(|e| Error::Config(format!("{}: {e}", out.display())))?;
            if !folders.insert(config.out.clone()) {
                return Err(wrong(&format!("{} would be two runs: let the values of their grids differ", out.display())));
            }
            // The same values may be written in several ways.
            let apart = TrainConfig { out: PathBuf::new(), ..config.clone().into() };
            if let Some(other) = trained.insert(apart.to_toml()?, config.out.clone()) {
                let (out, other) = (config.out.display(), other.display());
                return Err(wrong(&format!("{other} and {out} would be the same run: let the values of their grids differ")));
            }
            configs.push(config);
        }
    }
    if configs.is_empty() {
        return Err(wrong(&"it has no run: add a [[grid]] with lists of values, for example seed = [1, 2, 3]"));
    }
    Ok(configs)
}

/// Name of a run's folder: its options with their values.
fn name(combination: &[(&String, &toml::Value)]) -> String {
    let value = |v: &toml::Value| match v {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = |text: String| -> String {
        // A width 1/8 is written 1d8, as budgets are.
        let safe = |c: char| {
            if c == '/' {
                'd'
            } else if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        };
        text.chars().map(safe).collect()
    };
    let parts: Vec<String> = combination.iter().map(|(k, v)| format!("{k}-{}", plain(value(v)))).collect();
    if parts.is_empty() { "run".into() } else { parts.join("_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<ValidConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sweep.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("base.toml"), "rounds = 7\nlr = 0.3\n").unwrap();
        configurations(&file, None)
    }

    #[test]
    fn a_grid_without_bounds_is_refused_before_it_is_made() {
        let list: Vec<String> = (1..=100).map(|n| n.to_string()).collect();
        let lists: String =
            ["seed", "rounds", "batch-size", "local-epochs"].iter().map(|key| format!("{key} = [{}]\n", list.join(", "))).collect();
        let told = of(&format!("out = \"x\"\n[[grid]]\n{lists}")).unwrap_err().to_string();
        assert!(told.ends_with("grid: the lists of values make more than 10000 runs: shorten them, or use several files"), "{told}");
    }

    #[test]
    fn products_are_added_up() {
        let text = r#"
            out = "runs/s"
            config = "base.toml"
            [options]
            lr = 0.2
            [[grid]]
            seed = [1, 2, 3]
            budgets = ["8-4-2-1", "8-2-2-1"]
            [[grid]]
            method = ["fedavg"]
            width = ["1/8", "1"]
        "#;
        let configs = of(text).unwrap();
        assert_eq!(configs.len(), 8);
        assert!(configs.iter().all(|c| c.rounds == 7 && c.lr == 0.2));
        assert_eq!(configs[0].out, PathBuf::from("runs/s/budgets-8-4-2-1_seed-1"));
        assert_eq!(configs[6].out, PathBuf::from("runs/s/method-fedavg_width-1d8"));
        let seeds: Vec<u64> = configs.iter().map(|c| c.seed).collect();
        assert_eq!(seeds.iter().sum::<u64>(), 2 * (1 + 2 + 3) + 2);
    }

    #[test]
    fn the_presets_are_runs_that_differ() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("sweep-") {
                let configs = configurations(&path, Some(Path::new("data"))).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert!(configs.len() >= 8, "{}: {} runs", path.display(), configs.len());
                count += 1;
            }
        }
        assert!(count >= 11, "{count} sweeps");
    }

    #[test]
    fn data_that_cannot_be_dealt_is_refused_before_the_first_run() {
        let configs = of("out = \"s\"\n[[grid]]\nclients-per-domain = [1, 100000]").unwrap();
        let error = check_data(configs.iter()).map(|_| ()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let told = error.to_string();
        assert!(told.starts_with("s/clients-per-domain-100000: domain ") && told.contains("lower clients-per-domain"), "{told}");
    }

    #[test]
    fn a_checkpoint_to_begin_with_is_looked_for_before_the_first_run() {
        let configs = of("out = \"s\"\noptions = { init = \"no-such-run.safetensors\" }\n[[grid]]\nseed = [1, 2]").unwrap();
        let error = check_data(configs.iter()).map(|_| ()).unwrap_err();
        let said = "s/seed-1: init: no-such-run.safetensors is not there: name a checkpoint or the folder of a run";
        assert_eq!((error.exit_code(), error.to_string()), (2, said.to_string()));
    }

    #[test]
    fn a_run_of_other_options_is_not_taken_for_the_sweeps() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("s");
        let configs = |options: &str| {
            let head = format!("out = {:?}\noptions = {{ {options} }}\n", out.display().to_string());
            of(&(head + "[[grid]]\nmethod = [\"fedavg\"]\nwidth = [\"1/8\"]")).unwrap()
        };
        let check = |options: &str| configs(options).iter().try_for_each(|c| check_saved(c, Path::new("sweep.toml")));
        let told = |options: &str| check(options).unwrap_err().to_string();
        let first = &configs("rounds = 1, schedule = \"none\"")[0];
        check("rounds = 50").unwrap();
        std::fs::create_dir_all(&first.out).unwrap();
        std::fs::write(first.out.join(CONFIG), first.to_toml().unwrap()).unwrap();
        // One that is begun may have more rounds, where it could be taken up so.
        check("rounds = 50, schedule = \"none\"").unwrap();
        assert!(told("rounds = 1, schedule = \"none\", lr = 0.9").contains("lr is 0.9"));
        std::fs::write(first.out.join(TEST), b"{}").unwrap();
        let more = told("rounds = 50, schedule = \"none\"");
        for word in [&first.out.display().to_string(), "rounds = 1,", "50", "sweep.toml", "another folder"] {
            assert!(more.contains(word), "{more}");
        }
        assert!(told("rounds = 1, schedule = \"none\", widths = [\"1/8\"], seed = 2").contains("seed = 1,"));
        // Neither the machine nor what other methods have counts.
        check("rounds = 1, schedule = \"none\", adapter = \"x\", memory-limit = \"1GiB\", budgets = \"8-2-2-1\"").unwrap();
    }

    #[test]
    fn mistakes_are_told_before_anything_runs() {
        let told = |text: &str| of(text).unwrap_err().to_string();
        assert!(told("out = \"a\"\ngrid = []").contains("no run"));
        assert!(told("out = \"a\"\n[[grid]]\nseed = []").contains("seed has no values"));
        assert!(told("out = \"a\"\n[[grid]]\nseeds = [1]").contains("unknown key \"seeds\""));
        assert!(told("out = \"a\"\n[[grid]]\nlr = [0.1, -1.0]").contains("lr = -1"));
        assert!(told("out = \"a\"\n[[grid]]\nseed = [1]\n[[grid]]\nseed = [1]").contains("two runs"));
        assert!(
            told("out = \"a\"\n[[grid]]\nlr = [1, 1.0]")
                .ends_with("a/lr-1 and a/lr-1.0 would be the same run: let the values of their grids differ")
        );
        assert!(told("out = \"a\"\n[[grid]]\npartition = [\"iid\", \"IID\"]").contains("would be the same run"));
        let out = "sweep.toml: out: every run has a folder of its own in the sweep's out: leave it out of options and [[grid]]";
        assert!(told("out = \"a\"\n[[grid]]\nout = [\"b\"]").ends_with(out));
        assert!(told("out = \"a\"\noptions = { out = \"b\" }\n[[grid]]\nseed = [1]").ends_with(out));
        assert!(told("out = \"a\"\nfoo = 1\n[[grid]]\nseed = [1]").contains("unknown key \"foo\": a sweep has out,"));
        assert!(told("[[grid]]\nseed = [1]").contains("sweep.toml: it has no out: name the folder"));
        assert!(told("out = \"a\"\n[[grid]]\nseed = 1").contains("grid: seed = 1: it must be a list: write seed = [1]"));
        assert!(told("out = \"a\"\n[grid]\nseed = [1]").contains("write [[grid]] with double brackets"));
        assert!(told("out = 3\n[[grid]]\nseed = [1]").contains("out = 3: it must be a path in quotes"));
        assert!(told("out = \"a\"\nrounds = 3\n[[grid]]\nseed = [1]").contains("write options = { rounds = 3 }"));
        assert!(
            told("out = \"a\"\n[[grid]]\nseed = [1, \"2\"]")
                .contains("seed = \"2\": it must be a whole number, at least 0: write seed = 2")
        );
        assert!(told("out = \"a\"\nx = = 1").contains("sweep.toml: line 2: "));
        let all = [told("out = \"a\"\n[options]\nlr = \"x\"\n[[grid]]\nseed = [1]"), told("out = \"~bob\"\n[[grid]]\nseed = [1]")];
        assert!(all[0].contains("lr = \"x\": it must be a number") && all[1].contains("out = ~bob: only your own home"), "{all:?}");
        assert!(all.iter().all(|told| !told.contains('\n')));
    }
}
