//! What a round costs beside its kernels: memory that stays, readbacks.

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
        let mut federation = Federation::builder(gpu, &dataset).config(config).build().await.expect("it fits");
        let mut early = 0;
        while federation.run().rounds_done < 400 {
            federation.round().await.expect("a round");
            if federation.run().rounds_done == 10 {
                early = resident();
            }
        }
        let late = resident();
        // A buffer or a line a round that is not given back is more than this: the smallest allocation of a round is 100 kB.
        assert!(late < early + (8 << 20), "{early} bytes after 10 rounds, {late} after 400");
    });
}

/// Adversarial training with validation, robust validation and a checkpoint: all of it comes with one readback, and what came
/// outlives the device.
#[test]
fn a_round_reads_back_once() {
    pollster::block_on(async {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let mut dataset = splitmix_fl::data::embedded().expect("embedded");
        dataset.domains.truncate(2);
        let config = TrainConfig {
            rounds: 2,
            clients_per_domain: 1,
            train_per_domain: Some(20),
            batch_size: 8,
            base_width: "1/64".parse().expect("a width"),
            budgets: "64-32".parse().expect("budgets"),
            validate_every: 1,
            lambda_train: 0.5,
            train_attack: "pgd-1".parse().expect("an attack"),
            local_bn: true,
            ..TrainConfig::default()
        };
        let mut federation = Federation::builder(gpu.clone(), &dataset).config(config).build().await.expect("it fits");
        let asked = federation.checkpoint().await.expect("before the first round");
        for _ in 0..2 {
            let before = gpu.counts();
            let outcome = federation.round().await.expect("a round");
            assert!(outcome.metrics.robust_validation.is_some());
            let kept = federation.checkpoint().await.expect("a checkpoint");
            assert_eq!((gpu.counts() - before).readbacks, 1);
            let read = federation.run().model.tensors(&gpu).await.expect("read back");
            assert_eq!(kept.tensors, read, "what came with the round is what the device has");
            assert_ne!(kept.tensors, asked.tensors);
        }
        gpu.close();
        assert!(federation.checkpoint().await.is_ok());
        let error = federation.round().await.expect_err("there is no device").to_string();
        assert!(error.contains("closed"), "{error}");
    });
}
