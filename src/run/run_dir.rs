//! The folder of a run.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.toml` | the effective configuration; `--config` reads it back |
//! | `metrics.jsonl` | a line a round, [`RoundMetrics`] |
//! | `timing.jsonl` | a line a round, [`RoundCost`] |
//! | `last.safetensors` | everything to resume from |
//! | `best.safetensors` | the ensemble of the best validated round |
//! | `lock` | held by the process that writes the run; the file itself means nothing |
//!
//! A file that is replaced is first written whole beside its place, flushed to the disk, and then renamed: after a
//! full disk, a kill or a power cut there is either the old file or the new one. What such an end leaves behind
//! (`.*.tmp`) is removed at the next resume. Metrics are flushed before the checkpoint that counts on them.

use super::checkpoint::Checkpoint;
use super::config::{TrainConfig, ValidConfig};
use super::metrics::{RoundCost, RoundMetrics};
use super::written::read_text;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Name of the file with the effective configuration.
pub const CONFIG: &str = "config.toml";
/// Name of the file with a line of metrics a round.
pub const METRICS: &str = "metrics.jsonl";
/// Name of the file with a line of costs a round.
pub const TIMING: &str = "timing.jsonl";
/// Name of the checkpoint to resume from.
pub const LAST: &str = "last.safetensors";
/// Name of the checkpoint of the best round.
pub const BEST: &str = "best.safetensors";
/// Name of the test report in a run's folder.
pub const TEST: &str = "test.json";
/// Name of the page of a run or of a sweep, in its folder.
pub const PAGE: &str = "report.html";
/// Name of the table of clients in a run's folder.
pub const CLIENTS: &str = "clients.json";
/// Name of the results of `eval --grid` in a run's folder.
pub const GRID: &str = "grid.json";
/// Name of the page of `eval --grid`.
pub const GRID_PAGE: &str = "grid.html";
const LOCK: &str = "lock";
const TEMPORARY: &str = ".tmp";

/// The folder of a run, held for writing by this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: File,
    timing: File,
    _lock: Lock,
}

/// A run that was taken up again.
#[derive(Debug)]
pub struct Resumed {
    /// Its folder.
    pub run_dir: RunDir,
    /// The configuration that it was started with.
    pub config: ValidConfig,
    /// Its last checkpoint; none when it ended before the first.
    pub checkpoint: Option<Checkpoint>,
    /// What its files lack, one line each.
    pub notes: Vec<String>,
}

/// The lock file, locked as long as this lives; the system unlocks it even when the process is killed.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process just being started by another thread still has a copy of the
        // handle, and the lock lasts as long as any copy. Failing, it goes when the last copy does.
        let _ = self.0.unlock();
    }
}

impl RunDir {
    /// Starts a run in folder `path`, which is made if it is not there, and writes its configuration.
    ///
    /// # Errors
    /// [`Error::Config`] when the folder already holds a run, or another process writes one in it; [`Error::Io`] when
    /// it cannot be written.
    pub fn create(path: &Path, config: &ValidConfig) -> Result<RunDir> {
        let text = config.to_toml()?;
        fs::create_dir_all(path).map_err(io_error("cannot make the folder of the run", path))?;
        let lock = lock(path)?;
        RunDir::check_free(path)?;
        remove_temporaries(path)?;
        write_atomically(&path.join(CONFIG), text.as_bytes())?;
        RunDir::open(path, lock)
    }

    /// Checks that no run is in folder `path`, which need not be there.
    ///
    /// # Errors
    /// [`Error::Config`] when it already holds one, or is a file.
    pub fn check_free(path: &Path) -> Result<()> {
        if path.exists() && !path.is_dir() {
            return Err(Error::Config(format!("{} is a file, and a run has a folder: name another with --out", path.display())));
        }
        match [CONFIG, LAST, BEST, METRICS].into_iter().find(|name| path.join(name).exists()) {
            None => Ok(()),
            Some(name) => Err(Error::Config(format!(
                "{} already holds a run (it has a {name}): resume it with --resume, or name another folder with --out",
                path.display()
            ))),
        }
    }

    /// Takes up the run in folder `path`. Leftovers of a write that did not finish are removed, and metrics of rounds after the last
    /// checkpoint are cut off, as those rounds will be trained again.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no run, another process writes it, a checkpoint is missing that nothing can replace, or its
    /// configuration is no longer that of its checkpoint in what decides the result; [`Error::Data`] when one of its files is damaged;
    /// [`Error::Io`] when one cannot be read or written.
    pub fn resume(path: &Path) -> Result<Resumed> {
        let config = path.join(CONFIG);
        if !config.exists() {
            return Err(Error::Config(format!(
                "{} holds no run to resume (there is no {CONFIG}): start one without --resume, or name its folder with \
                 --out",
                path.display()
            )));
        }
        let lock = lock(path)?;
        remove_temporaries(path)?;
        let text = read_text(&config, "cannot read")?;
        let saved = TrainConfig::from_toml(&text, &config)?.validate()?;
        let last = path.join(LAST);
        let checkpoint = if last.exists() { Some(read_checkpoint(&last)?) } else { None };
        if let Some(checkpoint) = &checkpoint {
            // The file is text, and may have been edited since.
            let same = saved.check_resume(&checkpoint.header.config);
            same.map_err(|error| Error::Config(format!("{}: {error}", config.display())))?;
        }
        check_checkpoints(path, checkpoint.as_ref())?;
        let mut notes = Vec::new();
        let rounds = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.header.rounds_done);
        notes.extend(keep_rounds::<RoundMetrics>(&path.join(METRICS), rounds, |line| line.round)?);
        notes.extend(keep_rounds::<RoundCost>(&path.join(TIMING), rounds, |line| line.round)?);
        let run_dir = RunDir::open(path, lock)?;
        // `check_checkpoints` let it pass: the last round is the best itself.
        if let Some(best) = checkpoint.as_ref().filter(|last| last.header.best.is_some() && !path.join(BEST).exists()) {
            run_dir.save_best(best.clone())?;
        }
        Ok(Resumed { run_dir, config: saved, checkpoint, notes })
    }

    fn open(path: &Path, lock: Lock) -> Result<RunDir> {
        let append = |name: &str| {
            let path = path.join(name);
            OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("cannot write", &path))
        };
        Ok(RunDir { path: path.into(), metrics: append(METRICS)?, timing: append(TIMING)?, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a round's lines.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written; what is left of a line is cut off at the next resume.
    pub fn append(&mut self, metrics: &RoundMetrics, cost: &RoundCost) -> Result<()> {
        append_line(&mut self.metrics, &self.path.join(METRICS), metrics)?;
        append_line(&mut self.timing, &self.path.join(TIMING), cost)
    }

    /// Replaces the checkpoint to resume from. Rounds up to it have to be appended before.
    ///
    /// # Errors
    /// As [`Checkpoint::to_bytes`], and [`Error::Io`] when it cannot be written; the checkpoint before is then kept.
    pub fn save_last(&self, checkpoint: &Checkpoint) -> Result<()> {
        // Not only written but on the disk: a checkpoint must never know of rounds that the metrics lack.
        for (file, name) in [(&self.metrics, METRICS), (&self.timing, TIMING)] {
            file.sync_data().map_err(io_error("cannot write", &self.path.join(name)))?;
        }
        write_atomically(&self.path.join(LAST), &checkpoint.to_bytes()?)
    }

    /// Replaces the checkpoint of the best round; the algorithm's state is left out, as it is not to be resumed from.
    ///
    /// # Errors
    /// As [`RunDir::save_last`].
    pub fn save_best(&self, checkpoint: Checkpoint) -> Result<()> {
        write_atomically(&self.path.join(BEST), &checkpoint.without_state().to_bytes()?)
    }

    /// Removes what was found about a result that more rounds will replace: the test, the grid and their pages. Without a test, the run
    /// counts as begun again.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be removed.
    pub fn remove_results(&self) -> Result<()> {
        for path in [TEST, PAGE, GRID, GRID_PAGE].map(|name| self.path.join(name)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error("cannot remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the configuration anew, after a resume that changed an option.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be put as TOML, [`Error::Io`] when it cannot be written.
    pub fn save_config(&self, config: &ValidConfig) -> Result<()> {
        write_atomically(&self.path.join(CONFIG), config.to_toml()?.as_bytes())
    }
}

/// Reads a checkpoint file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, else as [`Checkpoint::from_bytes`].
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint> {
    let bytes = fs::read(path).map_err(io_error("cannot read the checkpoint", path))?;
    Checkpoint::from_bytes(&bytes, &path.display().to_string())
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.into(), source }
}

fn lock(path: &Path) -> Result<Lock> {
    let place = path.join(LOCK);
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&place);
    let file = open.map_err(io_error("cannot write", &place))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::Config(format!(
            "another splitmix process writes the run in {}: wait for it, stop it, or name another folder with --out",
            path.display()
        ))),
        // A network file system may have no locks: better a run without one than none.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            log::warn!("{}: this file system has no locks; start no second process on this run", path.display());
            Ok(Lock(file))
        }
        Err(TryLockError::Error(source)) => Err(io_error("cannot lock", &place)(source)),
    }
}

fn remove_temporaries(path: &Path) -> Result<()> {
    let entries = fs::read_dir(path).map_err(io_error("cannot read the folder", path))?;
    for entry in entries {
        let entry = entry.map_err(io_error("cannot read the folder", path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Only names that `write_atomically` makes.
        let names = [CONFIG, LAST, BEST, METRICS, TIMING, TEST, CLIENTS, PAGE, GRID, GRID_PAGE];
        let ours = names.iter().any(|file| name.starts_with(&format!(".{file}-")));
        if ours && name.ends_with(TEMPORARY) {
            fs::remove_file(entry.path()).map_err(io_error("cannot remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Replaces the file at `path` such that at every moment there is the whole old file or the whole new one. A symbolic link stays, and the
/// file that it leads to is replaced; what is no file, as a device or a pipe, is written into.
///
/// # Errors
/// [`Error::Io`]; the old file is then untouched and nothing is left beside it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = io_error("cannot write", path);
    if path == Path::new("/dev/stdout") {
        // It may lead to a file that the shell has open: a new file in its place would lack what else is printed.
        let mut out = io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).map_err(&failed);
    }
    match fs::metadata(path) {
        Ok(there) if !there.is_file() && !there.is_dir() => {
            return OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes)).map_err(&failed);
        }
        // As of links in a circle.
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let path = &linked(path);
    let folder = folder_of(path);
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let prefix = format!(".{name}-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(TEMPORARY);
    // A temporary file is private by default, but a run's files are as readable as the user's others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder).map_err(&failed)?;
    temporary.write_all(bytes).map_err(&failed)?;
    temporary.as_file().sync_all().map_err(&failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself is on the disk only once the folder is.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(&failed)?;
    Ok(())
}

/// The folder that a file is in, `.` where its path names none.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where symbolic links at `path`, which do not go in a circle, lead to, be it there or not.
fn linked(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    while let Ok(target) = fs::read_link(&path) {
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

fn append_line(file: &mut File, path: &Path, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(line).map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
    text.push('\n');
    // In one piece, so that a reader following the file sees whole lines.
    file.write_all(text.as_bytes()).map_err(io_error("cannot write", path))
}

/// Checks that a run's folder has the checkpoints that its training left, of which `last` is the one to resume from.
fn check_checkpoints(path: &Path, last: Option<&Checkpoint>) -> Result<()> {
    let there = |name: &str| path.join(name).exists();
    let Some(last) = last else {
        return match [BEST, TEST].into_iter().find(|name| there(name)) {
            None => Ok(()),
            Some(found) => Err(Error::Config(format!(
                "{}: there is no {LAST}, which a run is resumed from, but a {found}: bring {LAST} back, or start a new run in another \
                 folder (--out), from the best round's model by --init {}",
                path.display(),
                path.join(BEST).display()
            ))),
        };
    };
    match last.header.best {
        _ if there(BEST) => check_best(&path.join(BEST), last),
        Some(best) if best.round + 1 != last.header.rounds_done => Err(Error::Config(format!(
            "{}: there is no {BEST}, the model of round {}, which is the best of {}: bring {BEST} back, or start a new run in another folder \
             (--out), from the last round's model by --init {}",
            path.display(),
            best.round + 1,
            last.header.rounds_done,
            path.join(LAST).display()
        ))),
        _ => Ok(()),
    }
}

/// Checks that the best round's checkpoint is of the run that `last` is of.
fn check_best(file: &Path, last: &Checkpoint) -> Result<()> {
    let (header, last) = (read_checkpoint(file)?.header, &last.header);
    let foreign = |what: &dyn std::fmt::Display| {
        Error::Config(format!("{}: {what}: bring back the best round's checkpoint of this run", file.display()))
    };
    let mut config = header.config.clone();
    (config.rounds, config.rounds_before) = (last.config.rounds, last.config.rounds_before.clone());
    if last.config.check_resume(&config).is_err() || header.data != last.data {
        return Err(foreign(&"it is of a run with other options or data"));
    }
    match last.best {
        // It is written before the last one is, and the run may have ended in between.
        Some(best) if header.rounds_done != best.round + 1 && header.rounds_done <= last.rounds_done => {
            Err(foreign(&format!("it is of round {}, and the best round is {}", header.rounds_done, best.round + 1)))
        }
        _ => Ok(()),
    }
}

/// Cuts a file of lines, one a round, after `rounds` rounds. The first of them may be missing, as where the file was removed once. Returns
/// a note on what is missing, or on what is cut off because not even the first checkpoint was kept.
fn keep_rounds<T: DeserializeOwned>(path: &Path, rounds: usize, round_of: fn(&T) -> usize) -> Result<Option<String>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.map_err(io_error("cannot read", path))?,
    };
    let parse = |line: &[u8]| serde_json::from_slice::<T>(line);
    let (mut end, mut first, mut next) = (0, rounds, 0);
    for (i, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let damaged = |what: &str| {
            Error::Data(format!(
                "{}, line {}: {what}, but the last checkpoint is after round {rounds}; to continue without these figures, remove the file",
                path.display(),
                i + 1,
            ))
        };
        if i > 0 && next == rounds {
            match parse(line) {
                Ok(line) if round_of(&line) < rounds => return Err(damaged("this is not the line of its round")),
                _ => continue,
            }
        }
        let round = match parse(line) {
            // What follows the checkpoint may be half a line.
            _ if rounds == 0 => break,
            _ if !line.ends_with(b"\n") => return Err(damaged("the file ends here")),
            Ok(line) => round_of(&line),
            Err(_) => return Err(damaged("this is not the line of a round")),
        };
        if i == 0 {
            if round >= rounds {
                break;
            }
            (first, next) = (round, round);
        }
        if round != next {
            return Err(damaged(&format!("this is not the line of round {}", next + 1)));
        }
        (end, next) = (end + line.len(), next + 1);
    }
    if end > 0 && next < rounds {
        return Err(Error::Data(format!(
            "{}: the file ends after round {next}, but the last checkpoint is after round {rounds}; to continue without these figures, \
             remove the file",
            path.display()
        )));
    }
    let cut = bytes[end..].iter().filter(|&&byte| byte == b'\n').count();
    let note = match (rounds, first) {
        (0, _) if cut > 0 => Some(format!("{}: no checkpoint was kept of its {cut} rounds: they are trained again", path.display())),
        (0, _) | (_, 0) => None,
        (_, first) => Some(format!("{}: the figures of rounds 1 to {first} are missing", path.display())),
    };
    if end < bytes.len() {
        write_atomically(path, &bytes[..end])?;
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::tests::example;
    use super::super::metrics::width_metrics;
    use super::*;
    use crate::fl::Ratio;

    fn config() -> ValidConfig {
        TrainConfig::default().validate().unwrap()
    }

    fn lines(round: usize) -> (RoundMetrics, RoundCost) {
        let metrics = RoundMetrics {
            round,
            lr: 0.01,
            clients: 2,
            lanes: 3,
            train_loss: 1.0 / (round + 3) as f64,
            train_accuracy: 0.5,
            robust_train_accuracy: None,
            robust_validation: None,
            validation: vec![width_metrics(Ratio::ONE, &[("a", Some(0.25))])],
            best: round == 0,
            own_bases: None,
            figures: Default::default(),
        };
        (metrics, RoundCost { round, seconds: 1.5, waves: 1, dispatches: 100, submits: 4, together: 1 })
    }

    /// A checkpoint of a run without validation.
    fn last(rounds_done: usize) -> Checkpoint {
        let mut checkpoint = example(rounds_done);
        checkpoint.header.best = None;
        checkpoint
    }

    fn append(run: &mut RunDir, rounds: std::ops::Range<usize>) {
        for round in rounds {
            let (metrics, cost) = lines(round);
            run.append(&metrics, &cost).unwrap();
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_is_made_and_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run");
        let mut run = RunDir::create(&path, &config()).unwrap();
        append(&mut run, 0..2);
        run.save_best(example(1)).unwrap();
        run.save_last(&example(2)).unwrap();
        assert_eq!(names(&path), [BEST, CONFIG, LAST, LOCK, METRICS, TIMING]);
        drop(run);

        let Resumed { run_dir: run, config: read, checkpoint, notes } = RunDir::resume(&path).unwrap();
        assert_eq!(notes, [""; 0]);
        assert_eq!(read, config());
        assert_eq!(checkpoint.unwrap(), example(2));
        assert_eq!(run.path(), path);
        let best = read_checkpoint(&path.join(BEST)).unwrap();
        assert_eq!((best.header.rounds_done, best.header.state), (1, None));
    }

    #[test]
    fn metrics_after_a_resume_equal_those_of_an_uninterrupted_run() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        append(&mut RunDir::create(&whole, &config()).unwrap(), 0..7);

        let mut run = RunDir::create(&parts, &config()).unwrap();
        append(&mut run, 0..3);
        run.save_last(&last(3)).unwrap();
        append(&mut run, 3..5);
        // Killed in the middle of a line.
        run.metrics.write_all(b"{\"round\":5,\"lr\":0.0").unwrap();
        drop(run);
        let Resumed { run_dir: mut run, checkpoint, .. } = RunDir::resume(&parts).unwrap();
        assert_eq!(checkpoint.unwrap().header.rounds_done, 3);
        append(&mut run, 3..7);
        for name in [METRICS, TIMING] {
            assert_eq!(fs::read(parts.join(name)).unwrap(), fs::read(whole.join(name)).unwrap());
        }
    }

    #[test]
    fn a_run_that_ended_before_its_first_checkpoint_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), &config()).unwrap();
        append(&mut run, 0..1);
        drop(run);
        let Resumed { run_dir: _run, checkpoint, notes, .. } = RunDir::resume(folder.path()).unwrap();
        assert!(checkpoint.is_none());
        assert!(notes[0].ends_with("metrics.jsonl: no checkpoint was kept of its 1 rounds: they are trained again"), "{notes:?}");
        assert_eq!(fs::read(folder.path().join(METRICS)).unwrap(), b"");
    }

    #[test]
    fn a_folder_with_a_run_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunDir::create(folder.path(), &config()).unwrap());
        let message = RunDir::create(folder.path(), &config()).unwrap_err().to_string();
        assert!(message.contains("--resume") && message.contains("--out"), "{message}");
        // Files of others do not matter.
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("notes.txt"), "mine").unwrap();
        drop(RunDir::create(other.path(), &config()).unwrap());
        assert_eq!(fs::read(other.path().join("notes.txt")).unwrap(), b"mine");
    }

    #[test]
    fn nothing_to_resume() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_path_buf(), folder.path().join("none")] {
            let message = RunDir::resume(&path).unwrap_err().to_string();
            assert!(message.contains("holds no run"), "{message}");
            assert!(!path.join(LOCK).exists(), "a failed resume leaves nothing behind");
        }
    }

    #[test]
    fn two_processes_cannot_write_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), &config()).unwrap();
        for result in [RunDir::resume(folder.path()).map(|_| ()), RunDir::create(folder.path(), &config()).map(|_| ())] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains("another splitmix process"), "{message}");
        }
        drop(run);
        RunDir::resume(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunDir::create(&file.join("run"), &config()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
        assert!(error.to_string().contains("file/run"), "{error}");
        let error = write_atomically(&folder.path().join("none/x"), b"").unwrap_err();
        assert!(error.to_string().contains("none/x"), "{error}");
    }

    #[test]
    fn leftovers_of_unfinished_writes_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), &config()).unwrap();
        run.save_last(&last(0)).unwrap();
        drop(run);
        let half = example(0).to_bytes().unwrap();
        fs::write(folder.path().join(".last.safetensors-a1B2c3.tmp"), &half[..half.len() / 2]).unwrap();
        for name in [".test.json-x.tmp", ".clients.json-x.tmp", ".report.html-x.tmp", ".grid.json-x.tmp", ".grid.html-x.tmp"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::write(folder.path().join(".mine-1.tmp"), "").unwrap();
        fs::write(folder.path().join("mine.tmp"), "").unwrap();
        let Resumed { run_dir: _run, checkpoint, .. } = RunDir::resume(folder.path()).unwrap();
        assert_eq!(checkpoint.unwrap(), last(0));
        assert_eq!(names(folder.path()), [".mine-1.tmp", CONFIG, LAST, LOCK, METRICS, "mine.tmp", TIMING]);
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), &config()).unwrap();
        append(&mut run, 0..3);
        run.save_last(&last(3)).unwrap();
        drop(run);
        let path = |name: &str| folder.path().join(name);
        let told = || RunDir::resume(folder.path()).unwrap_err().to_string();

        let metrics = fs::read(path(METRICS)).unwrap();
        fs::write(path(METRICS), &metrics[..metrics.len() - 1]).unwrap();
        assert!(told().contains("metrics.jsonl, line 3: the file ends here, but the last checkpoint is after round 3"));
        let swapped = metrics.split_inclusive(|&byte| byte == b'\n').rev().collect::<Vec<_>>().concat();
        fs::write(path(METRICS), swapped).unwrap();
        assert!(told().contains("metrics.jsonl, line 2: this is not the line of its round"));
        fs::write(path(METRICS), [0xff; 9]).unwrap();
        assert!(told().contains("metrics.jsonl, line 1"));
        let garbled = String::from_utf8(metrics.clone()).unwrap().replacen("\"lr\"", "\"rate\"", 1);
        fs::write(path(METRICS), garbled).unwrap();
        assert!(told().contains("metrics.jsonl, line 1: this is not the line of a round"));
        let missing = metrics.iter().position(|&byte| byte == b'\n').unwrap();
        fs::write(path(METRICS), &metrics[..=missing]).unwrap();
        assert!(told().contains("metrics.jsonl: the file ends after round 1, but the last checkpoint is after round 3"));
        // Removed, as the message says: the rounds to come are appended, and can be resumed from again.
        fs::remove_file(path(METRICS)).unwrap();
        let Resumed { mut run_dir, notes, .. } = RunDir::resume(folder.path()).unwrap();
        assert!(notes.len() == 1 && notes[0].ends_with("metrics.jsonl: the figures of rounds 1 to 3 are missing"), "{notes:?}");
        append(&mut run_dir, 3..5);
        run_dir.save_last(&last(4)).unwrap();
        drop(run_dir);
        let notes = RunDir::resume(folder.path()).unwrap().notes;
        assert!(notes.len() == 1 && notes[0].ends_with("the figures of rounds 1 to 3 are missing"), "{notes:?}");
        let rounds: Vec<RoundMetrics> =
            fs::read_to_string(path(METRICS)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rounds.iter().map(|line| line.round).collect::<Vec<_>>(), [3]);
        fs::write(path(METRICS), &metrics).unwrap();
        fs::write(path(TIMING), "").unwrap();
        assert!(told().contains("metrics.jsonl: the file ends after round 3, but the last checkpoint is after round 4"));
        fs::remove_file(path(METRICS)).unwrap();

        let whole = fs::read(path(LAST)).unwrap();
        fs::write(path(LAST), &whole[..100]).unwrap();
        assert!(told().contains("last.safetensors: the file is cut short"));
        fs::write(path(LAST), &whole).unwrap();
        fs::write(path(CONFIG), "rounds = \"x\"").unwrap();
        assert!(told().contains("config.toml, line 1: rounds"));
    }

    #[test]
    fn a_run_without_one_of_its_checkpoints_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), &config()).unwrap();
        append(&mut run, 0..3);
        // The best is round 1.
        run.save_best(example(1)).unwrap();
        run.save_last(&example(3)).unwrap();
        drop(run);
        let path = |name: &str| folder.path().join(name);
        let refused = || RunDir::resume(folder.path()).unwrap_err().to_string();

        let best = fs::read(path(BEST)).unwrap();
        fs::remove_file(path(BEST)).unwrap();
        let message = refused();
        assert!(message.contains("there is no best.safetensors, the model of round 1, which is the best of 3: bring"), "{message}");
        assert!(message.contains("--out") && message.contains("last.safetensors"), "{message}");
        fs::write(path(BEST), &best).unwrap();

        let last = fs::read(path(LAST)).unwrap();
        fs::remove_file(path(LAST)).unwrap();
        let message = refused();
        assert!(message.contains("there is no last.safetensors, which a run is resumed from, but a best.safetensors: bring"), "{message}");
        assert_eq!(fs::read(path(BEST)).unwrap(), best);
        assert_eq!(fs::read_to_string(path(METRICS)).unwrap().lines().count(), 3, "nothing is cut off");
        fs::write(path(LAST), last).unwrap();

        // Another's, an earlier one, and one that is damaged.
        let mut other = example(1);
        other.header.config.seed += 1;
        fs::write(path(BEST), other.to_bytes().unwrap()).unwrap();
        assert!(refused().contains("best.safetensors: it is of a run with other options or data: bring back"));
        fs::write(path(BEST), example(2).to_bytes().unwrap()).unwrap();
        assert!(refused().contains("best.safetensors: it is of round 2, and the best round is 1: bring back"));
        fs::write(path(BEST), &best[..99]).unwrap();
        assert!(refused().contains("best.safetensors: the file is cut short"));
        // Written before the last one was.
        fs::write(path(BEST), example(4).to_bytes().unwrap()).unwrap();
        drop(RunDir::resume(folder.path()).unwrap());
        fs::write(path(BEST), &best).unwrap();

        // The last round is the best: its model is kept once more.
        let run = RunDir::resume(folder.path()).unwrap().run_dir;
        fs::remove_file(path(BEST)).unwrap();
        let mut round_1 = example(1);
        run.save_last(&round_1).unwrap();
        drop(run);
        drop(RunDir::resume(folder.path()).unwrap());
        round_1.header.state = None;
        assert_eq!(read_checkpoint(&path(BEST)).unwrap(), round_1);
    }

    #[test]
    fn a_configuration_that_was_edited_is_not_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), &config()).unwrap();
        run.save_last(&last(0)).unwrap();
        drop(run);
        let path = folder.path().join(CONFIG);
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in [("seed = 1\n", "seed = 2\n"), ("lr = 0.05\n", "lr = 0.5\n"), ("percent = 1.0\n", "percent = 0.5\n")] {
            let edited = text.replace(from, to);
            assert_ne!(edited, text);
            fs::write(&path, edited).unwrap();
            let message = RunDir::resume(folder.path()).unwrap_err().to_string();
            let name = from.split(' ').next().unwrap();
            assert!(message.contains(&format!("{CONFIG}: {name} is ")), "{message}");
        }
        // What does not touch the result may differ.
        fs::write(&path, text.replace("checkpoint-every = 1\n", "checkpoint-every = 2\n")).unwrap();
        RunDir::resume(folder.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_stay_what_they_are() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("far")).unwrap();
        // A link to a link to a file that is not there yet, then is.
        symlink("far/link", path("link")).unwrap();
        symlink("file", path("far/link")).unwrap();
        for text in ["first", "second"] {
            write_atomically(&path("link"), text.as_bytes()).unwrap();
            assert!(
                fs::symlink_metadata(path("link")).unwrap().is_symlink() && fs::symlink_metadata(path("far/link")).unwrap().is_symlink()
            );
            assert_eq!(fs::read_to_string(path("far/file")).unwrap(), text);
        }
        assert_eq!(names(&path("far")), ["file", "link"]);

        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        symlink("pipe", path("to the pipe")).unwrap();
        for name in ["pipe", "to the pipe"] {
            let reader = std::thread::spawn({
                let pipe = path("pipe");
                move || fs::read_to_string(pipe).unwrap()
            });
            write_atomically(&path(name), b"through").unwrap();
            // Not read where it was replaced.
            assert!(fs::metadata(path("pipe")).unwrap().file_type().is_fifo());
            assert_eq!(reader.join().unwrap(), "through");
        }

        symlink("b", path("a")).unwrap();
        symlink("a", path("b")).unwrap();
        assert!(write_atomically(&path("a"), b"").is_err());
        assert!(fs::symlink_metadata(path("a")).unwrap().is_symlink());
    }

    #[test]
    fn a_diverged_run_keeps_its_last_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), &config()).unwrap();
        run.save_last(&last(0)).unwrap();
        let mut diverged = example(1);
        diverged.tensors.get_mut("0.conv1.bias").unwrap().data[0] = f32::NAN;
        assert!(run.save_last(&diverged).is_err());
        assert_eq!(read_checkpoint(&folder.path().join(LAST)).unwrap(), last(0));
    }

    #[cfg(unix)]
    #[test]
    fn files_are_as_readable_as_the_users_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, ours) = (folder.path().join("plain"), folder.path().join("ours"));
        fs::write(&plain, "").unwrap();
        write_atomically(&ours, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    /// A full disk, seen from a metrics file that is on one.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_line_that_does_not_fit_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), &config()).unwrap();
        run.metrics = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let (metrics, cost) = lines(0);
        let error = run.append(&metrics, &cost).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let message = error.to_string();
        assert!(message.contains("cannot write") && message.contains(METRICS), "{message}");
        assert!(message.contains("No space left"), "{message}");
    }

    /// Saving a checkpoint in a process whose files may have 32 KiB, where the checkpoint takes 400 KB.
    #[cfg(unix)]
    mod small_disk {
        use super::*;
        use std::process::{Command, Output};

        const FOLDER: &str = "SPLITMIX_TEST_RUN";

        fn big(rounds_done: usize) -> Checkpoint {
            let mut checkpoint = last(rounds_done);
            let data = vec![rounds_done as f32; 100_000];
            checkpoint.tensors.insert("0.fc1.weight".into(), super::super::super::Tensor { shape: vec![100_000], data });
            checkpoint
        }

        /// The body of the child process, not a test of its own.
        #[test]
        #[ignore = "run by the tests of this module in a process of limited file size"]
        fn child() {
            let folder = std::env::var(FOLDER).unwrap();
            let run = RunDir::resume(Path::new(&folder)).unwrap().run_dir;
            println!("saved: {:?}", run.save_last(&big(1)).map_err(|error| error.to_string()));
        }

        /// Runs `child` under `sh` after `setup` on a run with a checkpoint, and returns what it said and left.
        fn in_child(setup: &str) -> (Output, tempfile::TempDir) {
            let folder = tempfile::tempdir().unwrap();
            let run = RunDir::create(folder.path(), &config()).unwrap();
            run.save_last(&big(0)).unwrap();
            drop(run);
            let output = Command::new("sh")
                .args(["-c", &format!("{setup} exec \"$0\" --ignored --exact --nocapture \"$1\"")])
                .arg(std::env::current_exe().unwrap())
                // The path of the child without the name of the crate, as the test harness wants it.
                .arg(concat!(module_path!(), "::child").split_once("::").unwrap().1)
                .env(FOLDER, folder.path())
                .output()
                .unwrap();
            (output, folder)
        }

        #[test]
        fn an_unlimited_child_saves() {
            let (output, folder) = in_child("");
            assert!(String::from_utf8_lossy(&output.stdout).contains("saved: Ok(())"), "{output:?}");
            assert_eq!(read_checkpoint(&folder.path().join(LAST)).unwrap(), big(1));
        }

        #[test]
        fn a_full_disk_is_an_error_and_the_old_checkpoint_stays() {
            // With the signal ignored the write fails with "file too large", just as on a full disk.
            let (output, folder) = in_child("trap '' XFSZ; ulimit -f 64;");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("saved: Err(\"cannot write") && said.contains("last.safetensors"), "{output:?}");
            assert_eq!(read_checkpoint(&folder.path().join(LAST)).unwrap(), big(0));
            assert!(!names(folder.path()).iter().any(|name| name.ends_with(TEMPORARY)), "{:?}", names(folder.path()));
        }

        #[test]
        fn a_kill_in_the_middle_of_a_write_leaves_the_old_checkpoint() {
            // Without it the system kills the process while it writes.
            let (output, folder) = in_child("ulimit -c 0; ulimit -f 64;");
            assert!(!String::from_utf8_lossy(&output.stdout).contains("saved"), "{output:?}");
            assert!(!output.status.success());
            let leftover = |names: &[String]| names.iter().any(|name| name.starts_with(".last") && name.ends_with(TEMPORARY));
            assert!(leftover(&names(folder.path())), "{:?}", names(folder.path()));
            // The lock went with the process, and the leftover goes with the resume.
            let Resumed { run_dir: _run, checkpoint, .. } = RunDir::resume(folder.path()).unwrap();
            assert_eq!(checkpoint.unwrap(), big(0));
            assert!(!leftover(&names(folder.path())));
        }
    }
}
