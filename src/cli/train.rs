//! `splitmix train`

use super::arguments::time;
use super::eval::{check_moved, open_model};
use super::{configuration, effective, load_data, note, open_gpu, percent, print, table};
use crate::data::{ClientRow, Splits, class_table};
use crate::data::{Dataset, Domain, ImageSet};
use crate::error::OneLine;
use crate::fl::Client;
use crate::report::{self, Clients, groups, page};
use crate::run::config::BnMode;
use crate::run::run_dir::{BEST, CLIENTS, LAST, PAGE, TEST, read_checkpoint, write_atomically};
use crate::run::tensorboard::TensorBoard;
use crate::run::{Checkpoint, Federation, Report, Resumed, RoundCost, RoundOutcome, Run, RunDir, RunSpec, TrainConfig, TrainOverrides};
use crate::{Error, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(super) struct Args {
    /// TOML file with the same names as the flags; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Continue the run in --out from its last checkpoint, bit for bit as if it had not stopped. With a larger --rounds, a finished run
    /// continues, too: from the next round on its learning-rate schedule spreads over the new number of rounds. --eval-batch-size may
    /// differ: it concerns only the test.
    #[arg(long, conflicts_with = "config")]
    resume: bool,
    /// Stop after the round in which this much time has passed, with a checkpoint to resume from: 90m, 2h, 1day 6h; 0s: after one round.
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_time: Option<Duration>,
    /// Write the metrics as TensorBoard event files, too, to tensorboard/ in the run's folder.
    #[arg(long)]
    tensorboard: bool,
    /// Leave out the table of clients.
    #[arg(long)]
    no_table: bool,
    #[command(flatten)]
    options: TrainOverrides,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut resumed = None;
    let config = if args.resume {
        let path = args.options.out.clone().unwrap_or_else(|| TrainConfig::default().out);
        let Resumed { run_dir, config: mut saved, checkpoint, notes } = RunDir::resume(&path)?;
        notes.iter().for_each(note);
        let done = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.header.rounds_done);
        let mut options = args.options;
        if let Some(rounds) = options.rounds.take() {
            saved = saved.continued(rounds, done)?;
        }
        let mut config = saved.clone();
        options.apply(&mut config);
        config.out = path;
        let config = effective(config.with_files()?)?;
        config.check_resume(&saved)?;
        check_moved(&config)?;
        if config.eval_batch_size != saved.eval_batch_size && config.bn_mode == BnMode::Batch {
            note(format!(
                "eval-batch-size is {} and was {}: with batch statistics it is part of the test's result",
                config.eval_batch_size, saved.eval_batch_size
            ));
        }
        resumed = Some((run_dir, checkpoint));
        config
    } else {
        let config = configuration(args.config.as_deref(), args.options)?;
        // Before the slow part.
        RunDir::check_free(&config.out)?;
        config
    };
    let process = ProcessOptions { max_time: args.max_time, tensorboard: args.tensorboard, no_table: args.no_table };
    let interrupted = watch_for_interrupts()?;
    let ends = train(open_session(vec![QueuedRun { config, resumed }], None).await?, &process, &interrupted).await?;
    ends.into_iter().collect()
}

/// What concerns a process, not what is trained.
pub(super) struct ProcessOptions {
    pub max_time: Option<Duration>,
    pub tensorboard: bool,
    pub no_table: bool,
}

/// A run before its training: from the start, or from its folder and last checkpoint.
pub(super) struct QueuedRun {
    pub config: TrainConfig,
    pub resumed: Option<(RunDir, Option<Checkpoint>)>,
}

/// Runs that are trained together (or one alone), with their data.
pub(super) struct Session {
    dataset: Dataset,
    federation: Federation,
    /// Of the resumed ones.
    folders: Vec<Option<RunDir>>,
}

/// Opens the adapter and prepares the training of runs that go together, on their data if that is read already.
pub(super) async fn open_session(mut runs: Vec<QueuedRun>, read: Option<Dataset>) -> Result<Session> {
    let Some(config) = runs.first().map(|run| run.config.clone()) else {
        return Err(Error::Config("no run to train is named".into()));
    };
    // Before the slow part.
    let mut inits = Vec::new();
    for run in &mut runs {
        let begun = run.resumed.as_ref().is_some_and(|(_, checkpoint)| checkpoint.is_some());
        inits.push(if begun { None } else { init(&mut run.config)? });
    }
    let dataset = read.map_or_else(|| load_data(&config), Ok)?;
    let gpu = open_gpu(config.adapter.clone(), config.checked_shaders).await?;
    eprintln!("adapter: {}", gpu.describe());
    let (mut starts, mut folders) = (Vec::new(), Vec::new());
    for (QueuedRun { config, resumed }, init) in runs.into_iter().zip(inits) {
        let (folder, checkpoint) = resumed.map_or((None, None), |(folder, checkpoint)| (Some(folder), checkpoint));
        let file = |folder: &RunDir| folder.path().join(LAST).display().to_string();
        if let Some((checkpoint, file)) = &init
            && let Some(then) = checkpoint.header.data.as_ref().filter(|then| then.classes != dataset.classes)
        {
            let (then, now) = (then.classes.join(", "), dataset.classes.join(", "));
            note(format!("init = {file}: its classes were {then}, the data has {now}: each takes the output of that place"));
        }
        starts.push(RunSpec { config, checkpoint: checkpoint.zip(folder.as_ref().map(file)), init });
        folders.push(folder);
    }
    let federation = Federation::together(&gpu, &dataset, starts).await?;
    Ok(Session { dataset, federation, folders })
}

/// The checkpoint that a run begins with, if any, with its file's name; its checksum becomes part of the configuration.
fn init(config: &mut TrainConfig) -> Result<Option<(Checkpoint, String)>> {
    let Some(path) = &config.init else { return Ok(None) };
    let (file, checkpoint) = open_model(path)?;
    let bytes = std::fs::read(&file).map_err(|source| Error::Io { action: "cannot read", path: file.clone(), source })?;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    let found = format!("{:08x}", crc.sum());
    if let Some(wanted) = config.init_checksum.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&found)) {
        return Err(Error::Config(format!(
            "init = {}: its checksum is {found}, and init-checksum says {wanted}: this is another file: name the original one, or leave \
             init-checksum out",
            file.display()
        )));
    }
    config.init_checksum = Some(found);
    Ok(Some((checkpoint, file.display().to_string())))
}

/// Trains to the end of the configurations and tests the best round of each run. The results are in their order: an error
/// of one does not end the others. Only one of the device does.
pub(super) async fn train(session: Session, process: &ProcessOptions, interrupted: &AtomicBool) -> Result<Vec<Result<()>>> {
    let Session { dataset, mut federation, folders } = session;
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let mut runs = Vec::new();
    introduce(&federation, &dataset, !process.no_table);
    for (own, folder) in federation.runs().iter().zip(folders) {
        let label = if federation.runs().len() > 1 { name(&own.config) } else { String::new() };
        let progress = Progress::new(own, label, &bars);
        runs.push(match RunOutput::new(own, folder, &dataset, process, progress) {
            Ok(run) => run.keep_start(own).await,
            Err(error) => Err(error),
        });
    }
    let began = Instant::now();
    loop {
        let start = Instant::now();
        let among: Vec<usize> = (0..runs.len()).filter(|i| runs[*i].is_ok()).collect();
        let outcomes = federation.round_of(&among).await?;
        let seconds = start.elapsed().as_secs_f64();
        let stop = interrupted.load(Ordering::SeqCst) || process.max_time.is_some_and(|most| began.elapsed() >= most);
        let went_on = !outcomes.is_empty();
        for (i, outcome) in outcomes {
            let own = &federation.runs()[i];
            let done = match (&mut runs[i], outcome) {
                (Ok(run), Ok(outcome)) => run.round(own, &outcome, seconds, stop).await,
                (_, Err(error)) => Err(error),
                (Err(_), Ok(_)) => Ok(()),
            };
            if let Err(error) = done {
                if runs.len() > 1 {
                    // Not `suspend`, which ends in a panic where the terminal is gone; the next round draws them again.
                    let _ = bars.clear();
                    eprintln!("{}: {error}", name(&own.config));
                }
                runs[i] = Err(error);
            }
        }
        let left = |(run, f): (&Result<RunOutput>, &Run)| run.is_ok() && f.rounds_done < f.config.rounds;
        if !went_on || !runs.iter().zip(federation.runs()).any(left) {
            break;
        }
        if stop {
            runs.iter().flatten().for_each(|run| run.progress.finish());
            let interrupted = |(run, f): (Result<RunOutput>, &Run)| {
                Err(Error::Interrupted(format!(
                    "stopped after round {} of {}; resume with: splitmix train --resume --out {}",
                    f.rounds_done,
                    f.config.rounds,
                    run?.folder.path().display()
                )))
            };
            return Ok(runs.into_iter().zip(federation.runs()).map(interrupted).collect());
        }
    }
    runs.iter().flatten().for_each(|run| run.progress.finish());
    let mut ends = Vec::new();
    for (mut own, run) in federation.into_runs().into_iter().zip(runs) {
        ends.push(match run {
            Ok(run) => finish(&mut own, &dataset, &run.folder).await,
            Err(error) => Err(error),
        });
    }
    Ok(ends)
}

/// What a run is called where there are several.
fn name(config: &TrainConfig) -> String {
    config.out.file_name().unwrap_or(config.out.as_os_str()).to_string_lossy().into_owned()
}

/// A run in training, with its files.
struct RunOutput {
    folder: RunDir,
    board: Option<TensorBoard>,
    progress: Progress,
}

impl RunOutput {
    fn new(f: &Run, folder: Option<RunDir>, dataset: &Dataset, process: &ProcessOptions, progress: Progress) -> Result<RunOutput> {
        let folder = match folder {
            Some(folder) => {
                if f.rounds_done < f.config.rounds {
                    folder.remove_results()?;
                }
                folder.save_config(&f.config)?;
                folder
            }
            None => RunDir::create(&f.config.out, &f.config)?,
        };
        let clients = Clients { classes: dataset.classes.clone(), rows: client_rows(&f.clients, dataset) };
        let json = serde_json::to_vec(&clients).map_err(|e| Error::Data(format!("the clients cannot be written: {e}")))?;
        write_atomically(&folder.path().join(CLIENTS), &json)?;
        let board = match process.tensorboard {
            true => Some(TensorBoard::create(&folder.path().join("tensorboard"))?),
            false => None,
        };
        Ok(RunOutput { folder, board, progress })
    }

    /// Before the first round of a run that begins with the bases of another: keeps them in its folder, so that it can be resumed without
    /// the other's file.
    async fn keep_start(self, run: &Run) -> Result<RunOutput> {
        if run.config.init.is_some() && run.rounds_done == 0 {
            self.folder.save_last(&run.checkpoint().await?)?;
        }
        Ok(self)
    }

    /// Writes down what a round came to.
    async fn round(&mut self, run: &Run, outcome: &RoundOutcome, seconds: f64, stop: bool) -> Result<()> {
        let cost = RoundCost {
            round: outcome.metrics.round,
            seconds,
            waves: outcome.waves,
            dispatches: outcome.dispatches,
            submits: outcome.submits,
            together: outcome.together,
        };
        self.folder.append(&outcome.metrics, &cost)?;
        self.board.as_mut().map_or(Ok(()), |b| b.append(&outcome.metrics, &cost))?;
        if outcome.metrics.best || stop || run.config.saves_after(outcome.metrics.round) {
            let checkpoint = run.checkpoint().await?;
            if outcome.metrics.best {
                self.folder.save_best(checkpoint.clone())?;
            }
            self.folder.save_last(&checkpoint)?;
        }
        self.progress.round(run, outcome);
        Ok(())
    }
}

/// Tests the best round (without validation: the last) and leaves the report and the run's page in its folder.
async fn finish(run: &mut Run, dataset: &Dataset, run_dir: &RunDir) -> Result<()> {
    let best = run_dir.path().join(BEST);
    // Without validation the last round stands for the best, also where an earlier last one was kept.
    if best.exists() && run.selection.best.is_some() {
        let mut checkpoint: Checkpoint = read_checkpoint(&best)?;
        if checkpoint.header.config.eval_batch_size != run.config.eval_batch_size {
            // A resume changed it, and `eval` is to find what this test finds.
            checkpoint.header.config.eval_batch_size = run.config.eval_batch_size;
            run_dir.save_best(checkpoint.clone())?;
        }
        run.load_bases(checkpoint, &best.display().to_string())?;
    } else {
        run_dir.save_best(run.checkpoint().await?)?;
    }
    let report = run.test().await?;
    let json = serde_json::to_vec_pretty(&report).map_err(|e| Error::Data(format!("the test report cannot be written: {e}")))?;
    write_atomically(&run_dir.path().join(TEST), &json)?;
    let page_file = run_dir.path().join(PAGE);
    write_atomically(&page_file, page(&groups(vec![report::Run::read(run_dir.path())?])?)?.as_bytes())?;
    let which = run.selection.best.as_ref().map_or("last round".into(), |b| format!("best round {}", b.round + 1));
    print(&format!("test accuracy in %, mean over clients ({which}):\n{}", report_table(&report, dataset)))?;
    print(&format!("page: {}\nmodel: {}\n", page_file.display(), best.display()))
}

/// Accuracies by width (rows) and domain (columns).
pub(super) fn report_table(report: &Report, dataset: &Dataset) -> String {
    let mut rows = vec![vec!["width".to_string(), "all clients".to_string()]];
    rows[0].extend(dataset.domains.iter().map(|d| d.title()));
    for width in &report.widths {
        let mut row = vec![width.width.to_string(), percent(width.mean)];
        row.extend(width.domains.iter().map(|(_, a)| percent(*a)));
        rows.push(row);
    }
    table(&rows)
}

/// Rows of the class table: how many images of each class every client has in each part.
pub(super) fn client_rows(clients: &[Client], dataset: &Dataset) -> Vec<ClientRow> {
    let count = |set: &ImageSet, indices: &[u32]| {
        let mut counts = vec![0; dataset.classes.len()];
        indices.iter().for_each(|i| counts[usize::from(set.labels[*i as usize])] += 1);
        counts
    };
    let row = |c: &Client| {
        let domain = &dataset.domains[c.domain];
        ClientRow {
            name: c.name.clone(),
            domain: domain.title(),
            budget: c.budget.to_string(),
            train: count(&domain.train, &c.train),
            validation: count(&domain.train, &c.validation),
            test: count(&domain.test, &c.test),
        }
    };
    clients.iter().map(row).collect()
}

/// How many images of each domain no client has, where images are dealt, in words; none where all have one.
pub(super) fn unused_images(clients: &[Client], dataset: &Dataset) -> Option<String> {
    if !dataset.clients.is_empty() {
        return None;
    }
    let of_domain = |(d, domain): (usize, &Domain)| {
        let own = |images: fn(&Client) -> usize| clients.iter().filter(|c| c.domain == d).map(images).sum::<usize>();
        let unused = [
            ("training", domain.train.len() - domain.validation, own(|c| c.train.len() + c.validation.len()) - domain.validation),
            ("test", domain.test.len(), own(|c| c.test.len())),
        ];
        let part = |(part, all, used): (&str, usize, usize)| (used < all).then(|| format!("{} of {all} {part} images", all - used));
        let parts: Vec<String> = unused.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("{} of {}", parts.join(" and "), domain.name))
    };
    let domains: Vec<String> = dataset.domains.iter().enumerate().filter_map(of_domain).collect();
    (!domains.is_empty()).then(|| format!("no client has {}: the options and the partition leave these out", domains.join(", ")))
}

/// Says that a limit to the training images is above what every domain has.
pub(super) fn unused_limit(config: &TrainConfig, dataset: &Dataset) -> Option<String> {
    let limit = config.train_per_domain?;
    let most = dataset.domains.iter().map(|domain| domain.train.len() - domain.validation).max()?;
    (limit > most).then(|| format!("train-per-domain = {limit} has no effect: no domain has more than {most} training images"))
}

/// Says what is about to be trained; `with_table`: with the table of clients, where training begins.
fn introduce(federation: &Federation, dataset: &Dataset, with_table: bool) {
    let all = federation.runs();
    let f = &all[0];
    let network = &f.model.network;
    let c = &f.config;
    let domains: Vec<String> = dataset.domains.iter().map(|d| d.title()).collect();
    eprintln!("data: {}", OneLine(&format!("{} — {}", dataset.name, domains.join(", "))));
    eprintln!(
        "method: {}; {} base(s) of width {} of {} ({} parameters, {:.2} million multiply–adds each)\n{}",
        c.method,
        f.model.server.count,
        f.model.algorithm.base_width(),
        network.name,
        network.parameters(),
        network.macs() as f64 * 1e-6,
        c.norm_rule(),
    );
    eprintln!("partition: {}", c.partition_rule());
    if c.equal_steps() {
        eprintln!("steps: every client takes the same number in a round, the mean of their full batches");
    }
    if let (Some(file), 0) = (&c.init, f.rounds_done) {
        eprintln!("init: the first round begins with the bases of {}", file.display());
    }
    if c.rounds_planned(0) < c.rounds && f.rounds_done < c.rounds {
        let rate = c.schedule.rate(c.lr, f.rounds_done, c.rounds_planned(f.rounds_done));
        eprintln!("rounds: raised to {}; the learning rate of round {} is {rate:.3e}", c.rounds, f.rounds_done + 1);
    }
    if with_table && f.rounds_done == 0 {
        eprint!("{}", class_table(&client_rows(&f.clients, dataset), &dataset.classes, Splits::Train));
    }
    if c.lambda_train > 0.0 {
        let kind = if network.norms.dual {
            "clean images through the clean batch norms, attacked ones through the adversarial"
        } else {
            "attacked images only"
        };
        eprintln!("adversarial training: λ {}, {} against each base; {kind}", c.lambda_train, c.train_attack);
    }
    for warning in c.warnings() {
        eprintln!("warning: {warning}");
    }
    if all.len() > 1 {
        eprintln!("together: the lanes of {} runs go through the same dispatches", all.len());
    }
    let lanes: Vec<String> = federation.lanes_per_wave().iter().map(u32::to_string).collect();
    for f in all {
        for warning in &f.warnings {
            note(warning);
        }
        if let Some(wanted) = f.config.clients_per_round.filter(|wanted| *wanted > f.clients.len()) {
            eprintln!(
                "note: clients-per-round = {wanted}: there are {} clients, and all of them take part in every round",
                f.clients.len()
            );
        }
        f.notes.iter().for_each(note);
        if let Some(unused) = unused_limit(c, dataset) {
            note(unused);
        }
        if let Some(unused) = unused_images(&f.clients, dataset) {
            note(unused);
        }
        let rounds = match f.rounds_done {
            done if done == c.rounds => {
                format!("all {done} rounds are trained: the test is repeated; to train on, write a larger --rounds")
            }
            done => format!("rounds {}–{}", done + 1, c.rounds),
        };
        eprintln!(
            "federation: {} clients, up to {} lanes per wave; {rounds}; run folder {}",
            f.clients.len(),
            lanes.join(" + "),
            f.config.out.display()
        );
    }
}

/// A bar on a terminal, a line a round elsewhere; where there are several runs, with the run's name.
struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    start: Instant,
    first: usize,
}

impl Progress {
    fn new(f: &Run, name: String, bars: &MultiProgress) -> Progress {
        let label = if name.is_empty() { name } else { format!("{name}: ") };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = bars.add(ProgressBar::new(f.config.rounds as u64));
            let style = ProgressStyle::with_template("{prefix}{bar:24} round {pos}/{len} {msg} ({elapsed} elapsed, {eta} left)");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.clone());
            bar.set_position(f.rounds_done as u64);
            bar.reset_eta();
            bar.tick();
            bar
        });
        Progress { label, bar, start: Instant::now(), first: f.rounds_done }
    }

    fn round(&self, f: &Run, outcome: &RoundOutcome) {
        let m = &outcome.metrics;
        let mut text = format!("loss {:.3}, train {}%", m.train_loss, percent(Some(m.train_accuracy)));
        for (name, value) in &m.figures {
            text += &format!(", {name} {}", (value * 1e3).round() / 1e3);
        }
        if !m.validation.is_empty() {
            let widths: Vec<String> = m.validation.iter().map(|v| format!("{}: {}%", v.width, percent(v.accuracy))).collect();
            text += &format!(", validation {}{}", widths.join(" "), if m.best { " (best)" } else { "" });
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_position(f.rounds_done as u64);
            }
            None => {
                let gone = self.start.elapsed().as_secs_f64();
                let left = gone / (f.rounds_done - self.first).max(1) as f64 * (f.config.rounds - f.rounds_done) as f64;
                eprintln!("{}round {}/{} {text} ({gone:.0} s elapsed, {left:.0} s left)", self.label, f.rounds_done, f.config.rounds);
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
            eprintln!();
        }
    }
}

/// The first interrupt asks the round to be the last; a second one ends the process at once.
pub(super) fn watch_for_interrupts() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this round and its checkpoint (interrupt again to stop at once)");
    })
    .map_err(|error| Error::Gpu(format!("interrupts (Ctrl-C) cannot be caught: {error}")))?;
    Ok(asked)
}
