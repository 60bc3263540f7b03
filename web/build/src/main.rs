//! Makes `web/dist` of the compiled WebAssembly: the JavaScript package with its TypeScript types, and the page around it.
//! Called by `web/build.sh`: `splitmix-web-build WASM-FILE`.

use splitmix_fl::fl::algorithms::options::MethodOption;
use splitmix_fl::run::config::{Names, Widths};
use splitmix_fl::run::{TrainConfig, TrainOverrides};
use std::any::TypeId;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of npm packages that the page takes, and the types that it is checked with: package, file, name in `vendor/`.
/// All code ends in `.js`: not every file server knows `.mjs` for JavaScript.
const VENDOR: [(&str, &str, &str); 8] = [
    ("comlink", "dist/esm/comlink.min.mjs", "comlink.js"),
    ("comlink", "dist/esm/comlink.d.ts", "comlink.d.ts"),
    ("comlink", "dist/esm/protocol.d.ts", "protocol.d.ts"),
    ("idb-keyval", "dist/index.js", "idb-keyval.js"),
    ("idb-keyval", "dist/index.d.ts", "idb-keyval.d.ts"),
    ("uplot", "dist/uPlot.esm.js", "uplot.js"),
    ("uplot", "dist/uPlot.d.ts", "uplot.d.ts"),
    ("uplot", "dist/uPlot.min.css", "uplot.css"),
];

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Done {
    let wasm = std::env::args_os().nth(1).ok_or("name the WebAssembly file: web/build.sh does")?;
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the folder web/ is gone")?;
    let dist = web.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    let package = dist.join("splitmix");
    copy_all(&web.join("page"), &dist)?;
    copy_all(&web.join("package"), &package)?;
    bind(Path::new(&wasm), &package)?;
    let types = package.join("splitmix.d.ts");
    let declared = fs::read_to_string(&types)?;
    fs::write(&types, declared + &train_options()?)?;
    for (name, file, called) in VENDOR {
        let (from, vendor) = (web.join("node_modules").join(name), dist.join("vendor"));
        copy(&from.join(file), &vendor.join(called)).map_err(|error| format!("{error}; run: npm ci --prefix web"))?;
        copy(&license(&from)?, &vendor.join(format!("{name}.LICENSE")))?;
    }
    copy(&web.join("..").join("LICENSE"), &package.join("LICENSE"))?;
    Ok(())
}

/// The JavaScript side of the WebAssembly.
fn bind(wasm: &Path, package: &Path) -> Done {
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(wasm).out_name("splitmix").typescript(true).omit_default_module_path(false).remove_producers_section(true);
    bindgen.web(true)?.generate(package)?;
    Ok(())
}

/// TypeScript of the options of a training run, from the one list that the command line's flags are made from.
fn train_options() -> Done<String> {
    let command = <TrainOverrides as clap::Args>::augment_args(clap::Command::new("options"));
    let defaults = serde_json::to_value(TrainConfig::default())?;
    let mut text =
        "\n/** Options of a training run: those of the command line's `train` that mean something in a browser, in camelCase. */\nexport interface TrainOptions {\n"
            .to_string();
    for key in splitmix_web::option_keys() {
        let argument = command.get_arguments().find(|a| a.get_long() == Some(key.as_str())).ok_or(format!("no flag --{key}"))?;
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let own = MethodOption::of(&key).map(|option| serde_json::to_value(option.default())).transpose()?;
        let default = defaults.get(&key).or(own.as_ref());
        let about = default.map_or(String::new(), |default| format!("\n   * @defaultValue `{default}`"));
        let value = argument.get_value_parser().type_id();
        let kind = if value == TypeId::of::<bool>() {
            "boolean"
        } else if value == TypeId::of::<usize>() || value == TypeId::of::<u64>() || value == TypeId::of::<f64>() {
            "number"
        } else if value == TypeId::of::<Names>() || value == TypeId::of::<Widths>() {
            "string[]"
        } else {
            "string"
        };
        writeln!(text, "  /**\n   * {}{about}\n   */\n  {}?: {kind};", help.replace('\n', "\n   * "), splitmix_web::option_name(&key))?;
    }
    Ok(text + "}\n")
}

fn license(package: &Path) -> Done<PathBuf> {
    let mut files = fs::read_dir(package)?.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().to_uppercase().starts_with("LICEN"));
    files.find(named).ok_or_else(|| format!("{} has no licence file", package.display()).into())
}

fn copy(from: &Path, to: &Path) -> Done {
    let cannot = |error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    fs::copy(from, to).map_err(cannot)?;
    Ok(())
}

/// All files of a folder, as they lie.
fn copy_all(from: &Path, to: &Path) -> Done {
    for entry in fs::read_dir(from).map_err(|error| format!("cannot read {}: {error}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().ok_or("a file has a name")?);
        if path.is_dir() { copy_all(&path, &target)? } else { copy(&path, &target)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_types_of_their_values() {
        let types = train_options().unwrap();
        let all =
            ["clientsPerRound?: number", "lr?: number", "seed?: number", "selfBalancing?: boolean", "flip?: boolean", "method?: string"];
        for line in all.into_iter().chain(["domains?: string[]", "widths?: string[]", "memoryLimit?: string"]) {
            assert!(types.contains(&format!("\n  {line};\n")), "{line} in {types}");
        }
        assert!(types.contains("@defaultValue `\"cos\"`") && types.contains("`fedavg` (one network of one width"), "{types}");
        assert!(!types.contains("dataDir"), "{types}");
    }
}
