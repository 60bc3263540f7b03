//! Networks at full width as TOML describes them: those of the paper, in `networks/`, and a user's own.

use super::{Layer, Network, Shape};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A network at full width: what a TOML file of `networks/` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Its name.
    pub name: String,
    /// Channels, height and width of an image.
    pub input: [u32; 3],
    /// Its layers. The last is the classifier, a linear layer without a number of features: there is one for each class.
    pub layers: Vec<Layer>,
}

/// The built-in networks.
const BUILT_IN: [(&str, &str); 3] = [
    ("digits", include_str!("../../networks/digits.toml")),
    ("preact-resnet18", include_str!("../../networks/preact-resnet18.toml")),
    ("alexnet", include_str!("../../networks/alexnet.toml")),
];

impl Architecture {
    /// The paper's network of that name: `digits`, `preact-resnet18` or `alexnet`.
    pub fn built_in(name: &str) -> Option<Architecture> {
        let (_, text) = BUILT_IN.iter().find(|(n, _)| *n == name)?;
        Some(Architecture::from_toml(text).expect("the built-in networks are tested"))
    }

    /// Names of the built-in networks.
    pub fn names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// Reads a description in TOML, and checks it by building the full network.
    ///
    /// # Errors
    /// [`Error::Config`] with the line of what is no description, or naming the layer that does not fit.
    pub fn from_toml(text: &str) -> Result<Architecture> {
        let at_line = |(start, what): Fault| {
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            Error::Config(format!("line {line}: {what}"))
        };
        if let Some(fault) = fault_of(text) {
            return Err(at_line(fault));
        }
        let read: Architecture = toml::from_str(text).map_err(|e| {
            let message = e.message().lines().next().unwrap_or_default();
            at_line((e.span().map_or(0, |span| span.start), format!("this describes no network: {message}")))
        })?;
        let architecture = Architecture { layers: with_joined_relus(read.layers), ..read };
        match architecture.base(1, 1, 2) {
            Err(Error::Config(what)) => Err(match place_of_layer(text, &what) {
                Some(start) => at_line((start, what)),
                None => Error::Config(what),
            }),
            built => built.map(|_| architecture),
        }
    }

    /// Shape of an image.
    pub fn input(&self) -> Shape {
        let [channels, height, width] = self.input;
        Shape { channels, height, width }
    }

    /// The network at width `numerator / denominator`: `⌊r · width⌋` channels or features in every layer but the classifier.
    ///
    /// # Errors
    /// [`Error::Config`] naming a layer that has no channels left, or as [`Network::new`].
    pub fn base(&self, numerator: u32, denominator: u32, classes: u32) -> Result<Network> {
        self.slimmed(classes, |full| full * u64::from(numerator) / u64::from(denominator.max(1)), (numerator, denominator))
    }

    /// The same with `⌈r · width⌉` channels or features, as HeteroFL cuts its corners.
    ///
    /// # Errors
    /// As [`Architecture::base`].
    pub fn corner(&self, numerator: u32, denominator: u32, classes: u32) -> Result<Network> {
        let of = |full: u64| (full * u64::from(numerator)).div_ceil(u64::from(denominator.max(1)));
        self.slimmed(classes, of, (numerator, denominator))
    }

    fn slimmed(&self, classes: u32, of: impl Fn(u64) -> u64, width: (u32, u32)) -> Result<Network> {
        let mut layers = self.layers.clone();
        match layers.last_mut() {
            Some(Layer::Linear { out_features: out @ 0, .. }) => *out = classes,
            Some(Layer::Linear { .. }) => {
                let why = "the last layer has as many features as there are classes: leave its out-features out";
                return Err(Error::Config(format!("network {}: {why}", self.name)));
            }
            _ => {}
        }
        let last = layers.len().saturating_sub(1);
        for layer in &mut layers[..last] {
            self.slim(layer, &of, width)?;
        }
        Network::new(&self.name, self.input(), layers)
    }

    fn slim(&self, layer: &mut Layer, of: &impl Fn(u64) -> u64, width: (u32, u32)) -> Result<()> {
        let full = match layer {
            Layer::Conv2d { out_channels, .. } => *out_channels,
            Layer::Linear { out_features, .. } => *out_features,
            Layer::Residual { body, shortcut } => {
                return body.iter_mut().chain(shortcut).try_for_each(|l| self.slim(l, of, width));
            }
            _ => return Ok(()),
        };
        let slimmed = of(u64::from(full));
        if slimmed == 0 && full > 0 {
            return Err(Error::Config(format!(
                "network {}, layer {}: width {}/{} leaves none of its {full} channels: the narrowest is 1/{full}",
                self.name,
                layer.name(),
                width.0,
                width.1
            )));
        }
        match layer {
            Layer::Conv2d { out_channels: n, .. } | Layer::Linear { out_features: n, .. } => *n = slimmed as u32,
            _ => {}
        }
        Ok(())
    }
}

/// A place in a text, and what is wrong there.
type Fault = (usize, String);

/// The first entry of a description that cannot be right; nothing where the text is no TOML.
fn fault_of(text: &str) -> Option<Fault> {
    let whole = DeTable::parse(text).ok()?;
    let whole = whole.get_ref();
    for (key, value) in whole {
        let start = key.span().start;
        let shown = text.get(value.span()).unwrap_or_default();
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("name", DeValue::String(name)) if !name.is_empty() => {}
            ("name", _) => return Some((start, format!("name = {shown}: it must be text in quotes, not empty"))),
            ("input", DeValue::Array(sizes)) if sizes.len() == 3 && sizes.iter().all(|size| whole_number(size.get_ref()).is_some()) => {
                let sizes: Vec<u32> = sizes.iter().filter_map(|size| whole_number(size.get_ref())).collect();
                if sizes.contains(&0) || sizes[0] > 4 {
                    return Some((
                        start,
                        format!("input = {shown}: images have 1 to 4 channels, and sides of at least 1: write input = [3, 28, 28]"),
                    ));
                }
            }
            ("input", _) => {
                return Some((start, format!("input = {shown}: it must be channels, height and width: write input = [3, 28, 28]")));
            }
            ("layers", DeValue::Array(layers)) => {
                if let Some(fault) = layers.iter().find_map(|layer| fault_of_layer(text, layer)) {
                    return Some(fault);
                }
            }
            ("layers", _) => return Some((start, "layers: it must be a list of layers, as [{ type = \"linear\", name = \"fc\" }]".into())),
            (other, _) => return Some((start, format!("unknown key \"{other}\": a network has name, input and layers"))),
        }
    }
    let missing = ["name", "input", "layers"].into_iter().find(|key| !whole.iter().any(|(own, _)| own.get_ref() == key))?;
    Some((0, format!("it has no {missing}: a network has name, input and layers")))
}

/// Where the layer stands that an error names, if it has a name of its own.
fn place_of_layer(text: &str, error: &str) -> Option<usize> {
    fn find(layers: &DeValue, is: &impl Fn(&str) -> bool) -> Option<usize> {
        let DeValue::Array(layers) = layers else { return None };
        layers.iter().rev().find_map(|layer| {
            let DeValue::Table(keys) = layer.get_ref() else { return None };
            keys.iter().find_map(|(key, value)| match (key.get_ref().as_ref(), value.get_ref()) {
                ("name", DeValue::String(name)) if is(name) => Some(key.span().start),
                ("body" | "shortcut", inner) => find(inner, is),
                _ => None,
            })
        })
    }
    let whole = DeTable::parse(text).ok()?;
    let (_, layers) = whole.get_ref().iter().find(|(key, _)| key.get_ref() == "layers")?;
    // Of two layers of one name, the second is at fault.
    find(layers.get_ref(), &|name| error.contains(&format!(", layer {name}: ")))
}

fn whole_number(value: &DeValue) -> Option<u32> {
    let DeValue::Integer(number) = value else { return None };
    u32::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The same of one layer, and of those inside it.
fn fault_of_layer(text: &str, layer: &Spanned<DeValue>) -> Option<Fault> {
    // The keys of each type of layer; those before the bar are needed.
    const TYPES: [(&str, &str); 7] = [
        ("conv2d", "name out-channels kernel | stride padding bias"),
        ("batch-norm", "name | relu"),
        ("relu", "| name"),
        ("max-pool", "kernel stride | padding"),
        ("average-pool", "| height width"),
        ("linear", "name | out-features zero-bias"),
        ("residual", "body | shortcut"),
    ];
    let start = layer.span().start;
    let DeValue::Table(keys) = layer.get_ref() else {
        let shown = text.get(layer.span()).unwrap_or_default();
        return Some((start, format!("layers: {shown} is no layer: write for example {{ type = \"relu\" }}")));
    };
    let types = TYPES.map(|(name, _)| name).join(", ");
    let kind = keys.iter().find(|(key, _)| key.get_ref() == "type").map(|(_, value)| value.get_ref());
    let Some(DeValue::String(kind)) = kind else {
        return Some((start, format!("this layer has no type: write type = \"NAME\", one of {types}")));
    };
    let Some((_, all)) = TYPES.iter().find(|(name, _)| name == kind) else {
        return Some((start, format!("type = \"{kind}\": choose one of {types}")));
    };
    for (key, value) in keys {
        let (name, start) = (key.get_ref().as_ref(), key.span().start);
        let wanted = match (name, value.get_ref()) {
            ("name", DeValue::String(name)) if name.is_empty() => "text in quotes, not empty",
            ("type", _) | ("name", DeValue::String(_)) | ("bias" | "relu" | "zero-bias", DeValue::Boolean(_)) => continue,
            _ if !all.split(' ').any(|own| own == name && own != "|") => {
                let own: Vec<&str> = all.split(' ').filter(|own| *own != "|").collect();
                return Some((start, format!("unknown key \"{name}\": a {kind} layer has {}", own.join(", "))));
            }
            ("body" | "shortcut", DeValue::Array(layers)) => match layers.iter().find_map(|layer| fault_of_layer(text, layer)) {
                Some(fault) => return Some(fault),
                None => continue,
            },
            ("body" | "shortcut", _) => "a list of layers",
            ("name", _) => "text in quotes",
            ("bias" | "relu" | "zero-bias", _) => "true or false, without quotes",
            // A linear layer of 0 features is the classifier, as if they were left out.
            ("padding" | "out-features", value) if whole_number(value).is_some() => continue,
            (_, value) => match whole_number(value) {
                Some(0) => "at least 1",
                Some(_) => continue,
                None => "a whole number, without quotes",
            },
        };
        return Some((start, format!("{name} = {}: it must be {wanted}", text.get(value.span()).unwrap_or_default())));
    }
    let needed = all.split('|').next().unwrap_or_default();
    let missing = needed.split_whitespace().find(|needed| !keys.iter().any(|(key, _)| key.get_ref() == needed))?;
    Some((start, format!("a {kind} layer needs {missing}, which is missing here")))
}

/// ReLUs right after a batch norm become part of it.
fn with_joined_relus(layers: Vec<Layer>) -> Vec<Layer> {
    let mut joined: Vec<Layer> = Vec::new();
    for layer in layers {
        match (joined.last_mut(), layer) {
            (Some(Layer::BatchNorm { relu, .. }), Layer::Relu) => *relu = true,
            (_, Layer::Residual { body, shortcut }) => {
                joined.push(Layer::Residual { body: with_joined_relus(body), shortcut: with_joined_relus(shortcut) });
            }
            (_, layer) => joined.push(layer),
        }
    }
    joined
}

/// The Digits CNN at width `numerator / denominator`.
///
/// # Errors
/// As [`Architecture::base`].
pub fn digits(numerator: u32, denominator: u32, classes: u32) -> Result<Network> {
    Architecture::built_in("digits").expect("built in").base(numerator, denominator, classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Architecture {
        Architecture::built_in(name).unwrap()
    }

    /// Counted by hand from the layers of the paper's appendix, in PyTorch's way.
    #[test]
    fn the_papers_networks_have_their_size_at_every_width() {
        let sizes = |name: &str| {
            [(1, 8), (1, 4), (1, 2), (1, 1)].map(|(n, d)| of(name).base(n, d, 10).map(|b| (b.macs(), b.parameters())).unwrap())
        };
        assert_eq!(sizes("digits")[0], (1_158_528, 224_194));
        assert_eq!(sizes("digits")[3].1, 14_219_210);
        assert_eq!(sizes("preact-resnet18")[3].1, 11_172_170);
        for name in Architecture::names() {
            let sizes = sizes(name);
            // Twice the width is about four times the work.
            assert!(sizes.windows(2).all(|w| w[1].0 > 3 * w[0].0 && w[1].1 > 3 * w[0].1), "{name}: {sizes:?}");
        }
    }

    #[test]
    fn a_description_that_cannot_be_read_is_told_by_line_and_key() {
        let text = include_str!("../../networks/digits.toml");
        for (from, to, said) in [
            ("kernel = 5", "kernel = \"3\"", "line 5: kernel = \"3\": it must be a whole number, without quotes"),
            ("kernel = 5", "kernel = -5", "line 5: kernel = -5: it must be a whole number, without quotes"),
            (
                "kernel = 5",
                "kernl = 5",
                "line 5: unknown key \"kernl\": a conv2d layer has name, out-channels, kernel, stride, padding, bias",
            ),
            (
                "\"conv2d\", name = \"conv2\"",
                "\"conv\", name = \"conv2\"",
                "line 8: type = \"conv\": choose one of conv2d, batch-norm, relu, max-pool, average-pool, linear, residual",
            ),
            ("name = \"conv2\", ", "", "line 8: a conv2d layer needs name, which is missing here"),
            ("name = \"digits\"\n", "", "line 1: it has no name: a network has name, input and layers"),
            ("[3, 28, 28]", "[3, 28]", "line 3: input = [3, 28]: it must be channels, height and width: write input = [3, 28, 28]"),
            ("layers =", "layer =", "line 4: unknown key \"layer\": a network has name, input and layers"),
            ("kernel = 5", "kernel = 0", "line 5: kernel = 0: it must be at least 1"),
            ("out-channels = 64", "out-channels = 0", "line 5: out-channels = 0: it must be at least 1"),
            ("kernel = 2, stride = 2", "kernel = 2, stride = 0", "line 7: stride = 0: it must be at least 1"),
            (
                "[3, 28, 28]",
                "[0, 28, 28]",
                "line 3: input = [0, 28, 28]: images have 1 to 4 channels, and sides of at least 1: write input = [3, 28, 28]",
            ),
            (
                "[3, 28, 28]",
                "[28, 28, 3]",
                "line 3: input = [28, 28, 3]: images have 1 to 4 channels, and sides of at least 1: write input = [3, 28, 28]",
            ),
            ("padding = 2", "padding = 7", "line 5: network digits, layer conv1: padding = 7: it must be less than the kernel, 5"),
            ("\"conv2\"", "\"conv1\"", "line 8: network digits, layer conv1: another layer has this name"),
            ("\"conv2\"", "\"\"", "line 8: name = \"\": it must be text in quotes, not empty"),
            ("kernel = 2", "kernel = 20", "network digits, layer max_pool: kernel = 20: it must be from 1 to 15"),
        ] {
            let error = Architecture::from_toml(&text.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.to_string(), said);
        }
        let nested = "name = \"x\"\ninput = [3, 8, 8]\nlayers = [{ type = \"residual\", body = [\n{ type = \"max-pool\", kernel = 2 }] }]";
        let error = Architecture::from_toml(nested).unwrap_err();
        assert_eq!(error.to_string(), "line 4: a max-pool layer needs stride, which is missing here");
    }

    #[test]
    fn too_narrow_is_told() {
        let told = digits(1, 65, 10).unwrap_err().to_string();
        assert!(told.contains("1/65") && told.contains("conv1") && told.contains("1/64"), "{told}");
    }

    #[test]
    fn shapes_of_the_papers_networks() {
        let resnet = of("preact-resnet18").base(1, 8, 10).unwrap();
        assert_eq!(resnet.layers.iter().filter(|l| matches!(l, Layer::Conv2d { .. })).count(), 20);
        assert_eq!(resnet.layers.iter().filter(|l| matches!(l, Layer::Residual { .. })).count(), 8);
        let pooled = resnet.shapes[resnet.layers.len() - 2];
        assert_eq!(pooled, Shape { channels: 64, height: 1, width: 1 });
        let alexnet = of("alexnet").base(1, 8, 10).unwrap();
        let sides: Vec<u32> = alexnet.shapes.iter().map(|s| s.height).collect();
        assert_eq!(sides, [63, 63, 31, 31, 31, 15, 15, 15, 15, 15, 15, 15, 7, 6, 1, 1, 1, 1, 1]);
        // The classifier's bias starts at 0, others at random.
        let fan_in = |net: &Network, name: &str| net.tensor(name).unwrap().fan_in;
        assert_eq!(fan_in(&resnet, "fc.bias"), 0);
        assert_eq!(fan_in(&alexnet, "classifier.fc3.bias"), 512);
    }

    #[test]
    fn mistakes_are_told_by_layer() {
        let told = |layers: &str| {
            let text = format!("name = \"mine\"\ninput = [3, 8, 8]\nlayers = [{layers}]");
            Architecture::from_toml(&text).unwrap_err().to_string()
        };
        let conv = "{ type = \"conv2d\", name = \"a\", out-channels = 4, kernel = 3, padding = 1 }";
        let wide = "{ type = \"conv2d\", name = \"b\", out-channels = 8, kernel = 3, padding = 1 }";
        let fc = "{ type = \"linear\", name = \"fc\" }";
        let residual = |body: &str| format!("{conv}, {{ type = \"residual\", body = [{body}] }}, {fc}");
        for (layers, want) in [
            (format!("{conv}, {{ type = \"max-pool\", kernel = 9, stride = 1 }}, {fc}"), "layer max_pool: a 9×9 window does not fit 8×8"),
            (format!("{conv}, {{ type = \"average-pool\", height = 9 }}, {fc}"), "layer average_pool: 9×1 cannot be pooled of 8×8"),
            (residual(wide), "layer residual: the body leaves 8×8×8, the shortcut 4×8×8"),
            (residual(""), "layer residual: its body has no layers"),
            (format!("{conv}, {conv}, {fc}"), "layer a: another layer has this name"),
            (fc.to_string(), "layer fc: only a convolution can read the images"),
            (conv.to_string(), "the last layer must be the linear classifier"),
            (format!("{conv}, {{ type = \"linear\", name = \"fc\", out-features = 10 }}"), "leave its out-features out"),
            (format!("{conv}, {{ type = \"linear\", name = \"h\" }}, {fc}"), "layer h: needs at least one output"),
            (
                format!("{conv}, {{ type = \"linear\", name = \"h\", out-features = 100000000 }}, {fc}"),
                "layer h: with it the network has 2³² parameters",
            ),
            (conv.replace("= 4,", "= 4294967295,") + ", " + fc, "layer a: its output of 4294967295×8×8 has 2³² values"),
            (conv.replace("= 3,", "= 4294967295,").replace("= 1 ", "= 4294967294 ") + ", " + fc, "layer a: a 4294967295×4294967295 kernel"),
            (format!("{conv}, {{ type = \"dropout\" }}, {fc}"), "type = \"dropout\": choose one of conv2d, batch-norm, relu"),
            (
                format!("{conv}, {{ type = \"max-pool\", kernel = 2, stride = 2, dilation = 2 }}, {fc}"),
                "unknown key \"dilation\": a max-pool layer",
            ),
        ] {
            let told = told(&layers);
            assert!(told.contains(want), "{told}\nwanted: {want}");
        }
        let image = format!("name = \"mine\"\ninput = [3, 65536, 65536]\nlayers = [{conv}, {fc}]");
        assert!(Architecture::from_toml(&image).unwrap_err().to_string().contains("an image of 3×65536×65536"));
    }

    #[test]
    fn a_relu_after_a_batch_norm_is_part_of_it() {
        let text = r#"
            name = "mine"
            input = [1, 8, 8]
            [[layers]]
            type = "conv2d"
            name = "conv"
            out-channels = 8
            kernel = 3
            [[layers]]
            type = "batch-norm"
            name = "bn"
            relu = false
            [[layers]]
            type = "relu"
            [[layers]]
            type = "linear"
            name = "fc"
        "#;
        let mine = Architecture::from_toml(text).unwrap();
        assert_eq!(mine.layers[1], Layer::BatchNorm { name: "bn".into(), relu: true });
        assert_eq!(mine.layers.len(), 3);
        // As a checkpoint keeps it.
        let json = serde_json::to_string(&mine).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), mine);
    }
}
