//! The `splitmix` program as its users run it: results, errors with their exit codes, interrupts, kills and resumes.
//!
//! The runs are as small as they can be: bases of width 1/64, two clients, a few rounds. An adapter is needed; without
//! one these tests fail with the program's own advice.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn splitmix(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitmix"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Options with a value each, without those that `more` has, then `more`.
fn options<'a>(own: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let kept = own.chunks(2).filter(|option| !more.contains(&option[0]));
    kept.flatten().chain(more).copied().collect()
}

/// A training small enough for a software driver, in its own folder.
fn training(out: &Path, more: &[&str]) -> Command {
    let data = ["--domains", "optdigits,synth-digits", "--clients-per-domain", "1", "--train-per-domain", "60"];
    let model = ["--base-width", "1/64", "--budgets", "64-32", "--batch-size", "8"];
    let own = [&data[..], &model, &["--rounds", "4", "--validate-every", "1", "--eval-batch-size", "400"]].concat();
    let mut command = splitmix(&["train"]);
    command.args(options(&own, more)).arg("--out").arg(out);
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn succeed(command: &mut Command) -> String {
    let done = output(command);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// The command must fail with this code and one line of error that has all the words.
fn fail(command: &mut Command, code: i32, words: &[&str]) {
    let done = output(command);
    let text = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{text}");
    let last = text.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("splitmix: "), "not told as the program tells errors: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// Values of every tensor of a checkpoint, as bits.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).expect("a checkpoint");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn metrics(run: &Path) -> String {
    std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics")
}

/// Waits until the run has metrics of so many rounds.
fn wait_for_rounds(child: &mut Child, run: &Path, rounds: usize) {
    let start = Instant::now();
    loop {
        let lines = std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
        if lines >= rounds {
            return;
        }
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "the training ended before round {rounds}: {ended:?}");
        assert!(start.elapsed() < Duration::from_secs(120), "round {rounds} took too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_is_the_same_to_the_bit_however_it_is_stopped_and_however_it_is_cut_into_waves() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let whole = path("whole");
    let text = succeed(&mut training(&whole, &[]));
    assert!(text.contains("optdigits (genuine)") && text.contains("synth-digits (generated)"), "{text}");
    for file in ["config.toml", "metrics.jsonl", "timing.jsonl", "last.safetensors", "best.safetensors", "test.json", "report.html"] {
        assert!(whole.join(file).exists(), "{file} is missing");
    }
    assert_eq!(metrics(&whole).lines().count(), 4);
    let same_as_whole = |run: &Path| {
        assert_eq!(metrics(run), metrics(&whole), "{}", run.display());
        assert_eq!(tensors(&run.join("last.safetensors")), tensors(&whole.join("last.safetensors")), "{}", run.display());
        assert_eq!(tensors(&run.join("best.safetensors")), tensors(&whole.join("best.safetensors")), "{}", run.display());
    };

    // Starting the program, which makes its kernels anew, takes longer than such a run: each start checks two things.
    // With one lane a wave, and a cache that cannot be written.
    let waves = path("waves, uncached");
    succeed(training(&waves, &["--wave-lanes", "1"]).env("SPLITMIX_CACHE", whole.join("config.toml")));
    same_as_whole(&waves);

    // Traced, and with compiled kernels kept in a folder in which something else lies in their place.
    let (traced, cache) = (path("traced"), path("cache"));
    let done = output(training(&traced, &[]).env("SPLITMIX_TRACE", "1").env("SPLITMIX_CACHE", &cache));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    let lines = |head: &str| text.lines().filter(|l| l.starts_with(head)).count();
    assert!(lines("trace step 0 conv1 forward") > 0 && lines("trace evaluate") > 0 && lines("trace aggregate") > 0, "{text}");
    same_as_whole(&traced);
    for kept in std::fs::read_dir(&cache).into_iter().flatten().flatten() {
        std::fs::write(kept.path(), "no pipelines").expect("written");
    }
    // Once more, with a broken cache.
    let again = path("again");
    succeed(training(&again, &[]).env("SPLITMIX_CACHE", &cache));
    same_as_whole(&again);

    // Killed without warning, resumed, interrupted as by Ctrl-C, and resumed again.
    let stopped = path("stopped");
    let start = |more: &[&str]| training(&stopped, more).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program starts");
    let mut child = start(&[]);
    wait_for_rounds(&mut child, &stopped, 1);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let mut child = start(&["--resume"]);
    wait_for_rounds(&mut child, &stopped, 2);
    // The shell's own kill: a minimal system has no program of that name.
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().expect("a shell");
    assert!(sent.success());
    let ended = child.wait().expect("ended");
    // It may have been in its last round already.
    assert!(matches!(ended.code(), Some(130 | 0)), "{ended:?}");
    if ended.code() == Some(130) {
        succeed(&mut training(&stopped, &["--resume"]));
    }
    same_as_whole(&stopped);

    // A finished run's folder is not written over, and another setting is not resumed.
    let before = metrics(&whole);
    fail(&mut training(&whole, &[]), 2, &["already holds a run"]);
    fail(&mut training(&whole, &["--resume", "--lr", "0.5"]), 2, &["lr is 0.5", "started with 0.05"]);
    assert_eq!(metrics(&whole), before);

    // Evaluation and prediction from the same checkpoint.
    let model = whole.to_string_lossy().into_owned();
    let json = path("report.json");
    let text = succeed(&mut splitmix(&["eval", &model, "--widths", "1/64,1/32", "--clients", "--json", &json.to_string_lossy()]));
    assert!(text.contains("1/64") && text.contains("optdigits-0"), "{text}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).expect("report")).expect("JSON");
    let test: serde_json::Value = serde_json::from_slice(&std::fs::read(whole.join("test.json")).expect("report")).expect("JSON");
    // One form, however many lambdas and attacks there are.
    assert_eq!(report["grid"].as_array().map(Vec::len), Some(1), "{report}");
    let standard = |report: &serde_json::Value| report["grid"][0]["standard"].clone();
    assert_eq!(standard(&report), test, "eval finds what the training's own test found");
    assert_eq!((&report["grid"][0]["lambda"], &report["grid"][0]["attacked"]), (&0.0.into(), &serde_json::json!([])));
    let attacked = path("attacked.json");
    let text = succeed(&mut splitmix(&["eval", &model, "--attack", "FGSM-eps1,pgd-3-eps32", "--json", &attacked.to_string_lossy()]));
    assert!(text.contains("after the attack fgsm-eps1") && text.contains("after the attack pgd-3-eps32"), "{text}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&attacked).expect("report")).expect("JSON");
    assert_eq!(standard(&report), test);
    let mean = |report: &serde_json::Value| report["widths"][1]["mean"].as_f64().expect("an accuracy");
    assert!(mean(&report["grid"][0]["attacked"][1]) < mean(&standard(&report)), "{report}");
    fail(&mut splitmix(&["eval", &model, "--attack", "cw"]), 2, &["cw", "pgd-20-eps16"]);
    let sheet = path("sheet.png");
    succeed(&mut splitmix(&["data", "--clients", "--sheet", &sheet.to_string_lossy()]));
    fail(&mut splitmix(&["data", "--samples", "3"]), 2, &["--samples 3: it is about the sheet of samples: add --sheet samples.png"]);
    fail(&mut splitmix(&["data", "--sheet", "x.v1.jpg"]), 2, &["--sheet x.v1.jpg: a sheet is a PNG: name it x.v1.png"]);
    let picture = sheet.to_string_lossy().into_owned();
    let text = succeed(&mut splitmix(&["predict", &picture, "--model", &model, "--context", "20", "--top", "2"]));
    assert!(text.contains('%') && text.contains("sheet.png"), "{text}");

    // The same parameters from a file that knows only PyTorch's names, as another program would write it.
    let bytes = std::fs::read(whole.join("best.safetensors")).expect("a checkpoint");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let bare = path("bare.safetensors");
    std::fs::write(&bare, safetensors::serialize(file.tensors(), None).expect("bytes")).expect("written");
    let bare = bare.to_string_lossy().into_owned();
    fail(&mut splitmix(&["eval", &bare]), 2, &["imported"]);
    let imported = path("imported.safetensors");
    let import = |to: &Path| {
        let mut command = splitmix(&["import", &bare, "--domains", "optdigits,synth-digits", "--clients-per-domain", "1"]);
        command
            .args(["--train-per-domain", "60", "--base-width", "1/64", "--budgets", "64-32", "--eval-batch-size", "400", "--to"])
            .arg(to);
        command
    };
    succeed(&mut import(&imported));
    assert_eq!(tensors(&imported), tensors(&whole.join("best.safetensors")));
    fail(&mut import(&imported), 2, &["imported.safetensors"]);
    let again = path("imported.json");
    succeed(&mut splitmix(&["eval", &imported.to_string_lossy(), "--json", &again.to_string_lossy()]));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&again).expect("report")).expect("JSON");
    assert_eq!(standard(&report), test, "imported parameters are the same model");

    // What a model cannot do.
    fail(&mut splitmix(&["eval", &model, "--widths", "1"]), 2, &["width 1", "1/32"]);
    fail(&mut splitmix(&["predict", &model, "--model", &model]), 2, &[&model]);
    let text_file = whole.join("config.toml").to_string_lossy().into_owned();
    fail(&mut splitmix(&["predict", &text_file, "--model", &model]), 2, &["config.toml"]);
    damaged_checkpoints(&whole.join("best.safetensors"), folder.path());
}

/// Damage that a checkpoint can come to, each told by the file's name.
fn damaged_checkpoints(good: &Path, folder: &Path) {
    let bytes = std::fs::read(good).expect("a checkpoint");
    let eval = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        fail(&mut splitmix(&["eval", &path.to_string_lossy()]), 2, &[&[name], words].concat());
    };
    eval("truncated.safetensors", &bytes[..bytes.len() - 100], &[]);
    eval("empty.safetensors", &[], &[]);
    eval("text.safetensors", b"this is no checkpoint at all, only text", &[]);
    // The header is JSON in JSON, so its quotes are escaped. One digit for another keeps all lengths.
    let replaced = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {from} in the checkpoint"));
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        changed
    };
    eval("newer.safetensors", &replaced("\\\"format\\\":3", "\\\"format\\\":9"), &["newer", "format 9"]);
    eval("shape.safetensors", &replaced("[1,3,5,5]", "[3,1,5,5]"), &["0.conv1.weight"]);
}

#[test]
fn bad_input_is_told_in_a_line_and_by_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let train = |more: &[&str]| training(&out, more);

    // Adapters.
    fail(&mut train(&["--adapter", "no such card"]), 2, &["no adapter matches", "no such card"]);
    fail(&mut train(&["--adapter", "99"]), 2, &["no adapter matches"]);
    let nowhere = folder.path().join("none.json");
    let hide = |mut command: Command| {
        command.env("VK_DRIVER_FILES", &nowhere).env("VK_ICD_FILENAMES", &nowhere);
        command
    };
    fail(&mut hide(train(&[])), 1, &["no GPU adapter found", "mesa-vulkan-drivers"]);
    fail(&mut hide(splitmix(&["devices"])), 1, &["no GPU adapter found"]);

    // Options and files of options.
    fail(&mut train(&["--budgets", "8-x"]), 2, &["budgets", "8-x"]);
    fail(&mut train(&["--budgets", "128-32"]), 2, &["1/128", "1/64"]);
    fail(&mut train(&["--rounds", "0"]), 2, &["rounds = 0"]);
    fail(&mut train(&["--bn-mode", "running"]), 2, &["tracked", "batch"]);
    fail(&mut train(&["--widths", "1/3"]), 2, &["widths", "1/3"]);
    fail(&mut train(&["--no-such-option"]), 2, &["no-such-option"]);
    let config = folder.path().join("config.toml");
    let with_config = |text: &str, words: &[&str]| {
        std::fs::write(&config, text).expect("written");
        fail(&mut train(&["--config", &config.to_string_lossy()]), 2, words);
    };
    with_config("seed = 1\nlerning-rate = 0.1\n", &["config.toml, line 2", "lerning-rate"]);
    with_config("lr = \"fast\"\n", &["config.toml, line 1", "lr"]);
    with_config("lr = \n", &["config.toml, line 1"]);
    with_config("seed = 1\nlr = -1\n", &["config.toml, line 2: lr = -1: it must be a number above 0"]);
    fail(&mut train(&["--widths", "1/32,2/64"]), 2, &["widths = 1/32: this width is there twice: leave one out"]);
    let fixed = ["--method", "fedavg", "--rescale-init", "--rescale-layer", "true", "--adapter", "no such card"];
    let words = ["note: --rescale-init has no effect: with fedavg it is always off", "note: --rescale-layer has no effect: with fedavg"];
    fail(&mut train(&fixed), 2, &words);
    fail(&mut train(&["--config", "no-such.toml"]), 2, &["no-such.toml: there is no such file"]);

    // Data.
    fail(&mut train(&["--domains", "svhn"]), 2, &["svhn", "optdigits"]);
    let data = folder.path().join("data");
    let directory = |words: &[&str], code| {
        let mut command = splitmix(&["train", "--data", "directory", "--data-dir"]);
        command.arg(&data).arg("--out").arg(&out);
        fail(&mut command, code, words);
    };
    directory(&["data"], 2);
    std::fs::create_dir_all(data.join("usps")).expect("a folder");
    directory(&["data"], 2);
    std::fs::create_dir_all(data.join("mnist")).expect("a folder");
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/mnist");
    let files = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"];
    for file in files {
        std::fs::copy(embedded.join(file), data.join("mnist").join(file)).expect("copied");
    }
    let truncated = std::fs::read(embedded.join(files[0])).expect("read");
    std::fs::write(data.join("mnist").join(files[0]), &truncated[..truncated.len() / 2]).expect("written");
    directory(&[files[0]], 2);

    // Models and folders that are not there or cannot be written.
    fail(&mut splitmix(&["eval", "no-such-model"]), 2, &["no-such-model"]);
    fail(&mut train(&["--resume"]), 2, &["no run to resume"]);
    let file = folder.path().join("a-file");
    std::fs::write(&file, "kept").expect("written");
    fail(&mut training(&file.join("run"), &[]), 2, &["a-file"]);
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "kept");
    assert!(!out.exists(), "a run that failed before its first round leaves no folder");
}

/// What the user names and cannot be read is theirs to mend, whatever command it is given to.
#[test]
fn files_that_are_missing_or_of_the_wrong_kind_are_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (nowhere, here, file) = (path("none.x"), path(""), path("file"));
    std::fs::write(&file, "no more than text").expect("written");
    let (latin, clients, sweep) = (path("latin.toml"), path("clients.csv"), path("sweep.toml"));
    std::fs::write(&latin, b"rounds = 1\n# caf\xe9\n").expect("written");
    std::fs::write(&clients, "client,image,class\n1,nowhere.png,a\n1,nothere.png,b\n").expect("written");
    std::fs::write(&sweep, "out = \"s\"\nconfig = \"none.toml\"\n[[grid]]\nseed = [1]\n").expect("written");
    let out = path("run");
    let missing = "there is no such file or folder";
    for (arguments, words) in [
        (vec!["train", "--config", &nowhere], [nowhere.as_str(), missing]),
        (vec!["train", "--config", &here], [here.as_str(), "it is a folder: name a file"]),
        (vec!["train", "--config", &latin], ["latin.toml, line 2", "save the file as UTF-8"]),
        (vec!["train", "--data-dir", &nowhere], [nowhere.as_str(), missing]),
        (vec!["train", "--data-dir", &file], [file.as_str(), "not a folder"]),
        (vec!["train", "--clients-file", &nowhere], [nowhere.as_str(), missing]),
        (vec!["train", "--clients-file", &here], [here.as_str(), "it is a folder: name a file"]),
        (vec!["train", "--clients-file", &clients], ["nowhere.png", missing]),
        (vec!["train", "--network", "none.toml"], ["none.toml", missing]),
        (vec!["data", "--config", &nowhere], [nowhere.as_str(), missing]),
        (vec!["bench", "--network", "none.toml"], ["none.toml", missing]),
        (vec!["import", &nowhere, "--to", &out], [nowhere.as_str(), missing]),
        (vec!["import", &here, "--to", &out], [here.as_str(), "is a folder: name the safetensors file in it"]),
        (vec!["eval", &nowhere], [nowhere.as_str(), "is not there"]),
        (vec!["sweep", &nowhere], [nowhere.as_str(), missing]),
        (vec!["sweep", &sweep], ["none.toml", missing]),
        (vec!["report", &nowhere], [nowhere.as_str(), missing]),
        (vec!["report", &file], [file.as_str(), "not a folder"]),
        (vec!["train", "--out", &file], [file.as_str(), "is a file, and a run has a folder"]),
    ] {
        fail(&mut splitmix(&arguments), 2, &words);
    }
    // Numbers below 0 are the options' own, and their ranges are told.
    for (arguments, words) in [
        (["--lr", "-1"], "lr = -1: it must be a number above 0"),
        (["--proximal", "-1"], "proximal = -1: it must be a number of at least 0"),
        (["--weight-decay", "-1e-4"], "weight-decay = -0.0001: it must be a number of at least 0"),
        (["--rounds", "-1"], "--rounds -1: it must be a whole number, at least 1"),
    ] {
        fail(splitmix(&["train", "--out", &out]).args(arguments), 2, &[words]);
    }
    assert!(!Path::new(&out).exists());
}

/// A file of options is read by no shell, so the program replaces `~`; clients that there are not are named.
#[test]
fn a_run_may_lie_at_home_and_asks_for_no_clients_that_there_are_not() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("c.toml");
    let text = "domains = [\"optdigits\"]\nclients-per-domain = 2\ntrain-per-domain = 60\nbase-width = \"1/64\"\nbudgets = \"64-32\"\n\
                batch-size = 8\nrounds = 1\nclients-per-round = 100\nout = \"~/runs/x\"\n";
    std::fs::write(&config, text).expect("written");
    let done = output(splitmix(&["train", "--config"]).arg(&config).env("HOME", home.path()).current_dir(home.path()));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(home.path().join("runs/x/test.json").is_file() && !home.path().join("~").exists());
    let note = "note: clients-per-round = 100: there are 2 clients, and all of them take part in every round\n";
    assert_eq!(told.matches(note).count(), 1, "{told}");
}

/// What the test after the training needs is looked at before the first round.
#[test]
fn a_test_that_does_not_fit_the_adapter_is_refused_before_the_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let refused = |batch: u32| {
        let done = output(&mut training(&out, &["--eval-batch-size", &batch.to_string()]));
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{text}");
        let last = text.trim_end().lines().last().unwrap_or_default();
        let start = format!("splitmix: the test after the training: a batch of {batch} images needs a buffer of ");
        assert!(last.starts_with(&start), "{text}");
        let (_, most) = last.split_once(": lower --eval-batch-size to ").expect(last);
        most.parse::<u32>().expect(last)
    };
    let most = refused(65_536);
    assert_eq!(refused(most + 1), most, "the largest batch that fits");
    assert!(!out.exists(), "nothing was trained");
}

#[test]
fn a_run_that_lacks_its_test_may_be_tested_in_smaller_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    succeed(&mut training(&out, &["--rounds", "1"]));
    let (trained, test) = (tensors(&out.join("last.safetensors")), out.join("test.json"));
    std::fs::remove_file(&test).expect("removed");
    let done = output(&mut splitmix(&["train", "--resume", "--eval-batch-size", "50", "--out", &out.display().to_string()]));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("note: eval-batch-size is 50 and was 400: with batch statistics it is part of the test's result"), "{said}");
    assert_eq!(tensors(&out.join("last.safetensors")), trained);
    let config = std::fs::read_to_string(out.join("config.toml")).expect("a configuration");
    assert!(config.contains("eval-batch-size = 50\n"), "{config}");
    // eval takes the same batch.
    let best = std::fs::read(out.join("best.safetensors")).expect("a checkpoint");
    assert!(test.is_file() && String::from_utf8_lossy(&best).contains("\\\"eval-batch-size\\\":50,"));
}

#[test]
fn a_run_is_not_resumed_on_a_domain_of_another_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for domain in ["mnist", "optdigits"] {
        std::fs::create_dir_all(data.join(domain)).expect("made");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(domain);
        for file in std::fs::read_dir(from).expect("a data set").flatten() {
            std::fs::copy(file.path(), data.join(domain).join(file.file_name())).expect("copied");
        }
    }
    let out = folder.path().join("run").display().to_string();
    let mut train = splitmix(&["train", "--data-dir", &data.display().to_string(), "--clients-per-domain", "1", "--rounds", "1"]);
    succeed(train.args(["--train-per-domain", "60", "--base-width", "1/64", "--budgets", "64-32", "--batch-size", "8", "--out", &out]));
    std::fs::rename(data.join("optdigits"), data.join("scans")).expect("renamed");
    let told = "its domain optdigits is now called scans, with the same images (rename it back)";
    fail(&mut splitmix(&["train", "--resume", "--out", &out]), 2, &[told]);
}

#[test]
fn the_checkpoint_to_begin_with_may_be_at_home() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("run.toml"), "init = \"~/start.safetensors\"\n").expect("written");
    for arguments in [["--config", &path("run.toml")], ["--no-table", "--init=~/start.safetensors"]] {
        let mut train = splitmix(&["train", "--out", &path("run")]);
        train.args(arguments).env("HOME", folder.path());
        fail(&mut train, 2, &[&format!("{} is not there: name a checkpoint", path("start.safetensors"))]);
    }
}

/// Mesa's layer would look for a desktop that no run needs, and libwayland print an "error:" of it.
#[test]
fn nothing_is_told_of_a_missing_desktop() {
    let done = output(splitmix(&["devices"]).env_remove("XDG_RUNTIME_DIR").env_remove("WAYLAND_DISPLAY"));
    assert!(done.status.success());
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn the_self_test_passes() {
    let text = succeed(&mut splitmix(&["self-test"]));
    assert!(text.contains(", 0 failed"), "{text}");
}

#[test]
fn every_option_is_documented() {
    for command in ["train", "eval", "mix", "sweep", "predict", "import", "devices", "data", "bench", "self-test"] {
        let help = succeed(&mut splitmix(&[command, "--help"]));
        let lines: Vec<&str> = help.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--")) {
            let own = line.trim_start().split("  ").nth(1).is_some();
            let below = lines.get(i + 1).is_some_and(|next| !next.trim().is_empty() && !next.trim_start().starts_with("--"));
            assert!(own || below, "{command}: {line} is not documented");
        }
    }
}

#[test]
fn an_adversarial_run_is_resumed_tested_at_any_lambda_mixed_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let adversarial = |out: &Path, more: &[&str]| {
        let own = ["--lambda-train", "0.5", "--train-attack", "pgd-2", "--bn-mode", "tracked", "--rescale-layer", "false"];
        training(out, &options(&[&own[..], &["--schedule", "none", "--rounds", "2"]].concat(), &[&["--local-bn"], more].concat()))
    };
    let whole = path("whole");
    let done = output(&mut adversarial(&whole, &[]));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(told.contains("adversarial one stay with each client and are not averaged") && told.contains("pgd-2"), "{told}");
    assert!(metrics(&whole).contains("robust-validation") && metrics(&whole).contains("robust-train-accuracy"), "{}", metrics(&whole));

    // The same bits after a stop, and then in waves of one lane.
    let same_as_whole = |run: &Path| {
        assert_eq!(metrics(run), metrics(&whole), "{}", run.display());
        assert_eq!(tensors(&run.join("last.safetensors")), tensors(&whole.join("last.safetensors")), "{}", run.display());
    };
    let stopped = path("stopped");
    succeed(&mut adversarial(&stopped, &["--rounds", "1"]));
    succeed(&mut adversarial(&stopped, &["--resume", "--wave-lanes", "1"]));
    same_as_whole(&stopped);

    // A grid in one run, with its page; its first point is the test of the training.
    let (model, page, json) = (whole.to_string_lossy().to_string(), path("a <b>.html"), path("grid.json"));
    let mut grid = splitmix(&["eval", &model, "--grid", "--lambda", "0,0.3,1", "--attack", "fgsm,pgd-2"]);
    let text = succeed(grid.arg("--page").arg(&page).arg("--json").arg(&json));
    assert!(text.contains("width  lambda  standard  fgsm  pgd-2") && text.contains("page: "), "{text}");
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.matches("<svg").count() == 2 && html.contains("λ 0.3") && html.contains("width 1/32"), "{html}");
    assert!(!html.contains("http://") || html.contains("http://www.w3.org/2000/svg"), "nothing is fetched");
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).expect("a report")).expect("JSON");
    let points = read(&json)["grid"].as_array().expect("points").clone();
    assert_eq!(points.len(), 3);
    assert_eq!(points[0]["standard"], read(&whole.join("test.json")));
    assert_eq!(points[1]["attacked"].as_array().expect("attacks").len(), 2);

    // A mixed model of a client, by order of accuracy, as ONNX, too; tested and asked.
    let (mixed, onnx) = (path("mixed.safetensors"), path("mixed.onnx"));
    let mix = |more: &[&str]| {
        let mut command = splitmix(&["mix", &model, "--lambda", "0.3", "--to"]);
        command.arg(&mixed).args(more);
        command
    };
    fail(&mut mix(&[]), 2, &["--client"]);
    fail(&mut mix(&["--client", "nobody"]), 2, &["nobody", "optdigits-0"]);
    fail(&mut mix(&["--client", "optdigits-0", "--width", "1/8"]), 2, &["1/8"]);
    let client = ["--client", "optdigits-0", "--order", "accuracy", "--onnx", &onnx.to_string_lossy()];
    let done = output(&mut mix(&client));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("bases by validation accuracy"), "{told}");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(text.contains("2 base(s), 7528 parameters") && text.contains("million multiply–adds") && onnx.exists(), "{text}");
    fail(&mut mix(&client), 2, &["exists already"]);
    let file = mixed.to_string_lossy().to_string();
    let text = succeed(&mut splitmix(&["eval", &file]));
    assert!(text.contains("1/32") && !text.contains("1/64"), "{text}");
    fail(&mut splitmix(&["eval", &file, "--lambda", "0.5"]), 2, &["mixed for lambda 0.3"]);
    fail(&mut splitmix(&["eval", &file, "--widths", "1/64"]), 2, &["1/32"]);
    let picture = path("digit.png");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/data.png"), &picture).expect("a picture");
    let picture = picture.to_string_lossy().to_string();
    let text = succeed(&mut splitmix(&["predict", &picture, "--model", &file]));
    assert!(text.contains('%'), "{text}");
    fail(&mut splitmix(&["predict", &picture, "--model", &file, "--context", "9"]), 2, &["running statistics"]);
    fail(&mut splitmix(&["predict", &picture, "--model", &model]), 2, &["--client"]);
    let text = succeed(&mut splitmix(&["predict", &picture, "--model", &model, "--client", "optdigits-0", "--lambda", "1"]));
    assert!(text.contains('%'), "{text}");

    // Options that do not go together.
    fail(&mut training(&path("x"), &["--bn-mode", "post", "--lambda-train", "0.5"]), 2, &["bn-mode = post", "tracked"]);
    fail(&mut training(&path("x"), &["--lambda-train", "2"]), 2, &["lambda-train = 2"]);
    fail(&mut training(&path("x"), &["--train-attack", "pgd-7-restarts3"]), 2, &["train-attack"]);
}

#[test]
fn corners_are_trained_side_by_side_and_tested_at_any_width() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for method in ["hetero-fl", "shetero-fl"] {
        let corners =
            |out: &Path, more: &[&str]| training(out, &options(&["--method", method, "--schedule", "none", "--rounds", "2"], more));
        let whole = path(method);
        let done = output(&mut corners(&whole, &[]));
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && told.contains("1 + 1 lanes per wave"), "{told}");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.contains("\n1/64 ") && text.contains("\n1/32 "), "{text}");

        let same_as_whole = |run: &Path| {
            assert_eq!(metrics(run), metrics(&whole), "{}", run.display());
            assert_eq!(tensors(&run.join("last.safetensors")), tensors(&whole.join("last.safetensors")), "{}", run.display());
        };
        let stopped = path(&format!("{method}-stopped"));
        succeed(&mut corners(&stopped, &["--rounds", "1"]));
        succeed(&mut corners(&stopped, &["--resume", "--wave-lanes", "1"]));
        same_as_whole(&stopped);

        // Any width is there; the corner of one is a model of its own, with the same answers.
        let (model, mixed) = (whole.to_string_lossy().to_string(), path(&format!("{method}.safetensors")).to_string_lossy().to_string());
        let tested = |model: &str| succeed(&mut splitmix(&["eval", model, "--widths", "3/128", "--attack", "fgsm"]));
        let text = succeed(&mut splitmix(&["mix", &model, "--width", "3/128", "--to", &mixed]));
        assert!(text.contains("width 3/128") && text.contains("1 base(s)"), "{text}");
        let rows = |text: &str| text.lines().filter(|l| l.starts_with("3/128")).map(str::to_string).collect::<Vec<_>>();
        assert_eq!(rows(&tested(&model)).len(), 2);
        assert_eq!(rows(&tested(&model)), rows(&tested(&mixed)));
        fail(&mut splitmix(&["eval", &model, "--widths", "1/8"]), 2, &["1/8", "up to 1/32"]);
    }
    assert_ne!(metrics(&path("hetero-fl")), metrics(&path("shetero-fl")));
    let counted = path("counted");
    succeed(&mut training(&counted, &["--method", "shetero-fl", "--schedule", "none", "--rounds", "2", "--count-widths"]));
    assert_ne!(metrics(&counted), metrics(&path("shetero-fl")));
    let text = succeed(splitmix(&["report"]).arg(folder.path()).arg("--to").arg(path("report.html")));
    assert!(text.contains("hetero-fl") && text.contains("count-widths true"), "{text}");

    for (options, word) in [
        (["--bn-mode", "tracked"].as_slice(), "bn-mode"),
        (["--local-bn"].as_slice(), "local-bn"),
        (["--lambda-train", "0.5"].as_slice(), "lambda-train"),
        (["--count-widths"].as_slice(), "count-widths"),
    ] {
        fail(training(&path("x"), &["--method", "hetero-fl"]).args(options), 2, &[word]);
    }
}

#[test]
fn statistics_are_re_estimated_after_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let text = succeed(&mut training(&run, &["--bn-mode", "post", "--rounds", "2"]));
    assert!(text.contains("test accuracy"), "{text}");
    let names: Vec<String> = tensors(&run.join("best.safetensors")).into_keys().collect();
    assert!(names.iter().all(|n| !n.contains("running")), "no statistics are kept: {names:?}");
    // The same again from the file, and the same model as one of a client.
    let json = folder.path().join("again.json");
    let model = run.to_string_lossy().to_string();
    succeed(splitmix(&["eval", &model, "--json"]).arg(&json));
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).expect("a report")).expect("JSON");
    assert_eq!(read(&json)["grid"][0]["standard"], read(&run.join("test.json")));
    let (mixed, onnx) = (folder.path().join("mixed.safetensors"), folder.path().join("mixed.onnx"));
    let text = succeed(splitmix(&["mix", &model, "--client", "synth-digits-0", "--to"]).arg(&mixed).arg("--onnx").arg(&onnx));
    assert!(text.contains("running statistics"), "{text}");
    fail(&mut splitmix(&["eval", &model, "--lambda", "0.5"]), 2, &["no adversarial batch norms"]);
}

#[test]
fn a_run_ends_when_its_time_is_up_and_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, limited) = (folder.path().join("whole"), folder.path().join("limited"));
    // Augmented images, other sizes of clients, another optimiser: what a round draws does not depend on where the run stopped.
    let more =
        ["--crop-padding", "2", "--flip", "--rotation", "15", "--dirichlet", "1", "--smallest-share", "1", "--clients-per-domain", "2"];
    let more = [&more[..], &["--optimizer", "adam", "--lr", "0.002", "--proximal", "0.01", "--classes-per-client", "3"]].concat();
    succeed(&mut training(&whole, &more));
    fail(&mut training(&limited, &[&more[..], &["--max-time", "0s", "--tensorboard"]].concat()), 130, &["after round 1 of 4", "--resume"]);
    succeed(&mut training(&limited, &[&more[..], &["--resume", "--tensorboard", "--max-time", "1h"]].concat()));
    assert_eq!(metrics(&whole), metrics(&limited));
    assert_eq!(tensors(&whole.join("last.safetensors")), tensors(&limited.join("last.safetensors")));
    assert_eq!(std::fs::read_dir(limited.join("tensorboard")).expect("event files").count(), 2);
    let (page, csv) = (folder.path().join("report.html"), folder.path().join("report.csv"));
    let mut report = splitmix(&["report", &folder.path().display().to_string()]);
    let told = succeed(report.arg("--to").arg(&page).arg("--csv").arg(&csv));
    assert!(told.contains("split-mix") && told.contains("1/32"), "{told}");
    assert!(std::fs::read_to_string(&page).expect("a page").contains("optdigits-0"));
    assert!(std::fs::read_to_string(&csv).expect("a table").starts_with("group,width,domain"));
    fail(&mut splitmix(&["report", "nowhere"]), 2, &["nowhere"]);

    // No file of the run is overwritten, and no result by another.
    let (run, other) = (whole.display().to_string(), folder.path().join("other").display().to_string());
    let own = |name: &str| whole.join(name).display().to_string();
    let to_own = |command: &[&str], name: &str| {
        let words = format!("{} is a file of the run in {run}: name another", own(name));
        fail(splitmix(command).arg(own(name)), 2, &[&words]);
    };
    to_own(&["report", &run, "--to"], "test.json");
    to_own(&["eval", &run, "--json"], "metrics.jsonl");
    to_own(&["data", "--sheet"], "config.toml");
    fail(
        splitmix(&["eval", &run, "--json"]).arg(own("best.safetensors")),
        2,
        &["only checkpoints end in .safetensors: name the file otherwise"],
    );
    fail(&mut splitmix(&["report", &run, "--to", &other, "--csv", &other]), 2, &["is named for both files: name another with --csv"]);
    let words = ["m.onnx: a checkpoint is no .onnx file: write --to m.safetensors, and add --onnx m.onnx for one"];
    fail(&mut splitmix(&["mix", &run, "--to", "m.onnx"]), 2, &words);
    std::fs::remove_file(whole.join("test.json")).expect("removed");
    let done = output(&mut splitmix(&["report", &run, "--to", &other]));
    let told = String::from_utf8_lossy(&done.stderr);
    let words =
        format!("note: {run} has no test.json, so its accuracies are not shown: finish it with splitmix train --resume --out {run}\n");
    assert!(done.status.success() && told == words, "{told}");
}

#[test]
fn a_run_that_goes_on_is_no_longer_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("networks/digits.toml").display().to_string();
    // The network is named by its file each time.
    let train = |more: &[&str]| training(&run, &[&["--network", &network, "--schedule", "none"], more].concat());
    succeed(&mut train(&["--rounds", "1"]));
    fail(&mut train(&["--adapter", "no such card"]), 2, &["already holds a run"]);
    for file in ["grid.json", "grid.html"] {
        std::fs::write(run.join(file), "{}").expect("written");
    }
    // A resume that fails before its first round changes nothing.
    fail(&mut train(&["--resume", "--rounds", "3", "--adapter", "no such card"]), 2, &["no adapter matches"]);
    assert!(run.join("test.json").exists());
    fail(&mut train(&["--resume", "--rounds", "3", "--max-time", "0s"]), 130, &["after round 2 of 3"]);
    for file in ["test.json", "report.html", "grid.json", "grid.html"] {
        assert!(!run.join(file).exists(), "{file} is of the shorter run");
    }
    assert!(std::fs::read_to_string(run.join("config.toml")).expect("read").contains("\nrounds = 3\n"));

    // Nobody hears what it says: that is no reason to stop.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut last = train(&["--resume", "--rounds", "3"]);
    if let Ok(full) = full {
        last.stderr(full);
    }
    let done = output(&mut last);
    assert!(done.status.success() && run.join("test.json").exists(), "{:?}", done.status);
}

/// The learning rates of a run's rounds.
fn rates(run: &Path) -> Vec<f64> {
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["lr"].as_f64().expect("a rate");
    metrics(run).lines().map(line).collect()
}

#[test]
fn a_finished_run_continues_to_more_rounds_under_a_cosine() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let run = path("run");
    succeed(&mut training(&run, &["--rounds", "2"]));
    let done = output(&mut training(&run, &["--resume", "--rounds", "2"]));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("; all 2 rounds are trained: the test is repeated;"), "{text}");
    fail(&mut training(&run, &["--resume", "--rounds", "1"]), 2, &["rounds = 1: the run has 2 rounds already"]);

    // Stopped in between, too.
    let more: &[&str] = &["--resume", "--rounds", "4"];
    fail(&mut training(&run, &[more, &["--max-time", "0s"]].concat()), 130, &["after round 3 of 4"]);
    assert!(!run.join("test.json").exists());
    succeed(splitmix(&["train", "--resume", "--out"]).arg(&run));
    assert!(run.join("test.json").exists() && run.join("report.html").exists());
    let cosine = |round: f64, rounds: f64| 0.5 * 0.05 * (1.0 + (std::f64::consts::PI * round / rounds).cos());
    let expected = [cosine(0.0, 2.0), cosine(1.0, 2.0), cosine(2.0, 4.0), cosine(3.0, 4.0)];
    assert!(rates(&run).iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-12), "{:?}", rates(&run));
    let config = std::fs::read_to_string(run.join("config.toml")).expect("read");
    assert!(config.contains("\nrounds = 4\n") && config.contains("rounds-before = [\"2/2\"]"), "{config}");
    // The configuration that it leaves describes it: a new run of it has the same bits.
    let again = path("again");
    succeed(splitmix(&["train", "--config"]).arg(run.join("config.toml")).arg("--out").arg(&again));
    assert_eq!(metrics(&again), metrics(&run));
    assert_eq!(tensors(&again.join("last.safetensors")), tensors(&run.join("last.safetensors")));
}

#[test]
fn a_run_begins_with_the_bases_of_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (first, whole, stopped) = (path("first"), path("whole"), path("stopped"));
    succeed(&mut training(&first, &["--rounds", "1", "--schedule", "none"]));
    let from = first.join("last.safetensors").display().to_string();
    let init: &[&str] = &["--init", &from, "--seed", "2", "--rounds", "2", "--schedule", "none", "--lr", "0.01"];
    succeed(&mut training(&whole, init));
    let config = std::fs::read_to_string(whole.join("config.toml")).expect("read");
    assert!(config.contains("init = ") && config.contains("init-checksum = "), "{config}");
    // With next to no learning rate, what a round leaves is what it began with.
    let still = path("still");
    succeed(&mut training(&still, &options(init, &["--lr", "1e-12", "--rounds", "1"])));
    let values = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect::<Vec<_>>();
    let (began, left) = (tensors(Path::new(&from)), tensors(&still.join("last.safetensors")));
    assert_eq!(began.keys().collect::<Vec<_>>(), left.keys().collect::<Vec<_>>());
    for (name, bytes) in &began {
        let near = values(bytes).iter().zip(values(&left[name])).all(|(began, left)| (began - left).abs() < 1e-6);
        assert!(near, "{name} is not that of the checkpoint");
    }

    // Stopped, then resumed without the file; to the same bits.
    fail(&mut training(&stopped, &[init, &["--max-time", "0s"]].concat()), 130, &["after round 1 of 2"]);
    std::fs::rename(&first, path("away")).expect("renamed");
    succeed(splitmix(&["train", "--resume", "--out"]).arg(&stopped));
    assert_eq!(metrics(&stopped), metrics(&whole));
    assert_eq!(tensors(&stopped.join("last.safetensors")), tensors(&whole.join("last.safetensors")));
    fail(&mut training(&path("none"), init), 2, &["last.safetensors", "is not there"]);
    assert!(!path("none").exists());
    std::fs::rename(path("away"), &first).expect("renamed");

    // Another file in its place, other bases, a mixed model.
    let mut again = splitmix(&["train", "--config"]);
    again.arg(whole.join("config.toml")).arg("--init").arg(first.join("best.safetensors")).arg("--out").arg(path("again"));
    if std::fs::read(first.join("best.safetensors")).expect("read") != std::fs::read(first.join("last.safetensors")).expect("read") {
        fail(&mut again, 2, &["its checksum is", "init-checksum says"]);
    }
    let narrow = [&["--budgets", "32-16", "--base-width", "1/32"], init].concat();
    let words = ["it has 2 bases of width 1/64 of digits for 10 classes, this run 2 bases of width 1/32 of digits", "base-width"];
    fail(&mut training(&path("narrow"), &narrow), 2, &words);
    assert!(!path("narrow").exists());
    let mixed = path("mixed.safetensors");
    succeed(splitmix(&["mix"]).arg(&first).args(["--width", "1/32", "--to"]).arg(&mixed));
    let of_mixed = ["--init", &mixed.display().to_string()];
    fail(&mut training(&path("of mixed"), &of_mixed), 2, &["this is a mixed model"]);

    // Norms that the file has not are made of those it has.
    let notes = |name: &str, more: &[&str]| {
        let own = options(init, &["--rounds", "1", "--train-attack", "pgd-1"]);
        let done = output(&mut training(&path(name), &options(&own, more)));
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{text}");
        text.lines()
            .filter(|line| line.starts_with("note: init"))
            .map(|line| line.rsplit(": ").next().unwrap_or_default().to_string())
            .collect()
    };
    let found: Vec<String> = notes("dual", &["--lambda-train", "0.5"]);
    assert_eq!(found, ["its batch norms become both the clean and the adversarial ones"]);
    let found: Vec<String> = notes("tracked", &["--bn-mode", "tracked", "--rescale-layer", "false", "--local-bn"]);
    assert_eq!(found.len(), 2, "{found:?}");
    let dual = path("dual").display().to_string();
    let found: Vec<String> = notes("single", &["--init", &dual]);
    assert_eq!(found, ["its clean batch norms are taken, the adversarial ones are left out"]);
    let kept = path("tracked").display().to_string();
    fail(&mut training(&path("whole again"), &["--init", &kept]), 2, &["its clients keep batch norms of their own", "local-bn = true"]);
    assert_eq!(notes("head", &["--personal", "fc3"]), ["every client begins with its values of what is personal"]);
    let kept = path("head").display().to_string();
    fail(&mut training(&path("whole again"), &["--init", &kept]), 2, &["its clients keep fc3.weight to themselves", "personal = fc3"]);
}

/// The class table of `data --clients` with these options, and what it says beside.
fn dealt(more: &[&str]) -> (String, String) {
    let done = output(splitmix(&["data", "--clients", "--domains", "mnist"]).args(more));
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    (String::from_utf8(done.stdout).expect("text"), text)
}

#[test]
fn images_are_dealt_by_the_partition_that_is_named() {
    let rule = |more: &[&str]| {
        let (table, _) = dealt(more);
        table.lines().find_map(|line| line.strip_prefix("partition: ")).expect("a rule").to_string()
    };
    assert_eq!(rule(&[]), "iid (equal numbers of images per client, at random); test images equal numbers per client, at random");
    assert_eq!(
        rule(&["--partition", "dirichlet", "--alpha", "0.1"]),
        "dirichlet (label skew, alpha 0.1, at least 16 images per client); test images own: by the client's own label distribution"
    );
    assert_eq!(
        rule(&["--partition", "shards", "--test-partition", "global", "--imbalance-factor", "10"]),
        "shards (2 per client, of the images sorted by class); long-tailed training images, imbalance factor 10; test images global: every \
         client has the same share of each class"
    );
    // The names of before deal the same images.
    let (sizes, classes) = (dealt(&["--dirichlet", "1"]), dealt(&["--classes-per-client", "3", "--consistent-test-classes"]));
    assert_eq!(sizes, dealt(&["--partition", "sizes", "--alpha", "1"]));
    assert_eq!(classes, dealt(&["--partition", "classes", "--classes-per-client", "3", "--test-partition", "own"]));
    assert_ne!(dealt(&[]).0, sizes.0);
    let (_, notes) = dealt(&["--imbalance-factor", "10"]);
    assert!(notes.lines().any(|line| line.starts_with("note: no client has ") && line.contains("training images of mnist")), "{notes}");
    let refused = |more: &[&str], words: &[&str]| fail(splitmix(&["data", "--clients"]).args(more), 2, words);
    refused(&["--partition", "dirichlet"], &["partition = dirichlet: it needs alpha"]);
    refused(&["--partition", "dirichlet", "--dirichlet", "0.1"], &["write alpha instead"]);
    refused(&["--alpha", "0.1"], &["add one of these"]);
    refused(&["--partition", "label"], &["\"label\" is not a partition"]);
    refused(&["--partition", "dirichlet", "--alpha", "1", "--smallest-share", "99999"], &["too few for 4 clients of at least 99999"]);
    assert_eq!(rule(&["--partition", "IID"]), rule(&[]), "in any letter case");
    // Without the clients these have no effect.
    for option in [["--partition", "shards"], ["--imbalance-factor", "10"], ["--clients-per-domain", "100000000"], ["--percent", "0.5"]] {
        let words = format!("{} is about the images of each client, which only --clients shows: add --clients", option[0]);
        fail(splitmix(&["data"]).args(option), 2, &[&words]);
    }
    fail(&mut splitmix(&["data", "--imbalance-factor", "1e30"]), 2, &["imbalance-factor = 1e30", "from 1 to 1e9"]);
    let (_, notes) = dealt(&["--lr", "0.1", "--rounds", "3", "--seed", "2"]);
    assert_eq!(notes, "note: --rounds, --lr: no effect on what this command shows\n");
    for (options, said) in [
        (&["--train-per-domain", "99999"][..], "train-per-domain = 99999 has no effect: no domain has more than 1200 training images"),
        (
            &["--consistent-test-classes"],
            "consistent-test-classes has no effect without partition = classes; test-partition = own is for all",
        ),
        (&["--method", "fedavg", "--budgets", "8-4"], "budgets = 8-4 has no effect with fedavg: its clients all train one width"),
    ] {
        assert_eq!(dealt(options).1, format!("note: {said}\n"));
    }
}

#[test]
fn arguments_that_cannot_be_are_refused_in_one_line() {
    let refused = |arguments: &[&str], line: &str| {
        let done = output(&mut splitmix(arguments));
        assert_eq!(done.status.code(), Some(2));
        assert_eq!((String::from_utf8_lossy(&done.stderr), done.stdout.len()), (format!("splitmix: {line}\n").into(), 0));
    };
    refused(&["train", "--epochs", "3"], "--epochs: splitmix train has no such option: did you mean --local-epochs?");
    refused(&["train", "--flip", "maybe"], "--flip maybe: it must be true or false");
    refused(&["predict"], "predict needs IMAGE...: add what is missing; splitmix predict --help explains it");
    refused(&["eval", "none", "--attack", "fgsm,fgsm"], "--attack: fgsm is there twice: leave one out");
    refused(&["train", "--train-attack", "fgsm,pgd-2"], "--train-attack: one attack is wanted, and \"fgsm,pgd-2\" names 2: write fgsm");
    let text = succeed(&mut splitmix(&["train", "--help"]));
    assert!(text.contains("--local-epochs"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let out = std::ffi::OsStr::from_bytes(b"caf\xe9");
        fail(splitmix(&["train", "--out"]).arg(out), 2, &["--out: caf\u{fffd}: the name is not UTF-8 text", "rename the file or folder"]);
    }
    assert!(succeed(&mut splitmix(&["--version"])).starts_with("splitmix "));
}

#[test]
fn a_partition_by_label_is_trained_and_its_classes_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let more = ["--partition", "dirichlet", "--alpha", "0.1", "--smallest-share", "8", "--clients-per-domain", "2", "--rounds", "1"];
    let done = output(&mut training(&run, &more));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    assert!(text.contains("partition: dirichlet (label skew, alpha 0.1") && text.contains("steps: every client takes the same"), "{text}");
    let config = std::fs::read_to_string(run.join("config.toml")).expect("read");
    assert!(config.contains("partition = \"dirichlet\"") && config.contains("alpha = 0.1"), "{config}");
    let page = std::fs::read_to_string(run.join("report.html")).expect("a page");
    assert!(page.contains("training images of a client, by class") && page.contains("label skew, alpha 0.1"));
}

#[test]
fn negatives_are_classified_as_what_they_show() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    succeed(&mut training(&run, &["--rounds", "1"]));
    let picture =
        image::GrayImage::from_fn(20, 20, |x, y| image::Luma([if (8..12).contains(&x) && (3..17).contains(&y) { 230 } else { 0 }]));
    let negative = image::GrayImage::from_fn(20, 20, |x, y| image::Luma([255 - picture.get_pixel(x, y).0[0]]));
    let (positive_file, negative_file) = (folder.path().join("p.png"), folder.path().join("n.png"));
    picture.save(&positive_file).expect("written");
    negative.save(&negative_file).expect("written");
    let predict = |file: &Path, more: &[&str]| {
        let done = output(splitmix(&["predict", "--model"]).arg(&run).arg(file).args(more));
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{text}");
        let table = String::from_utf8(done.stdout).expect("text");
        let row = table.lines().last().expect("a row").split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        (row, text.lines().find(|line| line.starts_with("hint: ")).map(String::from))
    };
    let (positive, silent) = predict(&positive_file, &[]);
    assert_eq!(silent, None);
    assert_eq!(predict(&negative_file, &["--invert"]), (positive.clone(), None));
    let (other, hint) = predict(&negative_file, &[]);
    assert_ne!(other, positive);
    assert!(hint.expect("a hint").contains("the border of 1 of 1 picture(s) is bright"));
    // A moving picture: the same with a chunk that counts two frames.
    let (plain, moving) = (std::fs::read(&positive_file).expect("read"), folder.path().join("m.png"));
    let frames = b"\0\0\0\x08acTL\0\0\0\x02\0\0\0\0\xf3\x8d\x93\x70";
    std::fs::write(&moving, [&plain[..33], frames, &plain[33..]].concat()).expect("written");
    let done = output(splitmix(&["predict", "--invert", "--model"]).arg(&run).args([&positive_file, &moving]));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.trim_end().ends_with("leave --invert out"), "{text}");
    assert!(text.contains("m.png: it holds several pictures: only the first is used"), "{text}");
}

#[test]
fn a_model_is_tested_where_its_data_is_and_a_lesser_grid_replaces_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    std::fs::create_dir_all(path("data/mnist")).expect("folders");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/mnist")).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), path("data/mnist").join(entry.file_name())).expect("copied");
    }
    let more = ["--data-dir", &text("data"), "--domains", "mnist", "--bn-mode", "tracked", "--rescale-layer", "false", "--rounds", "1"];
    succeed(&mut training(&path("run"), &more));
    let run = text("run");

    // The environment is for data that has moved.
    let eval = |more: &[&str]| {
        let mut command = splitmix(&["eval", &run]);
        command.args(options(&["--images-per-client", "8"], more));
        command
    };
    succeed(eval(&[]).env("SPLITMIX_DATA", "/nowhere"));
    std::fs::rename(path("data"), path("moved")).expect("renamed");
    fail(&mut eval(&[]), 2, &["data: there is no such folder", "--data-dir"]);
    fail(&mut eval(&["--data-dir", "/nowhere"]), 2, &["/nowhere: there is no such folder", "--data-dir"]);
    let done = output(eval(&[]).env("SPLITMIX_DATA", path("moved")));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("note: ") && told.contains("moved"), "{told}");
    std::fs::rename(path("moved"), path("data")).expect("renamed");

    // The grid that the folder keeps.
    let grid = |more: &[&str]| eval(&[&["--grid"], &options(&["--attack", "pgd-1"], more)[..]].concat());
    let kept = || std::fs::read(path("run/grid.json")).expect("a grid");
    fail(&mut grid(&["--page", &text("no/x.html")]), 2, &["no/x.html", "no folder"]);
    succeed(&mut grid(&[]));
    let (whole, page) = (kept(), std::fs::read(path("run/grid.html")).expect("a page"));
    for lesser in [&["--images-per-client", "4"][..], &["--widths", "1/32"], &["--attack", "fgsm"]] {
        fail(&mut grid(lesser), 2, &["grid.json is not overwritten", "--page"]);
    }
    let done = output(&mut grid(&["--images-per-client", "4", "--json", &text("four.json")]));
    assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).contains("stays unchanged"), "{done:?}");
    let last = text("run/last.safetensors");
    fail(&mut splitmix(&["eval", &last, "--grid", "--attack", "pgd-1"]), 2, &["not the best round"]);
    assert_eq!((kept(), std::fs::read(path("run/grid.html")).expect("a page")), (whole.clone(), page));
    assert!(path("four.json").exists());
    succeed(&mut grid(&["--images-per-client", "12"]));
    assert_ne!(kept(), whole);

    // Values that ask for nothing or for too much.
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/data.png").display().to_string();
    fail(&mut eval(&["--widths", ""]), 2, &["widths", "leave it out"]);
    fail(&mut splitmix(&["predict", &picture, "--model", &run, "--widths", ""]), 2, &["widths", "leave it out"]);
    fail(&mut eval(&["--eval-batch-size", "4294967299"]), 2, &["eval-batch-size"]);
    assert!(succeed(&mut splitmix(&["predict", &picture, "--model", &run, "--top", "3000000000"])).contains("10."));
    fail(&mut splitmix(&["bench", "--batch-size", "4294967295", "--lanes", "1"]), 2, &["batch-size", "4096"]);
    fail(&mut splitmix(&["bench", "--lanes", "4294967295"]), 2, &["lanes", "65536"]);

    // Two files are two, and neither is left alone.
    let mix = |onnx: &str| splitmix(&["mix", &run, "--to", &text("mixed"), "--onnx", onnx]);
    fail(&mut mix(&text("run/../mixed")), 2, &["both files"]);
    fail(&mut mix(&text("no/mixed.onnx")), 2, &["no folder"]);
    #[cfg(target_os = "linux")]
    {
        std::os::unix::fs::symlink("/dev/full", path("full")).expect("a link");
        fail(&mut mix(&text("full")), 1, &["full"]);
        assert!(std::fs::symlink_metadata(path("full")).expect("a link").is_symlink());
    }
    assert!(!path("mixed").exists());

    // Parameters of seven classes are a model of seven.
    let bytes = std::fs::read(path("run/best.safetensors")).expect("a checkpoint");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let cut = file.tensors().into_iter().map(|(name, view)| {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data());
        if name.contains(".fc3.") {
            data = &data[..data.len() / 10 * 7];
            shape[0] = 7;
        }
        (name, safetensors::tensor::TensorView::new(view.dtype(), shape, data).expect("a tensor"))
    });
    std::fs::write(path("seven"), safetensors::serialize(cut.collect::<Vec<_>>(), None).expect("bytes")).expect("written");
    let options = ["--bn-mode", "tracked", "--rescale-layer", "false", "--base-width", "1/64", "--budgets", "64-32"];
    succeed(splitmix(&["import", &text("seven"), "--to", &text("imported")]).args(options));
    fail(&mut splitmix(&["eval", &text("imported")]), 2, &["7 classes"]);
}

#[test]
fn a_described_network_learns_pictures_in_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for domain in ["day", "night"] {
        for (class, shade) in [("bright", 200u8), ("dark", 20)] {
            std::fs::create_dir_all(path(&format!("pictures/{domain}/{class}"))).expect("folders");
            for i in 0..20u8 {
                let picture = image::RgbImage::from_fn(20, 18, |x, y| image::Rgb([shade, shade / 2, (x * y) as u8 / 4 + i]));
                picture.save(path(&format!("pictures/{domain}/{class}/{i}.png"))).expect("a picture");
            }
        }
    }
    let layers = r#"
        name = "small"
        input = [3, 16, 16]
        layers = [
            { type = "conv2d", name = "stem", out-channels = 16, kernel = 3, padding = 1, bias = false },
            { type = "residual", body = [
                { type = "batch-norm", name = "bn1" },
                { type = "conv2d", name = "conv1", out-channels = 16, kernel = 3, padding = 1, bias = false },
            ] },
            { type = "batch-norm", name = "bn2" },
            { type = "average-pool", height = 3, width = 2 },
            { type = "linear", name = "fc" },
        ]
    "#;
    std::fs::write(path("small.toml"), layers).expect("a network");
    let text = |name: &str| path(name).display().to_string();
    let train = |out: &str, network: &str| {
        let mut command = splitmix(&["train", "--data-dir", &text("pictures"), "--network", network, "--clients-per-domain", "2"]);
        command.args(["--base-width", "1/4", "--budgets", "4-1", "--bn-mode", "tracked", "--rescale-layer", "false", "--batch-size", "4"]);
        command.args(["--rounds", "6", "--lr", "0.05", "--out", &text(out)]).env("SPLITMIX_CACHE", path("cache"));
        command
    };
    let report = succeed(&mut train("run", &text("small.toml")));
    assert!(report.contains("day (genuine)") && report.contains("night (genuine)"), "{report}");
    let best = report.lines().find(|l| l.starts_with("1 ")).expect("full width");
    let accuracy: f64 = best.split_whitespace().nth(1).and_then(|v| v.parse().ok()).expect("an accuracy");
    assert!(accuracy > 80.0, "{report}");
    assert!(path("cache/images").is_dir());
    // The checkpoint holds the description: nothing else is needed to use the model.
    std::fs::remove_file(path("small.toml")).expect("removed");
    let eval =
        succeed(splitmix(&["eval", &text("run"), "--widths", "1/4,1", "--images-per-client", "3"]).env("SPLITMIX_CACHE", path("cache")));
    assert!(eval.contains("1/4"), "{eval}");
    let (picture, model) = (text("pictures/day/dark/3.png"), text("run"));
    let predicted = succeed(&mut splitmix(&["predict", &picture, "--model", &model]));
    assert!(predicted.contains("dark"), "{predicted}");
    // One that is cut short does not hide the others.
    let whole = std::fs::read(&picture).expect("read");
    std::fs::write(path("cut.png"), &whole[..whole.len() - 20]).expect("written");
    let done = output(&mut splitmix(&["predict", &text("cut.png"), &picture, "--model", &model]));
    let (shown, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.code() == Some(2) && shown.contains("3.png") && !shown.contains("cut.png"), "{shown}{said}");
    assert!(said.contains("cut.png: not a readable PNG, JPEG, WebP or BMP picture: the file is cut short;"), "{said}");
    succeed(&mut splitmix(&["mix", &model, "--width", "1/2", "--to", &text("half.safetensors"), "--onnx", &text("half.onnx")]));
    assert!(std::fs::metadata(path("half.onnx")).expect("a file").len() > 1000);

    fail(&mut train("other", "lenet"), 2, &["network = lenet", "preact-resnet18"]);
    fail(&mut train("other", &text("none.toml")), 2, &["cannot read the network", "none.toml"]);
    std::fs::write(
        path("bad.toml"),
        layers.replace("kernel = 3, padding = 1, bias = false },\n            ] }", "kernel = 3, bias = false },\n            ] }"),
    )
    .expect("written");
    fail(&mut train("other", &text("bad.toml")), 2, &["bad.toml", "layer residual", "16×14×14"]);
    std::fs::write(path("pictures/day/dark/3.png"), b"no picture").expect("written");
    fail(&mut train("other", "digits"), 2, &["3.png: not a readable PNG, JPEG, WebP or BMP picture: its content is that of no picture"]);
}

#[test]
fn folders_of_pictures_are_read_in_their_roles_and_the_rest_is_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        image::RgbImage::from_pixel(4, 4, image::Rgb([99; 3])).save(path).expect("written");
    };
    ["Train/cat/0.png", "Train/cat/deep/1.png", "Train/dog/0.bmp", "Val/cat/2.png", "Test/cat/3.webp", "Test/dog/4.png"]
        .into_iter()
        .for_each(put);
    ["Train/cat/._0.png", "__MACOSX/cat/0.png", "loose.png"].into_iter().for_each(put);
    let dir = folder.path().to_string_lossy().to_string();
    let name = folder.path().file_name().expect("a name").to_string_lossy().to_string();
    let done = output(&mut splitmix(&["data", "--data-dir", &dir]));
    let (shown, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && shown.contains(&name), "{shown}{said}");
    assert_eq!(
        said,
        format!(
            "note: {name}: 3 left out: 1 hidden (Train/cat/._0.png); 1 made by the operating system (__MACOSX/cat/0.png); \
             1 picture outside the class folders (loose.png)\n"
        )
    );
    let done = output(&mut splitmix(&["data", "--data-dir", &dir, "--test-ratio", "0.3"]));
    let said = String::from_utf8_lossy(&done.stderr);
    let unused = format!("note: test-ratio = 0.3 has no effect on {name}: the data set has a test split of its own there\n");
    assert!(done.status.success() && said.contains(&unused), "{said}");
    std::fs::rename(folder.path().join("Train"), folder.path().join("train_set")).expect("renamed");
    fail(&mut splitmix(&["data", "--data-dir", &dir]), 2, &["known layouts: CLASS/PICTURE"]);
    fail(
        &mut splitmix(&["data", "--data-dir", &format!("{dir}/none")]),
        2,
        &["cannot read the data folder", "none: there is no such file or folder: check the path"],
    );
}

#[test]
fn clients_may_be_named_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    // Two classes, light and dark, of three clients; the third has one picture only.
    let mut lines = "client,image,class,domain\n".to_string();
    for i in 0..50u8 {
        let dark = i % 2 == 0;
        let grey = |x: u32, y: u32| (x * 7 + y * 3 + u32::from(i)) as u8 % 60 + if dark { 10 } else { 180 };
        let name = format!("{i}.png");
        image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([grey(x, y); 3])).save(folder.path().join(&name)).expect("written");
        let (client, domain) = [("Ulm", "south"), ("Kiel", "north")][usize::from(i % 4 / 2)];
        lines += &format!("{client},{name},{},{domain}\n", if dark { "dark" } else { "light" });
    }
    lines += "Bonn,0.png,dark,north\n";
    let path = |name: &str| folder.path().join(name).to_string_lossy().to_string();
    std::fs::write(path("wards.csv"), lines).expect("written");
    let options = ["--clients-file", &path("wards.csv"), "--base-width", "1/32", "--budgets", "32-16", "--batch-size", "4"];
    let mut train = splitmix(&["train"]);
    train.args(options).args(["--rounds", "6", "--lr", "0.1", "--validate-every", "2", "--out", &path("run")]);
    let done = output(&mut train);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("south (genuine)") && told.contains("only one training image for Bonn"), "{told}");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(text.contains("south (genuine)  north (genuine)"), "{text}");
    let accuracy: f64 = text
        .lines()
        .last()
        .and_then(|_| text.lines().find(|l| l.starts_with("1/16")))
        .map_or(0.0, |line| line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).expect("an accuracy"));
    assert!(accuracy > 90.0, "light and dark are told apart: {text}");

    // The file may move with its pictures; the same partition is read again.
    std::fs::rename(path("wards.csv"), path("moved.csv")).expect("renamed");
    fail(&mut splitmix(&["eval", &path("run")]), 2, &["wards.csv: there is no such file", "--clients-file"]);
    let moved = ["wards.csv: there is no such file: if the model's data have moved, name their place with --clients-file"];
    fail(&mut splitmix(&["train", "--resume", "--out", &path("run")]), 2, &moved);
    // Classes of other names may begin with the bases, but not without a word.
    let renamed = std::fs::read_to_string(path("moved.csv")).expect("read").replace(",dark,", ",night,");
    std::fs::write(path("renamed.csv"), renamed).expect("written");
    let options = ["--clients-file", &path("renamed.csv"), "--base-width", "1/32", "--budgets", "32-16", "--batch-size", "4"];
    let done = output(splitmix(&["train", "--init", &path("run"), "--rounds", "1", "--out", &path("begun")]).args(options));
    let told = String::from_utf8_lossy(&done.stderr);
    let words = "best.safetensors: its classes were dark, light, the data has light, night: each takes the output of that place";
    assert!(done.status.success() && told.contains("note: init = ") && told.contains(words), "{told}");
    fail(&mut splitmix(&["eval", &path("run"), "--data-dir", &path("")]), 2, &["clients file, so --data-dir has no effect"]);
    let text = succeed(&mut splitmix(&["eval", &path("run"), "--clients-file", &path("moved.csv"), "--clients"]));
    assert!(text.contains("Ulm") && text.contains("Kiel"), "{text}");
    fail(&mut splitmix(&["train", "--data", "csv", "--out", &path("x")]), 2, &["clients-file"]);
    let both = ["--clients-file", &path("moved.csv"), "--percent", "0.5", "--out", &path("x")];
    fail(splitmix(&["train"]).args(both), 2, &["percent = 0.5: the clients file says who has which images: leave it out"]);
    let split = "client,image,class,split\na,0.png,x,train\na,1.png,y,train\na,2.png,x,validation\na,3.png,y,test\n";
    std::fs::write(path("split.csv"), split).expect("written");
    let done = output(&mut splitmix(&["data", "--clients", "--clients-file", &path("split.csv"), "--validation-ratio", "0.3"]));
    let (table, notes) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let counts = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert!(table.lines().any(|line| counts(line) == ["validation", "1", "1", "·"]), "{table}");
    assert!(
        notes.contains("note: validation-ratio has no effect on split: the data set has a validation split of its own there"),
        "{notes}"
    );
    for command in ["train", "data"] {
        let option = ["--clients-file", &path("moved.csv"), "--clients-per-domain", "4"];
        fail(splitmix(&[command]).args(option), 2, &["--clients-per-domain: the clients file says who has which images: leave it out"]);
    }
}

#[test]
fn a_sweep_trains_what_is_not_yet_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("sweep.toml"), folder.path().join("runs"));
    let text = format!(
        r#"
        out = {:?}
        [options]
        domains = ["optdigits", "synth-digits"]
        clients-per-domain = 1
        train-per-domain = 40
        batch-size = 8
        rounds = 3
        schedule = "none"
        [[grid]]
        base-width = ["1/64"]
        budgets = ["64-32"]
        seed = [1, 2]
        [[grid]]
        method = ["fedavg"]
        width = ["1/64"]
        "#,
        out.display().to_string()
    );
    std::fs::write(&file, &text).expect("a file");
    let sweep = |more: &[&str]| {
        let mut command = splitmix(&["sweep"]);
        command.arg(&file).args(more);
        command
    };
    assert_eq!(succeed(&mut sweep(&["--list"])).matches("to do").count(), 3);
    let done = output(&mut sweep(&["--list", "--data-dir", "digits"]));
    assert_eq!(String::from_utf8_lossy(&done.stderr), "note: --data-dir has no effect: no run of the sweep has data = directory\n");
    let more = ["--max-time", "0s", "--data-dir", "digits"];
    fail(&mut sweep(&more), 130, &["stopped in", "splitmix sweep", "sweep.toml --data-dir digits"]);
    assert!(succeed(&mut sweep(&["--list"])).contains("begun"));
    // Fewer rounds, as the schedule does not depend on them. The two seeds come to their end with the time, the third run waits.
    let fewer = text.replace("rounds = 3", "rounds = 2");
    std::fs::write(&file, &fewer).expect("written");
    fail(&mut sweep(&["--max-time", "0s"]), 130, &["stopped with 2 of 3 runs finished", "splitmix sweep"]);
    assert!(std::fs::read_to_string(out.join("report.html")).expect("a page").contains("2 runs in 1 group"));
    let told = succeed(&mut sweep(&[]));
    assert!(told.contains("3 of 3 runs finished"), "{told}");
    assert!(std::fs::read_to_string(out.join("report.html")).expect("a page").contains("3 runs in 2 groups"));
    assert_eq!(succeed(&mut sweep(&["--list"])).matches("finished").count(), 3);
    // Nothing is trained twice.
    let first = out.join("method-fedavg_width-1d64/metrics.jsonl");
    let before = std::fs::metadata(&first).and_then(|m| m.modified()).expect("metrics");
    succeed(&mut sweep(&[]));
    assert_eq!(std::fs::metadata(&first).and_then(|m| m.modified()).expect("metrics"), before);
    // And nothing is taken for what it is not.
    std::fs::write(&file, fewer.replace("rounds = 2", "rounds = 2\nlr = 0.9")).expect("written");
    fail(&mut sweep(&[]), 2, &["base-width-1d64_budgets-64-32_seed-1", "lr = 0.05", "0.9", "another folder"]);
}

/// A file of three seeds a grid, as small as the trainings above.
fn seeds(file: &Path, out: &Path, grids: &[&str]) {
    let mut text = format!("out = {:?}\n", out.display().to_string());
    text += "options = { domains = [\"optdigits\", \"synth-digits\"], clients-per-domain = 2, train-per-domain = 60, batch-size = 8, ";
    text += "rounds = 3, validate-every = 2, eval-batch-size = 100 }\n";
    grids.iter().for_each(|grid| text += &format!("[[grid]]\nseed = [1, 2, 3]\n{grid}\n"));
    std::fs::write(file, text).expect("a file");
}

/// All that a run's own result is, byte for byte, by file; the configuration names the folder, so checkpoints are told by their tensors.
fn result(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &str| std::fs::read(run.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", run.display()));
    let mut all: BTreeMap<String, Vec<u8>> =
        ["metrics.jsonl", "test.json", "clients.json"].map(|name| (name.to_string(), read(name))).into();
    for name in ["last.safetensors", "best.safetensors"] {
        all.extend(tensors(&run.join(name)).into_iter().map(|(tensor, bytes)| (format!("{name} {tensor}"), bytes)));
    }
    all
}

/// The folders of a sweep's runs, sorted.
fn folders(sweep: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(sweep).expect("a folder").map(|e| e.expect("an entry"));
    let runs = entries.filter(|e| e.path().join("config.toml").exists());
    let mut names: Vec<String> = runs.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn runs_that_are_trained_together_are_the_same_to_the_bit_as_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let grids = [
        "base-width = [\"1/64\"]\nbudgets = [\"64-32\"]\nclients-per-round = [2, 4]",
        "method = [\"fedavg\"]\nwidth = [\"1/64\"]\nbn-mode = [\"tracked\"]\noptimizer = [\"adam\"]\nproximal = [0.01]",
        "method = [\"hetero-fl\"]\nbudgets = [\"64-32\"]\nclients-per-round = [1]",
        "method = [\"shetero-fl\"]\nbudgets = [\"64-32\"]",
        "base-width = [\"1/64\"]\nbudgets = [\"64-32\"]\nbn-mode = [\"post\"]\ndirichlet = [1.0]\nsmallest-share = [1]",
        // Not together: noise and batch norms by the number of a program's base or client.
        "base-width = [\"1/64\"]\nbudgets = [\"64-32\"]\nflip = [true]",
    ];
    let sweep = |name: &str, grids: &[&str], more: &[&str]| {
        seeds(&path(&format!("{name}.toml")), &path(name), grids);
        let mut command = splitmix(&["sweep"]);
        command.arg(path(&format!("{name}.toml"))).args(more);
        command
    };
    succeed(&mut sweep("alone", &grids, &["--together", "1"]));
    let done = output(&mut sweep("together", &grids, &["--together", "6"]));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert_eq!(told.matches("together: the lanes of 6 runs").count(), 1, "{told}");
    assert_eq!(told.matches("together: the lanes of 3 runs").count(), 4, "{told}");
    let names = folders(&path("alone"));
    assert_eq!((names.len(), folders(&path("together"))), (21, names.clone()));
    let same_as_alone = |sweep: &str, names: &[String]| {
        for name in names {
            let (run, alone) = (path(sweep).join(name), path("alone").join(name));
            assert_eq!(result(&run), result(&alone), "{}", run.display());
            let list = |run: &Path| {
                let mut list: Vec<_> = std::fs::read_dir(run).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
                list.sort();
                list
            };
            assert_eq!(list(&run), list(&alone), "the same files");
        }
    };
    same_as_alone("together", &names);

    // Lanes of different runs share waves, and a run's lanes are in several; stopped after every round on the way.
    let some = &grids[..1];
    let limited = ["--max-time", "0s", "--together", "4"];
    let with_waves = |name: &str| {
        let command = sweep(name, some, &limited);
        let file = path(&format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(&file, text.replace("rounds = 3", "rounds = 3, wave-lanes = 5")).expect("written");
        command
    };
    fail(&mut with_waves("stopped"), 130, &["stopped in", "seed-1, ", "splitmix sweep", "up to 5 lanes per wave"]);
    let list = succeed(splitmix(&["sweep", "--list"]).arg(path("stopped.toml")));
    assert_eq!((list.matches("begun").count(), list.matches("to do").count()), (3, 3), "{list}");
    // One of them is a round ahead: the others catch up with it.
    let ahead = folders(&path("stopped")).remove(0);
    fail(splitmix(&["train", "--resume", "--max-time", "0s", "--out"]).arg(path("stopped").join(&ahead)), 130, &["after round 2 of 3"]);
    // One lost its checkpoint: it begins anew.
    let behind = folders(&path("stopped")).remove(1);
    std::fs::remove_file(path("stopped").join(&behind).join("last.safetensors")).expect("removed");
    // And one cannot be taken up: the others do not mind.
    let broken = folders(&path("stopped")).remove(2);
    let checkpoint = path("stopped").join(&broken).join("last.safetensors");
    let kept = std::fs::read(&checkpoint).expect("a checkpoint");
    std::fs::write(&checkpoint, &kept[..kept.len() / 2]).expect("written");
    fail(splitmix(&["sweep"]).arg(path("stopped.toml")), 2, &["not every run", &broken, "last.safetensors"]);
    std::fs::write(&checkpoint, kept).expect("written");
    succeed(splitmix(&["sweep"]).arg(path("stopped.toml")));
    same_as_alone("stopped", &folders(&path("stopped")));
    assert_eq!(folders(&path("stopped")).len(), 6);

    // Where they do not fit together, they are trained in parts.
    let mut in_parts = sweep("parts", &grids[3..4], &[]);
    let text = std::fs::read_to_string(path("parts.toml")).expect("a file");
    std::fs::write(path("parts.toml"), text.replace("rounds = 3", "rounds = 3, memory-limit = \"15MB\"")).expect("written");
    let done = output(&mut in_parts);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("not together: ") && told.contains("memory"), "{told}");
    assert!(told.contains("together: the lanes of 2 runs"), "{told}");
    same_as_alone("parts", &folders(&path("parts")));

    // The figures of a round are of all that were in it.
    let some_of_six = folders(&path("stopped")).remove(0);
    let timing = std::fs::read_to_string(path("together").join(&some_of_six).join("timing.jsonl")).expect("timing");
    assert_eq!(timing.matches("\"together\":6").count(), 3, "{timing}");
    fail(&mut sweep("none", some, &["--together", "0"]), 2, &["--together"]);
}

#[test]
fn attacks_that_cannot_be_meant_are_refused_with_what_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    for (attack, words) in [
        ("fgsm-eps0.5", "the radius counts in 255ths: for 0.5 write -eps128 (128/255 = 0.502)"),
        ("pgd-7-eps0.03", "for 0.03 write -eps8 (8/255 = 0.031)"),
        ("fgsm-eps0", "an attack of radius 0 changes nothing"),
        ("pgd-7-eps-4", "no attack is called \"pgd-7-eps-4\": write pgd-7-eps4"),
        ("pgd-0", "an attack takes 1 to 10000 steps, not 0"),
        ("PGD20", "write pgd-20"),
    ] {
        fail(&mut training(&out, &["--lambda-train", "0.5", "--train-attack", attack]), 2, &["--train-attack", words]);
        fail(&mut splitmix(&["eval", "none", "--attack", attack]), 2, &["--attack", words]);
        let config = folder.path().join("config.toml");
        std::fs::write(&config, format!("seed = 1\ntrain-attack = \"{attack}\"\n")).expect("written");
        fail(&mut training(&out, &["--config", &config.to_string_lossy()]), 2, &["config.toml, line 2", "train-attack"]);
    }
    assert!(!out.exists());
}

/// A safetensors file.
fn save(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    let bytes = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()));
    let bytes: Vec<_> = bytes.collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).expect("a tensor"))
    });
    std::fs::write(path, safetensors::serialize(views, None).expect("bytes")).expect("written");
}

/// Parameters of one Digits network of 1/64 of its width, as PyTorch names and shapes them, with its running statistics.
fn digits_of_pytorch() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let layers: [(&str, &[usize]); 6] = [
        ("conv1", &[1, 3, 5, 5]),
        ("conv2", &[1, 1, 5, 5]),
        ("conv3", &[2, 1, 5, 5]),
        ("fc1", &[32, 98]),
        ("fc2", &[8, 32]),
        ("fc3", &[10, 8]),
    ];
    let mut all = BTreeMap::new();
    let mut put = |name: String, shape: &[usize], value: &dyn Fn(usize) -> f32| {
        all.insert(name, (shape.to_vec(), (0..shape.iter().product()).map(value).collect()));
    };
    for (i, (layer, shape)) in layers.into_iter().enumerate() {
        put(format!("{layer}.weight"), shape, &|v| ((v * 37 + i) % 64) as f32 / 64.0 - 0.5);
        put(format!("{layer}.bias"), &shape[..1], &|v| v as f32 / 16.0);
        if layer != "fc3" {
            for (kind, value) in [("weight", 1.0), ("bias", 0.25), ("running_mean", 0.5), ("running_var", 2.0)] {
                put(format!("bn{}.{kind}", i + 1), &shape[..1], &|_| value);
            }
        }
    }
    all
}

#[test]
fn parameters_of_other_programs_are_imported_or_refused_by_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let import = |from: &str, to: &str, more: &[&str]| {
        let mut command = splitmix(&["import", &text(from), "--to", &text(to)]);
        command.args(options(&["--method", "fedavg", "--width", "1/64"], more));
        command
    };
    let tracked = ["--bn-mode", "tracked"];
    let plain = digits_of_pytorch();
    save(&path("plain"), &plain);
    succeed(&mut import("plain", "plain.safetensors", &tracked));
    let wrapped = |prefix: &str| plain.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect();
    for prefix in ["_orig_mod.", "_orig_mod.module.", "model."] {
        save(&path("wrapped"), &wrapped(prefix));
        succeed(&mut import("wrapped", &format!("{prefix}safetensors"), &tracked));
        assert_eq!(tensors(&path(&format!("{prefix}safetensors"))), tensors(&path("plain.safetensors")), "{prefix}");
    }
    // Other prefixes are left out with a note, also where they are mixed, as long as every tensor is then found once.
    let noted = |from: &str, to: &str| {
        let done = output(&mut import(from, to, &tracked));
        let said = String::from_utf8_lossy(&done.stderr).to_string();
        assert!(done.status.success(), "{said}");
        assert_eq!(tensors(&path(to)), tensors(&path("plain.safetensors")), "{said}");
        said
    };
    save(&path("wrapped"), &wrapped("encoder."));
    assert_eq!(
        noted("wrapped", "encoder.safetensors"),
        "note: prefixes are left out of the tensors' names: encoder.conv1.weight is taken as conv1.weight\n"
    );
    let of_parts = |name: &String| match name {
        name if name.starts_with("fc3") => name.replace("fc3.", "_orig_mod.fc3."),
        name => format!("backbone.{name}"),
    };
    save(&path("parts"), &plain.iter().map(|(name, tensor)| (of_parts(name), tensor.clone())).collect());
    assert!(
        noted("parts", "parts.safetensors")
            .contains(": _orig_mod.fc3.weight is taken as fc3.weight, backbone.conv1.weight is taken as conv1.weight")
    );
    let mut headless = wrapped("encoder.");
    headless.retain(|name, _| !name.contains("fc3"));
    save(&path("headless"), &headless);
    fail(
        &mut import("headless", "x", &tracked),
        2,
        &[
            "headless: no tensor 0.fc3.weight: the file has no other tensors where 0.fc3.weight, 0.fc3.bias are wanted; with the prefix \"encoder.\" \
             left out, 30 of the 32 wanted tensors are found",
        ],
    );
    // The copy under a prefix of another program's is left out beside the network itself.
    save(&path("copy"), &plain.clone().into_iter().chain(wrapped("ema.")).collect());
    let done = output(&mut import("copy", "copy.safetensors", &tracked));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("note: 22 tensors are not used: ema.bn1.bias, ema.bn1.weight, ema.bn2.bias and 19 more\n"), "{said}");
    assert_eq!(tensors(&path("copy.safetensors")), tensors(&path("plain.safetensors")));
    let both: BTreeMap<_, _> = wrapped("teacher.").into_iter().chain(wrapped("student.")).collect();
    save(&path("both"), &both);
    fail(
        &mut import("both", "x", &tracked),
        2,
        &["both: the network is there twice, as student.conv1.weight and as teacher.conv1.weight: leave one"],
    );

    // The data that the checkpoint will name is checked.
    fail(&mut import("plain", "x", &["--domains", "nope"]), 2, &["domains: the embedded data has no \"nope\"; it has mnist, optdigits"]);
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").display().to_string();
    fail(
        &mut import("plain", "x", &["--data-dir", &datasets, "--domains", "mnist,nope"]),
        2,
        &["there is no domain \"nope\"; choose from: mnist, optdigits"],
    );
    fail(&mut import("plain", "x", &["--data-dir", &text("nowhere")]), 2, &["nowhere: there is no such file or folder"]);
    fail(&mut import("plain", "x", &["--clients-file", &text("nowhere.csv")]), 2, &["nowhere.csv: there is no such file"]);

    // What is not used is counted.
    let done = output(&mut import("plain", "batch.safetensors", &[]));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert_eq!(told, "note: 10 tensors are not used: running statistics (running_mean, running_var); --bn-mode tracked keeps them\n");

    type Tensor = (Vec<usize>, Vec<f32>);
    let changed = |name: &str, change: &dyn Fn(&mut Tensor)| {
        let mut other = plain.clone();
        change(other.get_mut(name).expect("a tensor"));
        save(&path("changed"), &other);
    };
    changed("fc3.weight", &|(shape, _)| shape.reverse());
    fail(&mut import("changed", "x", &tracked), 2, &["tensor fc3.weight should have shape [10, 8] but has [8, 10]: it is transposed"]);
    changed("bn4.running_var", &|(_, values)| values[3] = -0.5);
    fail(&mut import("changed", "x", &tracked), 2, &["tensor bn4.running_var holds -0.5 at index 3: a variance is never below 0"]);
    changed("fc1.bias", &|(_, values)| values[1] = f32::NAN);
    fail(&mut import("changed", "x", &tracked), 2, &["tensor fc1.bias holds NaN at index 1"]);
    for (name, bytes, words) in [
        ("lfs", &b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"[..], "git lfs pull"),
        ("page.html", b"<!DOCTYPE html>\n<html></html>", "a web page (HTML)"),
        ("old.pth", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", "a Python pickle"),
        ("new.pt", b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl", "a PyTorch file (a zip archive, .pt or .pth)"),
    ] {
        std::fs::write(path(name), bytes).expect("written");
        fail(&mut import(name, "x", &[]), 2, &[name, words]);
        fail(&mut splitmix(&["eval", &text(name)]), 2, &[name, words]);
    }
    assert!(!path("x").exists());

    // Answers that are not finite are never shown.
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/data.png").display().to_string();
    let predict = |model: &str| splitmix(&["predict", &picture, "--model", &text(model)]);
    assert!(succeed(&mut predict("plain.safetensors")).contains('%'));
    changed("fc3.weight", &|(_, values)| values.fill(3e38));
    fail(&mut import("changed", "x", &tracked), 2, &["tensor fc3.weight holds 3e38 at index 0, too large to compute with"]);
    let mut huge = plain.clone();
    for name in ["fc2.weight", "fc3.weight"] {
        huge.get_mut(name).expect("a tensor").1.fill(1e19);
    }
    save(&path("huge"), &huge);
    succeed(&mut import("huge", "huge.safetensors", &tracked));
    fail(&mut predict("huge.safetensors"), 2, &["the model's answers reach"]);
    fail(&mut splitmix(&["eval", &text("huge.safetensors"), "--images-per-client", "4"]), 2, &["the model's answers reach"]);
    fail(
        &mut splitmix(&["mix", &text("huge.safetensors"), "--to", &text("mixed"), "--onnx", &text("mixed.onnx")]),
        2,
        &["huge.safetensors: the model's answers reach", "nothing is written"],
    );
    assert!(!path("mixed").exists() && !path("mixed.onnx").exists());
    succeed(&mut splitmix(&["mix", &text("plain.safetensors"), "--to", &text("mixed"), "--onnx", &text("mixed.onnx")]));

    // What is asked for beyond what there is.
    fail(predict("plain.safetensors").args(["--top", "0"]), 2, &["--top 0: it must be a whole number, at least 1"]);
    let said = |command: &mut Command| {
        let done = output(command);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stderr).to_string()
    };
    assert!(
        said(predict("plain.safetensors").args(["--top", "11"])).contains("note: top = 11: the model knows 10 classes, and all of them")
    );
    let wide = ["--context", "99999", "--domain", "optdigits"];
    assert!(
        said(predict("batch.safetensors").args(wide))
            .contains("note: context = 99999: the data has 597 test images for it, and all of them are used")
    );
    fail(
        &mut splitmix(&["eval", &text("plain.safetensors"), "--data-dir", "/tmp"]),
        2,
        &["inside the program, so --data-dir has no effect"],
    );
    fail(&mut splitmix(&["eval", &text("plain.safetensors"), "--attack", ""]), 2, &["attack: it has no value"]);
}
