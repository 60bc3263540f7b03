//! `splitmix self-test`

use super::AdapterArgs;
use crate::Result;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    adapter: AdapterArgs,
}

pub(super) async fn run(args: Args) -> Result<()> {
    args.adapter.open().await.map(|_| ())
}
