//! `splitmix train`

use super::{configuration, effective, load_data, open_gpu, percent, print, table};
use crate::data::{ClientRow, Splits, class_table};
use crate::data::{Dataset, ImageSet};
use crate::fl::Client;
use crate::report::{CLIENTS, Clients, TEST};
use crate::run::run_dir::{BEST, read_checkpoint, write_atomically};
use crate::run::tensorboard::TensorBoard;
use crate::run::{Checkpoint, Federation, Report, RoundCost, RoundOutcome, RunDir, TrainConfig, TrainOverrides};
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
    /// Go on with the run in --out from its last checkpoint, bit for bit as if it had not stopped.
    #[arg(long, conflicts_with = "config")]
    resume: bool,
    /// Stop after the round in which this much time has gone, with a checkpoint to resume from: 90m, 2h, 1day 6h.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
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
        let (run_dir, saved, checkpoint) = RunDir::resume(&path)?;
        let mut config = saved.clone();
        args.options.apply(&mut config);
        config.out = path;
        let config = effective(config)?;
        config.check_resume(&saved)?;
        run_dir.save_config(&config)?;
        resumed = Some((run_dir, checkpoint));
        config
    } else {
        configuration(args.config.as_deref(), args.options)?
    };
    let extras = Extras { max_time: args.max_time, tensorboard: args.tensorboard, no_table: args.no_table };
    let interrupted = watch_for_interrupts()?;
    train(config, resumed, &extras, &interrupted).await
}

/// What concerns a process, not what is trained.
pub(super) struct Extras {
    pub max_time: Option<Duration>,
    pub tensorboard: bool,
    pub no_table: bool,
}

/// Trains to the end of a configuration and tests the best round, from the start or from a run's last checkpoint.
pub(super) async fn train(
    config: TrainConfig,
    resumed: Option<(RunDir, Option<Checkpoint>)>,
    extras: &Extras,
    interrupted: &AtomicBool,
) -> Result<()> {
    let dataset = load_data(&config)?;
    let gpu = open_gpu(config.adapter.clone(), config.checked_shaders).await?;
    eprintln!("adapter: {}", gpu.describe());
    let (mut run_dir, mut federation) = match resumed {
        Some((run_dir, Some(checkpoint))) => {
            let file = run_dir.path().join(crate::run::run_dir::LAST).display().to_string();
            (run_dir, Federation::resume(gpu, &dataset, config, checkpoint, &file).await?)
        }
        Some((run_dir, None)) => (run_dir, Federation::new(gpu, &dataset, config).await?),
        None => {
            let federation = Federation::new(gpu, &dataset, config).await?;
            (RunDir::create(&federation.config.out, &federation.config)?, federation)
        }
    };
    introduce(&federation, &dataset, !extras.no_table && federation.rounds_done == 0);
    let clients = Clients { classes: dataset.classes.clone(), rows: client_rows(&federation.clients, &dataset) };
    let json = serde_json::to_vec(&clients).map_err(|e| Error::Data(format!("the clients cannot be written: {e}")))?;
    write_atomically(&run_dir.path().join(CLIENTS), &json)?;

    let mut board = match extras.tensorboard {
        true => Some(TensorBoard::create(&run_dir.path().join("tensorboard"))?),
        false => None,
    };
    let progress = Progress::new(&federation);
    let began = Instant::now();
    let mut saved_at = federation.rounds_done;
    while federation.rounds_done < federation.config.rounds {
        let start = Instant::now();
        let outcome = federation.round().await?;
        let cost = RoundCost {
            round: outcome.metrics.round,
            seconds: start.elapsed().as_secs_f64(),
            waves: outcome.waves,
            dispatches: outcome.dispatches,
            submits: outcome.submits,
        };
        run_dir.append(&outcome.metrics, &cost)?;
        board.as_mut().map_or(Ok(()), |b| b.append(&outcome.metrics, &cost))?;
        let stop = interrupted.load(Ordering::SeqCst) || extras.max_time.is_some_and(|most| began.elapsed() >= most);
        if outcome.metrics.best || stop || federation.config.saves_after(outcome.metrics.round) {
            let checkpoint = federation.checkpoint().await?;
            if outcome.metrics.best {
                run_dir.save_best(checkpoint.clone())?;
            }
            run_dir.save_last(&checkpoint)?;
            saved_at = federation.rounds_done;
        }
        progress.round(&federation, &outcome);
        if stop && federation.rounds_done < federation.config.rounds {
            progress.finish();
            return Err(Error::Interrupted(format!(
                "stopped after round {saved_at} of {}; go on with: splitmix train --resume --out {}",
                federation.config.rounds,
                run_dir.path().display()
            )));
        }
    }
    progress.finish();
    finish(&mut federation, &dataset, &run_dir).await
}

/// Tests the best round (without validation: the last) and leaves the report in the run's folder.
async fn finish(federation: &mut Federation, dataset: &Dataset, run_dir: &RunDir) -> Result<()> {
    let best = run_dir.path().join(BEST);
    if best.exists() {
        let checkpoint: Checkpoint = read_checkpoint(&best)?;
        federation.load_bases(checkpoint, &best.display().to_string())?;
    } else {
        // No client has validation images: the last round stands for the best.
        run_dir.save_best(federation.checkpoint().await?)?;
    }
    let report = federation.test().await?;
    let json = serde_json::to_vec_pretty(&report).map_err(|e| Error::Data(format!("the test report cannot be written: {e}")))?;
    write_atomically(&run_dir.path().join(TEST), &json)?;
    let which = federation.selection.best.as_ref().map_or("last round".into(), |b| format!("best round {}", b.round + 1));
    print(&format!("test accuracy in %, mean over clients ({which}):\n{}", report_table(&report, dataset)))?;
    print(&format!("model: {}\n", best.display()))
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

/// Says what is about to be trained.
fn introduce(f: &Federation, dataset: &Dataset, with_table: bool) {
    let network = &f.model.network;
    let c = &f.config;
    let domains: Vec<String> = dataset.domains.iter().map(|d| d.title()).collect();
    eprintln!("data: {} — {}", dataset.name, domains.join(", "));
    eprintln!(
        "method: {}; {} base(s) of width {} of {} ({} parameters, {:.2} million multiply–adds each)\n{}",
        c.method,
        f.model.server.bases,
        f.model.algorithm.base_width(),
        network.name,
        network.parameters(),
        network.macs() as f64 * 1e-6,
        c.norm_rule(),
    );
    if with_table {
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
    for warning in &f.warnings {
        eprintln!("note: {warning}");
    }
    let lanes: Vec<String> = f.lanes_per_wave().iter().map(u32::to_string).collect();
    eprintln!(
        "federation: {} clients, up to {} lanes a wave; rounds {}–{}; run folder {}",
        f.clients.len(),
        lanes.join(" + "),
        f.rounds_done + 1,
        c.rounds,
        c.out.display()
    );
}

/// A bar on a terminal, a line a round elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    first: usize,
}

impl Progress {
    fn new(f: &Federation) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(f.config.rounds as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:24} round {pos}/{len} {msg} ({elapsed} gone, {eta} left)");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_position(f.rounds_done as u64);
            bar.reset_eta();
            bar.tick();
            bar
        });
        Progress { bar, start: Instant::now(), first: f.rounds_done }
    }

    fn round(&self, f: &Federation, outcome: &RoundOutcome) {
        let m = &outcome.metrics;
        let mut text = format!("loss {:.3}, train {}%", m.train_loss, percent(Some(m.train_accuracy)));
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
                eprintln!("round {}/{} {text} ({gone:.0} s gone, {left:.0} s left)", f.rounds_done, f.config.rounds);
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
    .map_err(|error| Error::Gpu(format!("interrupts cannot be watched for: {error}")))?;
    Ok(asked)
}
