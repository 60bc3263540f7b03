//! `splitmix report`

use super::{check_apart, check_output, note, print};
use crate::Result;
use crate::report::{Run, csv, groups, page};
use crate::run::run_dir::{TEST, write_atomically};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folders of runs, or folders that have runs in them.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// The page to write.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    to: PathBuf,
    /// Write the accuracies as CSV, too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    [&args.to].into_iter().chain(&args.csv).try_for_each(|file| check_output(file))?;
    args.csv.iter().try_for_each(|csv| check_apart(&args.to, csv, "csv"))?;
    let runs = Run::find(&args.runs)?;
    for run in runs.iter().filter(|run| run.test.is_none()) {
        let folder = run.path.display();
        note(format!("{folder} has no {TEST}, so its accuracies are not shown: finish it with splitmix train --resume --out {folder}"));
    }
    let groups = groups(runs)?;
    let mut rows = vec![vec!["group".to_string(), "width".into(), "accuracy, %".into(), "seeds".into()]];
    for group in &groups {
        for width in group.widths() {
            if let Some(spread) = group.accuracy(width) {
                rows.push(vec![group.name.clone(), width.to_string(), spread.percent(), spread.count.to_string()]);
            }
        }
    }
    write_atomically(&args.to, page(&groups)?.as_bytes())?;
    if let Some(file) = &args.csv {
        write_atomically(file, csv(&groups)?.as_bytes())?;
    }
    print(&format!("{}page: {}\n", super::table(&rows), args.to.display()))
}
