//! Long runs: the memory of a process after 400 rounds is that after ten.

#![cfg(target_os = "linux")]

use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::run::{Federation, TrainConfig};

/// Resident memory of this process, which with a software driver is the GPU's, too, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn memory_at_round_400_is_that_at_round_10() {
    pollster::block_on(async {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let mut dataset = splitmix_fl::data::embedded().expect("embedded");
        dataset.domains.truncate(2);
        let config = TrainConfig {
            rounds: 400,
            clients_per_domain: 1,
            train_per_domain: Some(20),
            batch_size: 8,
            base_width: "1/64".parse().expect("a width"),
            budgets: "64-32".parse().expect("budgets"),
            validate_every: 10,
            ..TrainConfig::default()
        };
        let mut federation = Federation::new(gpu, &dataset, config.validate().expect("valid")).await.expect("it fits");
        let mut early = 0;
        while federation.rounds_done < 400 {
            federation.round().await.expect("a round");
            if federation.rounds_done == 10 {
                early = resident();
            }
        }
        let late = resident();
        // A buffer or a line a round that is not given back is more than this: the smallest allocation of a round is 100 kB.
        assert!(late < early + (8 << 20), "{early} bytes after 10 rounds, {late} after 400");
    });
}
