//! Finished runs side by side: means over seeds, tables, charts and a page that needs no network.
//!
//! Runs of one configuration, whatever their seed, are a *group*; groups are named by the options in which they differ. No seed is in a
//! group twice: then the runs are named by where their data lie, or by their folders.

mod chart;
mod classes;
mod own_bases;
mod page;

pub use chart::{Chart, Point, Scale, Series};
pub use classes::class_picture;
pub use own_bases::own_bases_picture;
pub use page::{grid_page, page};

use crate::data::ClientRow;
use crate::fl::{Composition, Ratio, Stage, batches::mean_steps};
use crate::net::Network;
use crate::run::robust::GridPoint;
use crate::run::run_dir::{BEST, CLIENTS, CONFIG, GRID, METRICS, TEST, folder_of, read_checkpoint};
use crate::run::written::read_text;
use crate::run::{Report, RoundMetrics, TrainConfig};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a run's clients hold, as its folder keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// A row a client.
    pub rows: Vec<ClientRow>,
}

/// Results of `eval --grid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// A point a λ.
    pub grid: Vec<GridPoint>,
}

/// A run, as far as its folder says.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub path: PathBuf,
    /// Its options.
    pub config: TrainConfig,
    /// A line a round.
    pub metrics: Vec<RoundMetrics>,
    /// The test of its best round; none while it is under way.
    pub test: Option<Report>,
    /// Its clients.
    pub clients: Option<Clients>,
    /// Its standard and robust accuracies by width and λ.
    pub grid: Option<Grid>,
    /// Number of classes.
    pub classes: usize,
}

/// Runs that differ in their seed alone, and none in that.
#[derive(Debug, Clone)]
pub struct Group {
    /// The options in which groups differ, with this one's values.
    pub name: String,
    /// The runs by seed.
    pub runs: Vec<Run>,
}

/// What training at some width costs and what it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    /// Parameters of the model, running statistics apart.
    pub parameters: u64,
    /// Multiply–adds of one image's forward.
    pub macs: u64,
}

/// What a round costs a client, on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RoundCost {
    /// Parameters that it receives, running statistics among them.
    pub received: u64,
    /// Parameters that it sends.
    pub sent: u64,
    /// Multiply–adds of its training, and of choosing what to train.
    pub macs: u64,
}

/// Mean and standard deviation (of a sample) over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; 0 of one value.
    pub deviation: f64,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Of values; none of no value.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        (count > 0).then_some(Spread { mean, deviation, count })
    }

    /// As a percentage, with the deviation where there are several values.
    pub fn percent(&self) -> String {
        let mean = format!("{:.1}", 100.0 * self.mean);
        if self.count > 1 { format!("{mean} ± {:.1}", 100.0 * self.deviation) } else { mean }
    }
}

impl Run {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// [`Error::Io`] where its configuration cannot be read; [`Error::Data`] naming a file that is damaged.
    pub fn read(path: &Path) -> Result<Run> {
        let file = path.join(CONFIG);
        let text = read_text(&file, "cannot read")?;
        let mut config = TrainConfig::from_toml(&text, &file)?;
        // A run of an earlier version may lack options that its method has got since.
        config.own.complete(config.method.options).map_err(|e| Error::Data(format!("{}: {e}", file.display())))?;
        if toml::from_str::<toml::Table>(&text).is_ok_and(|options| options.is_empty()) {
            return Err(Error::Data(format!("{}: it has no options, and train writes all of them: this file is damaged", file.display())));
        }
        let clients: Option<Clients> = read_json(&path.join(CLIENTS))?;
        let (test, grid): (Option<Report>, Option<Grid>) = (read_json(&path.join(TEST))?, read_json(&path.join(GRID))?);
        if let Some(report) = &test {
            check(report, clients.as_ref(), &path.join(TEST))?;
        }
        // Its domains may have been renamed since.
        for point in grid.iter().flat_map(|grid| &grid.grid) {
            let attacked = point.attacked.iter().map(|attacked| &attacked.report);
            [&point.standard].into_iter().chain(attacked).try_for_each(|report| check(report, None, &path.join(GRID)))?;
        }
        let best = path.join(BEST);
        let classes = match &clients {
            Some(clients) => clients.classes.len(),
            None if best.exists() => read_checkpoint(&best)?.header.classes,
            None => 10,
        };
        Ok(Run { path: path.to_path_buf(), metrics: read_lines(&path.join(METRICS))?, test, grid, clients, classes, config })
    }

    /// Runs in folders: each a run's, or one whose sub-folders are runs'. A run that is there twice is taken once.
    ///
    /// # Errors
    /// [`Error::Config`] for a folder with no run in it; as [`Run::read`].
    pub fn find(folders: &[PathBuf]) -> Result<Vec<Run>> {
        // Other programs have files of that name, too.
        let is_run = |p: &Path| p.join(CONFIG).is_file() && [METRICS, TEST].iter().any(|name| p.join(name).is_file());
        let mut paths = Vec::new();
        for folder in folders {
            if is_run(folder) {
                paths.push(folder.clone());
                continue;
            }
            let unreadable = |source| Error::Io { action: "cannot read the folder", path: folder.clone(), source };
            let entries = std::fs::read_dir(folder).map_err(unreadable)?;
            let mut inside: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| is_run(p)).collect();
            inside.sort();
            if inside.is_empty() {
                let what = format!("there is no {CONFIG} beside a {METRICS} or {TEST}");
                return Err(Error::Config(format!("{} is no run's folder and has none in it ({what})", folder.display())));
            }
            paths.append(&mut inside);
        }
        let mut seen = BTreeSet::new();
        paths.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        paths.iter().map(|path| Run::read(path)).collect()
    }

    /// An error with the run's folder before it.
    fn named(&self, error: Error) -> Error {
        Error::Config(format!("{}: {error}", self.path.display()))
    }

    /// Test accuracy at a width, mean over the clients.
    pub fn accuracy(&self, width: Ratio) -> Option<f64> {
        self.test.as_ref()?.widths.iter().find(|w| w.width == width)?.mean
    }

    /// What the model is at a width.
    ///
    /// # Errors
    /// [`Error::Config`] for a network or a width that there is not, naming the run.
    pub fn size(&self, width: Ratio) -> Result<Size> {
        self.size_at(width).map_err(|e| self.named(e))
    }

    fn size_at(&self, width: Ratio) -> Result<Size> {
        let algorithm = self.config.algorithm();
        let (width, bases) = match algorithm.model(width)? {
            Composition::Mix(bases) => (algorithm.base_width(), bases as u64),
            Composition::Corner => (width, 1),
        };
        let network = self.config.network_of(width, self.classes)?;
        Ok(Size { parameters: bases * network.parameters(), macs: bases * network.macs() })
    }

    /// Mean over the clients that train of the parameters that one receives and sends in a round, and of the multiply–adds that it computes:
    /// forward and both directions of backward of every step, those of the attack in adversarial training, and a forward of every base
    /// for a client that chooses among them. None if the run's folder names no such client.
    ///
    /// # Errors
    /// As [`Run::size`].
    pub fn round_cost(&self) -> Result<Option<RoundCost>> {
        self.clients.as_ref().map_or(Ok(None), |clients| self.cost_among(clients).map_err(|e| self.named(e)))
    }

    fn cost_among(&self, clients: &Clients) -> Result<Option<RoundCost>> {
        let c = &self.config;
        let algorithm = c.algorithm();
        let sizes = clients.rows.iter().map(|row| row.train.iter().sum::<usize>());
        // Of one image there is no batch: such a client takes no part.
        let able: Vec<(usize, Ratio)> = sizes.zip(algorithm.budgets(clients.rows.len())).filter(|(images, _)| *images >= 2).collect();
        let steps = c.equal_steps().then(|| mean_steps(able.iter().map(|(images, _)| *images), c.local_epochs, c.batch_size));
        let passes = 3 * (u64::from(c.lambda_train < 1.0) + u64::from(c.lambda_train > 0.0));
        let attack = if c.lambda_train > 0.0 { 2 * u64::from(c.train_attack.steps()) } else { 0 };
        // Losses of all bases are of all of them received, and a forward of each.
        let tried = if algorithm.asks_for(Stage::Losses, 1) { Some(algorithm.bases()? as u64) } else { None };
        let (mut received, mut sent, mut macs) = (0, 0, 0);
        for (images, budget) in &able {
            let task = algorithm.task(*budget)?;
            let network = |width| -> Result<Network> { Ok(c.network_of(width, self.classes)?.with_norms(c.norms())) };
            let trained = network(task.submodel.as_ref().map_or(algorithm.base_width(), |submodel| submodel.width))?;
            // What stays with a client is not sent.
            let base = trained.tensors.iter().filter(|t| !c.keeps(t)).map(|t| t.len() as u64).sum::<u64>();
            sent += task.bases as u64 * base;
            received += tried.unwrap_or(task.bases as u64) * base;
            macs += tried.unwrap_or(0) * *images as u64 * trained.macs();
            let mut of_image = trained.macs();
            for width in task.submodel.iter().flat_map(|submodel| &submodel.narrower) {
                of_image += network(*width)?.macs();
            }
            let images = steps.map_or(images * c.local_epochs, |steps| steps * c.batch_size.min(*images));
            macs += task.bases as u64 * images as u64 * (passes + attack) * of_image;
        }
        let mean = |sum: u64| sum.checked_div(able.len() as u64);
        let means = mean(received).zip(mean(sent)).zip(mean(macs));
        Ok(means.map(|((received, sent), macs)| RoundCost { received, sent, macs }))
    }
}

/// Checks that a report may be of these clients, and that its accuracies are shares.
fn check(report: &Report, clients: Option<&Clients>, file: &Path) -> Result<()> {
    let wrong = |what: String| Err(Error::Data(format!("{}: {what}", file.display())));
    for at in &report.widths {
        let all = at.mean.iter().chain(at.domains.iter().filter_map(|(_, accuracy)| accuracy.as_ref())).chain(at.clients.iter().flatten());
        if let Some(accuracy) = all.into_iter().find(|accuracy| !(0.0..=1.0).contains(*accuracy)) {
            return wrong(format!("width {}: the accuracy {accuracy} is not in [0, 1]: this file is damaged", at.width));
        }
        let Some(clients) = clients else { continue };
        // The table of clients has a domain's origin after its name.
        let is_of =
            |row: &ClientRow, name: &str| row.domain.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("));
        if let Some(row) = clients.rows.iter().find(|row| !at.domains.iter().any(|(name, _)| is_of(row, name))) {
            let names: Vec<&str> = at.domains.iter().map(|(name, _)| name.as_str()).collect();
            return wrong(format!(
                "its domains are {}, but client {} in {CLIENTS} is of {}: these results are of another run",
                names.join(", "),
                row.name,
                row.domain
            ));
        }
        if at.clients.len() != clients.rows.len() {
            let (results, rows) = (at.clients.len(), clients.rows.len());
            return wrong(format!("it has results of {results} clients, and {CLIENTS} has {rows}: these results are of another run"));
        }
    }
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    if !file.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(file).map_err(|source| Error::Io { action: "cannot read", path: file.to_path_buf(), source })?;
    let by = if file.ends_with(GRID) { "eval --grid" } else { "train" };
    let read = serde_json::from_slice(&bytes);
    let read = read.map_err(|e| Error::Data(format!("{}: this is not the JSON that {by} writes: {e}", file.display())));
    read.map(Some)
}

/// A line a round; a last line that a kill left half is passed over.
fn read_lines(file: &Path) -> Result<Vec<RoundMetrics>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = read_text(file, "cannot read")?;
    let lines: Vec<&str> = text.split_inclusive('\n').filter(|l| l.ends_with('\n')).collect();
    let line =
        |(i, l): (usize, &&str)| serde_json::from_str(l).map_err(|e| Error::Data(format!("{}, line {}: {e}", file.display(), i + 1)));
    lines.iter().enumerate().map(line).collect()
}

type Options = BTreeMap<String, serde_json::Value>;

/// The options that concern a run.
fn options(config: &TrainConfig) -> Result<Options> {
    let all: Options = serde_json::to_value(config)
        .and_then(serde_json::from_value)
        .map_err(|e| Error::Config(format!("the configuration of {} cannot be compared: {e}", config.out.display())))?;
    Ok(all.into_iter().filter(|(key, _)| config.depends_on(key)).collect())
}

/// An option's value for people.
fn shown(value: Option<&serde_json::Value>) -> String {
    match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Object(network)) => network.get("name").map_or("described".into(), |n| n.to_string().replace('"', "")),
        Some(other) => other.to_string(),
        None => "not given".into(),
    }
}

/// The first option that makes two validated configurations different runs, with the value that each has.
///
/// # Errors
/// [`Error::Config`] where a configuration cannot be written.
pub fn difference(one: &TrainConfig, other: &TrainConfig) -> Result<Option<(String, [String; 2])>> {
    let (one, other) = (options(one)?, options(other)?);
    let key = TrainConfig::keys().into_iter().find(|key| one.get(key) != other.get(key));
    Ok(key.map(|key| {
        let values = [&one, &other].map(|options| shown(options.get(&key)));
        (key, values)
    }))
}

/// Runs by configuration, in the order of their first run.
///
/// # Errors
/// [`Error::Config`] where a configuration cannot be written.
pub fn groups(runs: Vec<Run>) -> Result<Vec<Group>> {
    let mut found: Vec<(Options, Vec<Run>)> = Vec::new();
    for run in runs {
        let mut own = options(&run.config)?;
        // Nothing that is learnt depends on the widths that are tested.
        own.retain(|key, _| !["seed", "widths"].contains(&key.as_str()));
        match found.iter_mut().find(|(o, _)| *o == own) {
            Some((_, group)) => group.push(run),
            None => found.push((own, vec![run])),
        }
    }
    let keys: BTreeSet<&String> = found.iter().flat_map(|(o, _)| o.keys()).collect();
    let differs = |key: &&String| {
        let mut values = found.iter().filter(|(_, runs)| runs[0].config.depends_on(key)).map(|(o, _)| o.get(*key));
        values.next().is_some_and(|first| values.any(|v| v != first))
    };
    // The method first.
    let mut differing: Vec<String> = keys.into_iter().filter(differs).cloned().collect();
    differing.sort_by_key(|k| k != "method");
    let mut groups = Vec::new();
    for (own, runs) in found {
        let config = &runs[0].config;
        let parts = differing.iter().filter(|k| config.depends_on(k)).map(|key| match key.as_str() {
            "method" => shown(own.get(key)),
            _ => format!("{key} {}", shown(own.get(key))),
        });
        let parts: Vec<String> = parts.collect();
        let name = if parts.is_empty() { config.method.to_string() } else { parts.join(", ") };
        for (place, mut runs) in apart(runs) {
            runs.sort_by_key(|r| r.config.seed);
            groups.push(Group { name: if place.is_empty() { name.clone() } else { format!("{name}, {place}") }, runs });
        }
    }
    Ok(groups)
}

/// Runs of the same options in parts with no seed twice, each with what distinguishes it from the others. Data may lie elsewhere on another
/// machine, so their place distinguishes runs only if necessary; then the folder that the runs are in, then their own.
fn apart(runs: Vec<Run>) -> Vec<(String, Vec<Run>)> {
    let places: [fn(&Run) -> String; 4] = [
        |_| String::new(),
        |r| match (&r.config.data_dir, &r.config.clients_file) {
            (Some(folder), _) => format!("data-dir {}", folder.display()),
            (None, Some(file)) => format!("clients-file {}", file.display()),
            (None, None) => String::new(),
        },
        |r| format!("in {}", folder_of(&r.path).display()),
        |r| r.path.display().to_string(),
    ];
    let enough = |place: &&fn(&Run) -> String| {
        let mut seen = BTreeSet::new();
        runs.iter().all(|run| seen.insert((place(run), run.config.seed)))
    };
    let place = places.iter().find(enough).unwrap_or(&places[3]);
    let mut parts: Vec<(String, Vec<Run>)> = Vec::new();
    for run in runs {
        let own = place(&run);
        match parts.iter_mut().find(|(place, _)| *place == own) {
            Some((_, part)) => part.push(run),
            None => parts.push((own, vec![run])),
        }
    }
    parts
}

impl Group {
    /// Whether any of its means is over more than one run.
    fn has_several_seeds(&self) -> bool {
        self.runs.iter().filter(|r| r.test.is_some()).count() > 1
    }

    /// Widths that its runs were tested at.
    pub fn widths(&self) -> Vec<Ratio> {
        let mut all: Vec<Ratio> = self.runs.iter().filter_map(|r| r.test.as_ref()).flat_map(|t| t.widths.iter().map(|w| w.width)).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Test accuracy at a width over its runs.
    pub fn accuracy(&self, width: Ratio) -> Option<Spread> {
        Spread::of(&self.runs.iter().filter_map(|r| r.accuracy(width)).collect::<Vec<_>>())
    }

    /// The same over the clients of each domain, by domain name.
    pub fn domains(&self, width: Ratio) -> Vec<(String, Option<Spread>)> {
        let of_run = |r: &Run| r.test.as_ref().and_then(|t| t.widths.iter().find(|w| w.width == width)).map(|w| w.domains.clone());
        let all: Vec<_> = self.runs.iter().filter_map(of_run).collect();
        let names: Vec<String> = all.first().map_or(vec![], |d| d.iter().map(|(n, _)| n.clone()).collect());
        let values =
            |name: &String| -> Vec<f64> { all.iter().filter_map(|d| d.iter().find(|(n, _)| n == name).and_then(|(_, a)| *a)).collect() };
        names.iter().map(|n| (n.clone(), Spread::of(&values(n)))).collect()
    }

    /// Validation accuracy at a width after each round that has one, over its runs: (rounds done, accuracy).
    pub fn validation(&self, width: Ratio) -> Vec<(usize, Spread)> {
        self.by_round(|m| m.validation.iter().find(|w| w.width == width).and_then(|w| w.accuracy))
    }

    /// The same of the widest model that its runs have: FedAvg's have one width, which may not be the full one.
    pub fn widest_validation(&self) -> Vec<(usize, Spread)> {
        self.by_round(|m| m.validation.last().and_then(|w| w.accuracy))
    }

    /// Cross entropy in training of each round: (rounds done, loss).
    pub fn training_loss(&self) -> Vec<(usize, Spread)> {
        self.by_round(|m| Some(m.train_loss))
    }

    /// Figures of the method's own after each round, by their names.
    pub fn figures(&self) -> BTreeMap<String, Vec<(usize, Spread)>> {
        let names: BTreeSet<&String> = self.runs.iter().flat_map(|r| &r.metrics).flat_map(|m| m.figures.keys()).collect();
        names.into_iter().map(|name| (name.clone(), self.by_round(|m| m.figures.get(name).copied()))).collect()
    }

    fn by_round(&self, value: impl Fn(&RoundMetrics) -> Option<f64>) -> Vec<(usize, Spread)> {
        let mut rounds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for m in self.runs.iter().flat_map(|r| &r.metrics) {
            if let Some(value) = value(m) {
                rounds.entry(m.round + 1).or_default().push(value);
            }
        }
        rounds.into_iter().filter_map(|(round, values)| Some((round, Spread::of(&values)?))).collect()
    }

    /// Standard and robust accuracy by width, attack and λ over its runs.
    pub fn grid(&self) -> Vec<GridMean> {
        // Accuracies of the runs at one place of the grid.
        #[derive(Default)]
        struct Place {
            lambda: f64,
            standard: Vec<f64>,
            robust: Vec<f64>,
        }
        let mut all: BTreeMap<(Ratio, String, u64), Place> = BTreeMap::new();
        for point in self.runs.iter().filter_map(|r| r.grid.as_ref()).flat_map(|g| &g.grid) {
            for (w, standard) in point.standard.widths.iter().enumerate() {
                for a in &point.attacked {
                    let robust = a.report.widths.get(w).and_then(|r| r.mean);
                    // λ is in [0, 1], whose bits are in the order of the numbers.
                    let key = (standard.width, a.attack.to_string(), point.lambda.to_bits());
                    let place = all.entry(key).or_default();
                    place.lambda = point.lambda;
                    place.standard.extend(standard.mean);
                    place.robust.extend(robust);
                }
            }
        }
        all.into_iter()
            .filter_map(|((width, attack, _), Place { lambda, standard, robust })| {
                Some(GridMean { width, attack, lambda, standard: Spread::of(&standard)?, robust: Spread::of(&robust)? })
            })
            .collect()
    }
}

/// Accuracies at one width and λ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridMean {
    /// The width.
    pub width: Ratio,
    /// The attack.
    pub attack: String,
    /// Share of the adversarial batch norms.
    pub lambda: f64,
    /// On images as they are.
    pub standard: Spread,
    /// On images attacked at this width and λ.
    pub robust: Spread,
}

/// The curves of robust against standard accuracy in %, one a width.
pub fn robustness_chart(grid: &[GridMean], attack: &str) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for point in grid.iter().filter(|p| p.attack == attack) {
        let name = format!("width {}", point.width);
        if series.last().is_none_or(|s| s.name != name) {
            series.push(Series { name, points: vec![] });
        }
        let label = Some(format!("λ {}", point.lambda));
        let at = Point { x: 100.0 * point.standard.mean, y: 100.0 * point.robust.mean, label };
        series.last_mut().expect("just pushed").points.push(at);
    }
    Chart { x: "standard accuracy, %".into(), y: format!("robust accuracy ({attack}), %"), scale: Scale::Linear, series }
}

/// A line a group, width and domain (and all of them), for other programs: `group,width,domain,accuracy,deviation,runs,parameters,macs`.
///
/// # Errors
/// As [`Run::size`].
pub fn csv(groups: &[Group]) -> Result<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = "group,width,domain,accuracy,deviation,runs,parameters,macs\n".to_string();
    for group in groups {
        for width in group.widths() {
            let size = group.runs[0].size(width)?;
            let all = [("all clients".to_string(), group.accuracy(width))];
            for (domain, spread) in all.into_iter().chain(group.domains(width)) {
                if let Some(Spread { mean, deviation, count }) = spread {
                    let (name, domain) = (quoted(&group.name), quoted(&domain));
                    out += &format!("{name},{width},{domain},{mean:.6},{deviation:.6},{count},{},{}\n", size.parameters, size.macs);
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Accuracy;
    use crate::run::metrics::width_metrics;

    /// A finished run of Split-Mix or, of one width, of FedAvg.
    fn run(folder: &Path, seed: u64, fedavg: Option<&str>, accuracy: f64) -> PathBuf {
        let mut config = TrainConfig { seed, rounds: 2, ..TrainConfig::default() };
        if let Some(width) = fedavg {
            (config.method, config.width) = ("fedavg".parse().unwrap(), width.parse().unwrap());
        }
        let config = config.validate().unwrap();
        let path = folder.join(format!("{}-{}-{seed}", config.method, fedavg.unwrap_or("all").replace('/', "d")));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(CONFIG), config.to_toml().unwrap()).unwrap();
        let width = |(i, width): (usize, &Ratio)| Accuracy {
            width: *width,
            mean: Some(accuracy + 0.01 * i as f64),
            domains: vec![("mnist".into(), Some(accuracy)), ("usps".into(), None)],
            clients: vec![Some(accuracy); 4],
        };
        let report = Report { widths: config.widths.0.iter().enumerate().map(width).collect() };
        std::fs::write(path.join(TEST), serde_json::to_vec(&report).unwrap()).unwrap();
        let metrics = |round: usize| RoundMetrics {
            round,
            lr: 0.1,
            clients: 2,
            lanes: 2,
            train_loss: 1.0,
            train_accuracy: 0.5,
            robust_train_accuracy: None,
            validation: if round == 1 { vec![width_metrics(Ratio::ONE, &[("mnist", Some(accuracy))])] } else { vec![] },
            robust_validation: None,
            best: round == 1,
            own_bases: None,
            figures: Default::default(),
        };
        let lines: String = (0..2).map(|r| serde_json::to_string(&metrics(r)).unwrap() + "\n").collect();
        // The last line of a run that was killed.
        std::fs::write(path.join(METRICS), lines + "{\"round\":2,\"lr").unwrap();
        let row = |budget: &str| ClientRow {
            name: format!("mnist-{budget}"),
            domain: "mnist".into(),
            budget: budget.into(),
            train: vec![60, 40],
            validation: vec![1, 2],
            test: vec![3, 4],
        };
        let rows = if fedavg.is_some() { vec![row("1"); 4] } else { ["1/8", "1/4", "1/2", "1"].map(row).to_vec() };
        std::fs::write(path.join(CLIENTS), serde_json::to_vec(&Clients { classes: vec!["0".into(), "1".into()], rows }).unwrap()).unwrap();
        path
    }

    #[test]
    fn runs_are_grouped_by_what_they_are_and_named_by_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        for (seed, accuracy) in [(2, 0.86), (1, 0.84)] {
            run(folder.path(), seed, None, accuracy);
        }
        run(folder.path(), 1, Some("1/8"), 0.8);
        run(folder.path(), 1, Some("1"), 0.9);
        let all = groups(Run::find(&[folder.path().to_path_buf()]).unwrap()).unwrap();
        let names: Vec<&str> = all.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["fedavg, width 1", "fedavg, width 1/8", "split-mix"]);
        let mix = &all[2];
        assert_eq!(mix.runs.iter().map(|r| r.config.seed).collect::<Vec<_>>(), [1, 2]);
        let spread = mix.accuracy(Ratio::EIGHTH).unwrap();
        assert!((spread.mean - 0.85).abs() < 1e-12 && (spread.deviation - 0.02 / 2f64.sqrt()).abs() < 1e-12, "{spread:?}");
        assert_eq!(spread.percent(), "85.0 ± 1.4");
        let counts = |values: Vec<(usize, Spread)>| values.iter().map(|(r, s)| (*r, s.count)).collect::<Vec<_>>();
        assert_eq!(counts(mix.widest_validation()), [(2, 2)]);
        assert_eq!(mix.validation(Ratio::ONE), mix.widest_validation());
        assert_eq!(counts(mix.training_loss()).last(), Some(&(2, 2)));
        assert_eq!(mix.domains(Ratio::ONE)[1], ("usps".to_string(), None));
        // Eight bases of the network of two classes; a client of budget b sends 8·b of them and trains 100 images with each.
        let base = mix.runs[0].config.network_of(Ratio::EIGHTH, 2).unwrap();
        assert_eq!(mix.runs[0].size(Ratio::ONE).unwrap(), Size { parameters: 8 * base.parameters(), macs: 8 * base.macs() });
        let cost = mix.runs[0].round_cost().unwrap().unwrap();
        let sent = 15 * base.parameters() / 4;
        assert_eq!(cost, RoundCost { received: sent, sent, macs: 15 * 100 * 3 * base.macs() / 4 });
        // A page of one group has a curve a width.
        let alone = page(&all[2..]).unwrap();
        assert!(alone.contains("2 runs in 1 group. Accuracies are in %, means over the clients and over seeds, ± the standard deviation"));
        // One seed has neither mean nor deviation.
        let one = page(&[Group { name: "one".into(), runs: mix.runs[..1].to_vec() }]).unwrap();
        assert!(one.contains("1 run in 1 group. Accuracies are in %, means over the clients.") && !one.contains('±'));
        assert!(alone.contains("width 1/8") && !alone.contains("of the widest model against"));
        let page = page(&all).unwrap();
        for part in
            ["fedavg, width 1/8", "85.0 ± 1.4", "prefers-color-scheme", "budget", "<svg", "batch-size = 16", "of the widest model against"]
        {
            assert!(page.contains(part), "{part}");
        }
        // The domains' accuracies say of which width they are.
        assert!(page.contains("<td>fedavg, width 1/8</td><td>1/8</td><td>80.0</td><td>–</td>"));
        let csv = csv(&all).unwrap();
        assert!(
            csv.contains(&format!("\"split-mix\",1/8,\"all clients\",0.850000,0.014142,2,{},{}", base.parameters(), base.macs())),
            "{csv}"
        );
        assert_eq!(csv.lines().count(), 1 + (4 + 1 + 1) * 2);
    }

    #[test]
    fn corners_cost_what_their_widths_do() {
        let of = |method: &str| {
            let config = TrainConfig { method: method.parse().unwrap(), ..TrainConfig::default() }.validate().unwrap();
            let row = |budget: &str| ClientRow {
                name: budget.into(),
                domain: "mnist".into(),
                budget: budget.into(),
                train: vec![100],
                validation: vec![],
                test: vec![],
            };
            let clients = Clients { classes: vec!["0".into(); 10], rows: ["1/8", "1/4", "1/2", "1"].map(row).to_vec() };
            Run {
                path: PathBuf::new(),
                config: config.into(),
                metrics: vec![],
                test: None,
                grid: None,
                clients: Some(clients),
                classes: 10,
            }
        };
        let digits = crate::net::Architecture::built_in("digits").unwrap();
        let networks = [8, 4, 2, 1].map(|d| digits.corner(1, d, 10).unwrap());
        let (hetero, slimmable) = (of("hetero-fl"), of("shetero-fl"));
        let width = |w: &str| w.parse().unwrap();
        assert_eq!(hetero.size(width("1/4")).unwrap(), Size { parameters: networks[1].parameters(), macs: networks[1].macs() });
        let sent = networks.iter().map(Network::parameters).sum::<u64>() / 4;
        let macs = |times: [u64; 4]| networks.iter().zip(times).map(|(n, t)| t * 100 * 3 * n.macs()).sum::<u64>() / 4;
        assert_eq!(hetero.round_cost().unwrap().unwrap(), RoundCost { received: sent, sent, macs: macs([1; 4]) });
        // All four clients train the narrowest, one of them the widest.
        assert_eq!(slimmable.round_cost().unwrap().unwrap(), RoundCost { received: sent, sent, macs: macs([4, 3, 2, 1]) });
    }

    #[test]
    fn only_clients_that_train_cost_and_all_take_the_same_steps_where_their_sizes_differ() {
        let cost_of = |method: &str, dirichlet, sizes: [usize; 5]| {
            let config = TrainConfig { method: method.parse().unwrap(), dirichlet, local_epochs: 2, ..TrainConfig::default() };
            let row = |images| ClientRow {
                name: String::new(),
                domain: "mnist".into(),
                budget: "1".into(),
                train: vec![images],
                validation: vec![],
                test: vec![],
            };
            let clients = Some(Clients { classes: vec!["0".into(); 10], rows: sizes.map(row).to_vec() });
            let config = config.validate().unwrap().into();
            Run { path: PathBuf::new(), config, metrics: vec![], test: None, grid: None, clients, classes: 10 }.round_cost().unwrap()
        };
        let cost = |dirichlet, sizes| cost_of("fedavg", dirichlet, sizes);
        let network = TrainConfig::default().network_of(Ratio::ONE, 10).unwrap();
        let (sent, macs) = (network.parameters(), network.macs());
        let of = |images: u64| Some(RoundCost { received: sent, sent, macs: images * 3 * macs });
        let sizes = [70, 40, 10, 1, 0];
        assert_eq!(cost(None, sizes), of(2 * (70 + 40 + 10) / 3));
        // Full batches of 16: 4, 2 and 0 in each of two passes, so four steps for everyone, the last one's of all its images.
        assert_eq!(cost(Some(1.0), sizes), of(4 * (16 + 16 + 10) / 3));
        assert_eq!(cost(None, [1, 1, 0, 0, 0]), None);
        // A client that chooses among four centres receives all of them, and a forward of each comes on top.
        let chosen = cost_of("ifca", None, sizes).unwrap();
        assert_eq!(chosen, RoundCost { received: 4 * sent, sent, macs: (2 * 3 + 4) * 40 * macs });
    }

    #[test]
    fn no_seed_is_in_a_group_twice() {
        let folder = tempfile::tempdir().unwrap();
        let named = |paths: &[PathBuf]| -> Vec<(String, Vec<u64>)> {
            let all = groups(Run::find(paths).unwrap()).unwrap();
            all.into_iter().map(|g| (g.name, g.runs.iter().map(|r| r.config.seed).collect())).collect()
        };
        let one = |name: &str, seeds: &[u64]| vec![(name.to_string(), seeds.to_vec())];
        let on = |place: &str, seed, data: &str| {
            let path = run(&folder.path().join(place), seed, None, 0.9);
            let text = std::fs::read_to_string(path.join(CONFIG)).unwrap();
            let text = text.replace("data = \"embedded\"", "data = \"directory\"") + &format!("data-dir = {data:?}\n");
            std::fs::write(path.join(CONFIG), text).unwrap();
            path
        };
        // The same run, however it is called.
        let first = on("here", 1, "a");
        let again = first.join("..").join(first.file_name().unwrap());
        assert_eq!(named(&[first.clone(), first.clone(), again, folder.path().join("here")]), one("split-mix", &[1]));
        // The runs of one experiment from two machines.
        let second = on("there", 2, "b");
        assert_eq!(named(&[first.clone(), second.clone()]), one("split-mix", &[1, 2]));
        // Other data.
        let other = on("there", 1, "b");
        let apart = [one("split-mix, data-dir b", &[1, 2]), one("split-mix, data-dir a", &[1])].concat();
        assert_eq!(named(&[other, first.clone(), second]), apart);
        // The same once more, in another folder and in the same.
        let repeated = on("again", 1, "a");
        let place = |name: &str| format!("split-mix, in {}", folder.path().join(name).display());
        let apart = [one(&place("here"), &[1]), one(&place("again"), &[1])].concat();
        assert_eq!(named(&[first.clone(), repeated.clone()]), apart);
        let beside = folder.path().join("here/beside");
        std::fs::rename(repeated, &beside).unwrap();
        let own = |path: &Path| one(&format!("split-mix, {}", path.display()), &[1]);
        assert_eq!(named(&[first.clone(), beside.clone()]), [own(&first), own(&beside)].concat());
    }

    #[test]
    fn what_does_not_concern_a_method_is_not_compared() {
        let folder = tempfile::tempdir().unwrap();
        let edit = |path: &Path, from: &str, to: &str| {
            let text = std::fs::read_to_string(path.join(CONFIG)).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(path.join(CONFIG), text.replace(from, to)).unwrap();
        };
        let runs = [1, 2].map(|seed| run(folder.path(), seed, Some("1/8"), 0.8));
        edit(&runs[1], "8-4-2-1", "8-2-2-1");
        let all = groups(Run::find(&runs).unwrap()).unwrap();
        assert_eq!((all.len(), all[0].runs.len()), (1, 2), "{:?}", all.iter().map(|g| &g.name).collect::<Vec<_>>());
        let of = |path: &Path| Run::read(path).unwrap().config;
        let probed = folder.path().join("probed");
        std::fs::create_dir(&probed).unwrap();
        std::fs::write(probed.join(CONFIG), "method = \"probe\"\nprobe-parts = 3\n").unwrap();
        let now = TrainConfig::from_toml("method = \"probe\"\nprobe-parts = 3\nprobe-halves = false", &probed).unwrap().validate().unwrap();
        let widths = now.widths.clone();
        assert_eq!(difference(&TrainConfig { widths, ..of(&probed) }, &now).unwrap(), None);
        let told = |key: &str, one: &str, other: &str| Some((key.to_string(), [one, other].map(String::from)));
        assert_eq!(difference(&of(&runs[0]), &of(&runs[1])).unwrap(), told("seed", "1", "2"));
        edit(&runs[1], "seed = 2", "seed = 1");
        edit(&runs[1], "checkpoint-every = 1", "checkpoint-every = 5");
        assert_eq!(difference(&of(&runs[0]), &of(&runs[1])).unwrap(), None);
        let mix = run(folder.path(), 1, None, 0.8);
        assert_eq!(difference(&of(&runs[0]), &of(&mix)).unwrap(), told("method", "fedavg", "split-mix"));
        // And what is given in one alone.
        edit(&runs[1], "seed = 1", "seed = 1\nclients-per-round = 3");
        assert_eq!(difference(&of(&runs[0]), &of(&runs[1])).unwrap(), told("clients-per-round", "not given", "3"));
    }

    #[test]
    fn a_single_group_has_the_methods_name_and_a_run_under_way_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = run(folder.path(), 1, None, 0.9);
        std::fs::remove_file(path.join(TEST)).unwrap();
        let all = groups(vec![Run::read(&path).unwrap()]).unwrap();
        assert_eq!(all[0].name, "split-mix");
        assert!(page(&all).unwrap().contains("2 of 2"));
        // Its seed is not among those of a mean.
        let tested = run(folder.path(), 2, None, 0.8);
        let page = page(&groups(Run::find(&[path, tested]).unwrap()).unwrap()).unwrap();
        assert!(page.contains("<td>2 (1 not finished)</td>"), "{page}");
    }

    #[test]
    fn what_is_no_run_or_damaged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = Run::find(&[folder.path().to_path_buf()]).unwrap_err().to_string();
        assert!(told.contains("no run's folder"), "{told}");
        let path = run(folder.path(), 1, None, 0.9);
        // Another program's file of that name.
        std::fs::create_dir(folder.path().join(".cargo")).unwrap();
        std::fs::write(folder.path().join(".cargo").join(CONFIG), b"[build]\n").unwrap();
        std::fs::write(folder.path().join(CONFIG), b"[build]\n").unwrap();
        assert_eq!(Run::find(&[folder.path().to_path_buf()]).unwrap().len(), 1);
        let told = Run::read(&path).unwrap().size("7/64".parse().unwrap()).unwrap_err().to_string();
        assert!(told.starts_with(&path.display().to_string()) && told.contains("7/64"), "{told}");
        let good = std::fs::read_to_string(path.join(TEST)).unwrap();
        let file = path.join(TEST).display().to_string();
        let of_test = |text: &str| {
            std::fs::write(path.join(TEST), text).unwrap();
            let error = Run::read(&path).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string().strip_prefix(&format!("{file}: ")).unwrap().to_string()
        };
        assert!(of_test("{").starts_with("this is not the JSON that train writes: EOF"));
        assert_eq!(of_test(&good.replacen("0.9", "1.7", 1)), "width 1/8: the accuracy 1.7 is not in [0, 1]: this file is damaged");
        let other = "its domains are cifar, usps, but client mnist-1/8 in clients.json is of mnist: these results are of another run";
        assert_eq!(of_test(&good.replace("mnist", "cifar")), other);
        let fewer = good.replacen("0.9,0.9,0.9,0.9", "0.9", 1);
        assert_eq!(of_test(&fewer), "it has results of 1 clients, and clients.json has 4: these results are of another run");
        let options = std::fs::read(path.join(CONFIG)).unwrap();
        std::fs::write(path.join(CONFIG), b"# \n").unwrap();
        let told = Run::read(&path).unwrap_err().to_string();
        assert!(told.ends_with("config.toml: it has no options, and train writes all of them: this file is damaged"), "{told}");
        std::fs::write(path.join(CONFIG), options).unwrap();
        std::fs::write(path.join(TEST), b"{\"widths\": []}").unwrap();
        std::fs::write(path.join(METRICS), b"nonsense\n").unwrap();
        assert!(Run::read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
