//! `splitmix self-test`

use super::{AdapterArgs, print};
use crate::verify::self_test;
use crate::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    adapter: AdapterArgs,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let gpu = args.adapter.open().await?;
    eprintln!("adapter: {}", gpu.describe());
    let report = self_test(&gpu, |row| {
        let verdict = if row.outcome.failure.is_some() { "FAILED" } else { "ok" };
        eprintln!("{verdict:6} {} {}", row.op, row.shape);
    })
    .await?;
    print(&report.to_string())?;
    match report.failed() {
        0 => Ok(()),
        failed => Err(Error::Gpu(format!(
            "{failed} of {} checks failed on {}: its results are not to be trusted; try a newer driver, or --checked-shaders",
            report.rows.len(),
            gpu.describe()
        ))),
    }
}
