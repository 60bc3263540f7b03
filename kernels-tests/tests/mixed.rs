//! Models of one width and one λ, taken out of an ensemble: what they say, and their ONNX form against ONNX Runtime.

use crate::pseudo::{self, noise};
use safetensors::SafeTensors;
use splitmix_fl::engine::{Batch, ClientRows, EvaluateOptions, Evaluator, ImageStore, Limit, Rows};
use splitmix_fl::fl::Ratio;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::{Architecture, Norms};
use splitmix_fl::run::config::{BnMode, NetworkChoice};
use splitmix_fl::run::mix::Choice;
use splitmix_fl::run::onnx::to_onnx;
use splitmix_fl::run::{Checkpoint, Header, Model, TrainConfig};
use std::path::{Path, PathBuf};

const IMAGES: usize = 5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Residuals with and without a convolution in the shortcut, ReLUs on their own, bins of average pooling that overlap.
const RESIDUAL: &str = r#"
    name = "residual"
    input = [3, 28, 28]
    layers = [
        { type = "conv2d", name = "stem", out-channels = 256, kernel = 3, stride = 2, padding = 1, bias = false },
        { type = "residual", body = [
            { type = "batch-norm", name = "bn1" },
            { type = "conv2d", name = "conv1", out-channels = 256, kernel = 3, padding = 1, bias = false },
        ] },
        { type = "relu" },
        { type = "max-pool", kernel = 3, stride = 2, padding = 1 },
        { type = "average-pool", height = 6, width = 4 },
        { type = "residual", body = [
            { type = "conv2d", name = "conv2", out-channels = 384, kernel = 3, stride = 2, padding = 1 },
        ], shortcut = [
            { type = "conv2d", name = "shortcut", out-channels = 384, kernel = 1, stride = 2 },
        ] },
        { type = "batch-norm", name = "bn2", relu = false },
        { type = "average-pool" },
        { type = "linear", name = "fc" },
    ]
"#;

fn config(network: &str, bn_mode: BnMode, local_bn: bool) -> TrainConfig {
    let config = TrainConfig {
        network: match network {
            "residual" => NetworkChoice::Described(Architecture::from_toml(RESIDUAL).expect("a network")),
            name => NetworkChoice::Named(name.into()),
        },
        base_width: "1/64".parse().expect("a width"),
        budgets: "64-32".parse().expect("budgets"),
        lambda_train: 0.5,
        rescale_layer: false,
        bn_mode,
        local_bn,
        ..TrainConfig::default()
    };
    config.validate().expect("a configuration").into()
}

/// An ensemble of the two narrowest bases, with pseudo-random parameters and statistics.
struct Bench {
    gpu: Gpu,
    model: Model,
    header: Header,
    store: ImageStore,
}

impl Bench {
    async fn new(bn_mode: BnMode, local_bn: bool) -> Bench {
        Bench::of("digits", bn_mode, local_bn).await
    }

    async fn of(name: &str, bn_mode: BnMode, local_bn: bool) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let config = config(name, bn_mode, local_bn);
        let network = config.network(10).expect("the narrowest base");
        let server = Rows::of_bases(&gpu, &network, 2).expect("two bases fit");
        (0..2).for_each(|b| server.upload(&gpu, &network, b, &pseudo::base(&network, b)));
        let local = local_bn.then(|| {
            let local = ClientRows::of_norms(&gpu, &network, network.norm_row(), 3, 2).expect("they fit");
            let values: Vec<f32> = (0..local.rows.values() * 6).map(|i| 1.0 + 0.3 * noise(8, i)).collect();
            local.rows.write(&gpu, 0, &values);
            local
        });
        let header = Header {
            network: name.into(),
            classes: 10,
            image: [3, 28, 28],
            bases: 2,
            base_width: config.base_width,
            max_width: "1/32".parse().expect("a width"),
            rounds_done: 3,
            best: None,
            own_bases: None,
            state: None,
            mixed: None,
            config,
            data: None,
        };
        let (algorithm, architecture) = (header.config.algorithm(), header.config.network.architecture().expect("built in"));
        let bn_mode = header.bn_mode();
        let pixels: Vec<u8> = (0..IMAGES * 28 * 28 * 3).map(|i| (noise(1, i) * 127.0 + 128.0) as u8).collect();
        let store = ImageStore::new(&gpu, network.input, &[(&pixels, &[0; IMAGES])]).expect("they fit");
        let model = Model {
            network,
            server,
            state: Default::default(),
            algorithm,
            architecture,
            classes: 10,
            bn_mode,
            local,
            own: None,
            mixed: None,
        };
        Bench { gpu, model, header, store }
    }

    async fn mix(&self, width: &str, lambda: f64, order: &[u32], client: Option<u32>) -> Checkpoint {
        let client = client.map(|c| (c, format!("client-{c}")));
        let choice = Choice { width: width.parse().expect("a width"), lambda, order: order.to_vec(), client };
        self.model.mix(&self.gpu, &self.header, &choice).await.expect("mixed")
    }

    /// Logits of a model's first bases at λ, all images in one batch of a client.
    async fn logits(&self, model: &Model, bases: u32, lambda: f64, order: &[u32], client: u32) -> Vec<f32> {
        let options = EvaluateOptions {
            batch: IMAGES as u32,
            widths: vec![bases],
            ensemble: model.ensemble(lambda, order).expect("an ensemble"),
            batches: 1,
            limit: Limit::default(),
            guarded: true,
        };
        let mut evaluator = Evaluator::new(&self.gpu, &model.network, &model.server, &self.store, options).await.expect("it fits");
        let batch = Batch { client, images: (0..IMAGES as u32).collect() };
        evaluator.logits(&self.gpu, &[batch]).await.expect("read back").concat().concat()
    }
}

fn close(got: &[f32], want: &[f32], allowed: f32) {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() <= allowed * (1.0 + w.abs()), "{g} for {w}"));
}

#[test]
fn a_mixed_model_says_what_the_ensemble_says_there() {
    pollster::block_on(async {
        for (mode, local) in [(BnMode::Batch, false), (BnMode::Tracked, false), (BnMode::Tracked, true), (BnMode::Batch, true)] {
            let bench = Bench::new(mode, local).await;
            let client = local.then_some(1);
            for (lambda, width, bases, order) in
                [(0.0, "1/32", 2, &[][..]), (0.3, "1/32", 2, &[1, 0]), (0.8, "1/64", 1, &[1]), (1.0, "1/32", 2, &[])]
            {
                let checkpoint = bench.mix(width, lambda, order, client).await;
                // As a reader of the file finds it.
                let checkpoint = Checkpoint::from_bytes(&checkpoint.to_bytes().expect("written"), "mixed").expect("read");
                let mixed = checkpoint.header.mixed.clone().expect("a mixed model");
                assert_eq!((mixed.lambda, mixed.order.len()), (lambda, bases as usize));
                assert_eq!(mixed.client, client.map(|c| format!("client-{c}")));
                assert_eq!(checkpoint.header.norms(), Norms { dual: false, tracked: mode == BnMode::Tracked });
                let model = Model::from_checkpoint(&bench.gpu, checkpoint, "mixed").expect("a model");
                let got = bench.logits(&model, bases, 0.0, &[], 0).await;
                let want = bench.logits(&bench.model, bases, lambda, order, client.unwrap_or(0)).await;
                if lambda == 0.0 || lambda == 1.0 {
                    assert_eq!(got, want, "{mode}, local {local}: nothing is folded at the ends");
                } else {
                    close(&got, &want, 1e-4);
                }
                assert_ne!(got, bench.logits(&bench.model, bases, 0.5, order, client.unwrap_or(0)).await);

                // It has one width and one λ.
                let refused = model.parts(&bench.gpu, &[Ratio::EIGHTH]).await.err().expect("another width").to_string();
                assert!(refused.contains("width 1/8"), "{refused}");
                assert!(model.check_lambda(0.5).expect_err("another λ").to_string().contains("mixed for lambda"));
            }
        }
    });
}

#[test]
fn whose_batch_norms_must_be_said_where_clients_have_their_own() {
    pollster::block_on(async {
        let choice = |client| Choice { width: "1/32".parse().expect("a width"), lambda: 0.0, order: vec![], client };
        let own = Bench::new(BnMode::Tracked, true).await;
        let error = own.model.mix(&own.gpu, &own.header, &choice(None)).await.expect_err("no client");
        assert!(error.to_string().contains("--client"), "{error}");
        let shared = Bench::new(BnMode::Tracked, false).await;
        let error = shared.model.mix(&shared.gpu, &shared.header, &choice(Some((0, "a".into())))).await.expect_err("no clients");
        assert!(error.to_string().contains("leave it out"), "{error}");
    });
}

/// `golden/mixed.onnx` is what the export writes, and `golden/mixed.safetensors` what ONNX Runtime says of it
/// (`golden/generate_onnx.py`), and so for `mixed_residual`. `SPLITMIX_WRITE_GOLDEN=1` writes the first.
#[test]
fn onnx_runtime_agrees_with_an_exported_model() {
    pollster::block_on(async {
        exported("mixed", "digits").await;
        exported("mixed_residual", "residual").await;

        let batch = Bench::new(BnMode::Batch, false).await;
        let error = to_onnx(&batch.model.network, &batch.mix("1/32", 0.0, &[], None).await).expect_err("batch statistics").to_string();
        assert!(error.contains("tracked or post"), "{error}");
        let whole = Checkpoint { header: batch.header.clone(), tensors: Default::default() };
        assert!(to_onnx(&batch.model.network, &whole).expect_err("an ensemble").to_string().contains("splitmix mix"));
    });
}

async fn exported(name: &str, network: &str) {
    let bench = Bench::of(network, BnMode::Tracked, false).await;
    let checkpoint = bench.mix("1/32", 0.3, &[1, 0], None).await;
    let network = bench.model.network.clone().with_norms(checkpoint.header.norms());
    let bytes = to_onnx(&network, &checkpoint).expect("an ONNX form");
    if std::env::var_os("SPLITMIX_WRITE_GOLDEN").is_some() {
        std::fs::write(golden(&format!("{name}.onnx")), &bytes).expect("written");
    }
    assert_eq!(
        bytes,
        std::fs::read(golden(&format!("{name}.onnx"))).expect("the golden file"),
        "the export has changed: run generate_onnx.py"
    );

    let file = std::fs::read(golden(&format!("{name}.safetensors"))).expect("the golden file");
    let file = SafeTensors::deserialize(&file).expect("safetensors");
    let want: Vec<f32> = bytemuck::pod_collect_to_vec(file.tensor("logits").expect("logits").data());
    let got = bench.logits(&bench.model, 2, 0.3, &[1, 0], 0).await;
    close(&got, &want, 1e-4);
}
