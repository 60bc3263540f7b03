//! `splitmix report`

use super::print;
use crate::Result;
use crate::report::{Run, csv, groups, page};
use crate::run::run_dir::write_atomically;
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
    let groups = groups(Run::find(&args.runs)?)?;
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
