//! The library in thirty lines: a small federation on the embedded data, tested at every width it can be mixed to.
//!
//!     cargo run --release --example federate

use splitmix_fl::{Federation, Gpu, GpuOptions, Result, TrainConfig, embedded};

fn main() -> Result<()> {
    // Every wait is async, as a browser needs it; a native program blocks on the whole.
    pollster::block_on(federate())
}

async fn federate() -> Result<()> {
    let gpu = Gpu::open(&GpuOptions { adapter: std::env::var("SPLITMIX_ADAPTER").ok(), ..GpuOptions::default() }).await?;
    println!("adapter: {}", gpu.describe());

    let mut dataset = embedded()?;
    dataset.domains.truncate(2); // mnist and optdigits
    // The options that `splitmix train --help` lists.
    let config = TrainConfig { rounds: 4, local_epochs: 2, train_per_domain: Some(400), ..TrainConfig::default() };
    let mut federation = Federation::builder(gpu, &dataset).config(config).build().await?;

    while let Some(outcome) = federation.next_round().await.transpose()? {
        println!("round {}: {} lanes, loss {:.3}", federation.run().rounds_done, outcome.metrics.lanes, outcome.metrics.train_loss);
    }
    // One trained ensemble, every width: the first bases mixed.
    for width in federation.test().await?.widths {
        println!("width {}: {:.1} % right", width.width, 100.0 * width.mean.unwrap_or(0.0));
    }
    Ok(())
}
