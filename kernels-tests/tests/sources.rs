//! The sources as ARCHITECTURE.md draws them: which folder of `src/` uses which, and that the twins can be published beside the engine.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// What each folder may use, after those that it uses: so no two use each other. `error.rs` and `text.rs` are everybody's.
const MAY_USE: &[(&str, &[&str])] = &[
    ("net", &[]),
    ("kernels", &["net"]),
    ("plan", &["kernels", "net"]),
    ("gpu", &["kernels", "plan"]),
    ("engine", &["gpu", "kernels", "net", "plan"]),
    ("fl", &["net"]),
    ("data", &[]),
    ("run", &["data", "engine", "fl", "gpu", "kernels", "net"]),
    ("report", &["data", "fl", "net", "run"]),
    ("verify", &["engine", "gpu", "kernels", "net", "plan"]),
    ("bench", &["engine", "fl", "gpu", "kernels", "net", "plan", "run"]),
    ("cli", &["bench", "data", "engine", "fl", "gpu", "net", "report", "run", "verify"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let all = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// Modules of the crate that a file names, its unit tests and comments apart.
fn used(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let after = lines.flat_map(|line| line.split("crate::").skip(1));
    // Of `crate::{a, b}` every word counts.
    after
        .flat_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').take(if rest.starts_with('{') { usize::MAX } else { 1 }))
        .collect()
}

#[test]
fn folders_use_only_those_below_them() {
    let mut before = BTreeSet::new();
    for (folder, may) in MAY_USE {
        assert!(may.iter().all(|other| before.contains(other)), "{folder} stands before one that it may use");
        before.insert(*folder);
    }
    let folders = std::fs::read_dir(root().join("src")).expect("src/").map(|entry| entry.expect("an entry").path());
    let mut arrows = BTreeSet::new();
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_string();
        let (_, may) = MAY_USE.iter().find(|(own, _)| *own == name).unwrap_or_else(|| panic!("src/{name} is new: say what it may use"));
        for file in files(&folder) {
            let text = read_to_string(&file).expect("a text");
            for other in used(&text).into_iter().filter(|other| *other != name && before.contains(other)) {
                assert!(may.contains(&other), "{} uses src/{other}, which src/{name} may not", file.display());
                arrows.insert((name.clone(), other.to_string()));
            }
        }
    }
    for (folder, may) in MAY_USE {
        for other in *may {
            assert!(arrows.contains(&(folder.to_string(), other.to_string())), "src/{folder} no longer uses src/{other}: strike it here");
        }
    }
}

#[test]
fn the_twins_can_be_published_beside_the_engine() {
    let manifest = |path: &str| read_to_string(root().join(path)).expect("a manifest");
    let wanted = format!("kernels-tests = {{ path = \"kernels-tests\", version = \"{}\" }}", env!("CARGO_PKG_VERSION"));
    assert!(manifest("Cargo.toml").contains(&wanted), "the engine names its twins by path and version: {wanted}");
    let twins = manifest("kernels-tests/Cargo.toml");
    assert!(!twins.contains("publish = false"), "the engine cannot be published without them");
    // A version of the engine in its dev-dependencies would have to be published first, and that one wants the twins.
    assert!(twins.contains("splitmix-fl = { path = \"..\" }"), "{twins}");
}
