//! A mixed model as an ONNX file: for ONNX Runtime, in a program, on a phone or in a browser.
//!
//! Input `images`, `[n, channels, height, width]` in [0, 1]; output `logits`, `[n, classes]`: the mean of the bases' logits. Operator set 17.

use super::checkpoint::{Checkpoint, Mixed, tensor_name};
use super::config::BnMode;
use crate::kernels::EPSILON;
use crate::net::{Layer, Network};
use crate::{Error, Result};
use prost::Message;

/// Version of the operator set that the file asks for.
const OPSET: i64 = 17;

/// The bytes of an ONNX file of a mixed model.
///
/// # Errors
/// [`Error::Config`] for a checkpoint that is no mixed model, or one that normalises by the batch, which ONNX cannot.
pub fn to_onnx(network: &Network, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let header = &checkpoint.header;
    let Some(mixed) = &header.mixed else {
        return Err(Error::Config("only a mixed model, of one width, has an ONNX form: make one with splitmix mix".into()));
    };
    if header.bn_mode() == BnMode::Batch {
        return Err(Error::Config(
            "a model that normalises by the statistics of each batch has no ONNX form: train with bn-mode tracked or post".into(),
        ));
    }
    let mut graph = Graph { name: network.name.clone(), ..Graph::default() };
    let (mut logits, mut constants) = (Vec::new(), Vec::new());
    for base in 0..header.bases {
        // Names of the layers' outputs.
        let mut outputs: Vec<String> = Vec::new();
        for (i, layer) in network.layers.iter().enumerate() {
            let name = |what: &str| format!("{base}.{i}.{what}");
            let mut add = |op: &str, inputs: Vec<String>, attributes: Vec<Attribute>| {
                let taken = graph.node.iter().rev().any(|n| n.output[0] == name(op));
                let output = if taken { name(&format!("{op}.2")) } else { name(op) };
                graph.node.push(Node {
                    input: inputs,
                    output: vec![output.clone()],
                    name: output.clone(),
                    op_type: op.into(),
                    attribute: attributes,
                });
                output
            };
            let mut read = network.sources[i].iter().map(|s| s.map_or("images".to_string(), |from| outputs[from].clone()));
            let current = read.next().expect("a layer reads something");
            let parameter = |suffix: &str| tensor_name(base, &format!("{}.{suffix}", layer.name()));
            let output = match layer {
                Layer::Conv2d { kernel, stride, padding, bias, .. } => {
                    let mut inputs = vec![current, parameter("weight")];
                    inputs.extend(bias.then(|| parameter("bias")));
                    let attributes = vec![
                        Attribute::ints("kernel_shape", &[*kernel; 2]),
                        Attribute::ints("strides", &[*stride; 2]),
                        Attribute::ints("pads", &[*padding; 4]),
                    ];
                    add("Conv", inputs, attributes)
                }
                Layer::BatchNorm { relu, .. } => {
                    let inputs = [current].into_iter().chain(["weight", "bias", "running_mean", "running_var"].map(parameter)).collect();
                    let out = add("BatchNormalization", inputs, vec![Attribute::float("epsilon", EPSILON)]);
                    if *relu { add("Relu", vec![out], vec![]) } else { out }
                }
                Layer::MaxPool { kernel, stride, padding } => {
                    let attributes = vec![
                        Attribute::ints("kernel_shape", &[*kernel; 2]),
                        Attribute::ints("strides", &[*stride; 2]),
                        Attribute::ints("pads", &[*padding; 4]),
                    ];
                    add("MaxPool", vec![current], attributes)
                }
                Layer::Relu => add("Relu", vec![current], vec![]),
                Layer::AveragePool { height: 1, width: 1 } => add("GlobalAveragePool", vec![current], vec![]),
                // ONNX has no adaptive pooling: a matrix from the left for the rows, one from the right for the columns.
                Layer::AveragePool { height, width } => {
                    let from = network.input_of(i);
                    let [rows, columns] = ["rows", "columns"].map(|side| format!("{base}.{i}.{side}"));
                    let matrix = |outer: u32, inner: u32, share: &dyn Fn(u32, u32) -> f32| -> Vec<f32> {
                        (0..outer).flat_map(|o| (0..inner).map(move |i| share(o, i))).collect()
                    };
                    let by_rows = matrix(*height, from.height, &|bin, pixel| share_of_bin(bin, pixel, from.height, *height));
                    let by_columns = matrix(from.width, *width, &|pixel, bin| share_of_bin(bin, pixel, from.width, *width));
                    constants.push(Tensor::of(&rows, &[*height, from.height], &by_rows));
                    constants.push(Tensor::of(&columns, &[from.width, *width], &by_columns));
                    let pooled = add("MatMul", vec![rows, current], vec![]);
                    add("MatMul", vec![pooled, columns], vec![])
                }
                Layer::Residual { .. } => add("Add", [current].into_iter().chain(read).collect(), vec![]),
                Layer::Linear { .. } => {
                    let flat = if is_row(network, network.sources[i][0]) { current } else { add("Flatten", vec![current], vec![]) };
                    add("Gemm", vec![flat, parameter("weight"), parameter("bias")], vec![Attribute::int("transB", 1)])
                }
            };
            outputs.push(output);
        }
        logits.extend(outputs.pop());
    }
    graph.node.push(Node { input: logits, output: vec!["logits".into()], name: "mean".into(), op_type: "Mean".into(), attribute: vec![] });
    let parameters = checkpoint.tensors.iter().map(|(name, t)| {
        let shape: Vec<u32> = t.shape.iter().map(|n| *n as u32).collect();
        Tensor::of(name, &shape, &t.data)
    });
    graph.initializer = parameters.chain(constants).collect();
    let input = network.input;
    graph.input = vec![ValueInfo::new("images", &[input.channels, input.height, input.width])];
    graph.output = vec![ValueInfo::new("logits", &[network.classes])];
    let model = Model {
        ir_version: 8,
        producer_name: "splitmix".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: describe(mixed),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    Ok(model.encode_to_vec())
}

/// Whether what a layer leaves is a row of features in ONNX, and not an image, be it of one pixel.
fn is_row(network: &Network, layer: Option<usize>) -> bool {
    layer.is_some_and(|i| match network.layers[i] {
        Layer::Linear { .. } => true,
        Layer::BatchNorm { .. } | Layer::Relu | Layer::Residual { .. } => is_row(network, network.sources[i][0]),
        Layer::Conv2d { .. } | Layer::MaxPool { .. } | Layer::AveragePool { .. } => false,
    })
}

/// What a pixel counts in a bin of adaptive average pooling along one side.
fn share_of_bin(bin: u32, pixel: u32, inputs: u32, outputs: u32) -> f32 {
    let held = bin * inputs / outputs..((bin + 1) * inputs).div_ceil(outputs);
    if held.contains(&pixel) { 1.0 / held.len() as f32 } else { 0.0 }
}

fn describe(mixed: &Mixed) -> String {
    let Mixed { width, lambda, order, client } = mixed;
    let client = client.as_ref().map_or(String::new(), |c| format!(", batch norms of client {c}"));
    format!("Split-Mix model of width {width}, lambda {lambda}, bases {order:?}{client}; images in [0, 1]")
}

/// The messages of ONNX that are used here, by the field numbers of `onnx.proto3`.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(string, tag = "6")]
    doc_string: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl Attribute {
    fn float(name: &str, value: f32) -> Attribute {
        Attribute { name: name.into(), f: Some(value), kind: 1, ..Attribute::default() }
    }

    fn int(name: &str, value: i64) -> Attribute {
        Attribute { name: name.into(), i: Some(value), kind: 2, ..Attribute::default() }
    }

    fn ints(name: &str, values: &[u32]) -> Attribute {
        Attribute { name: name.into(), ints: values.iter().map(|v| i64::from(*v)).collect(), kind: 7, ..Attribute::default() }
    }
}

/// The data type of 32-bit floats.
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

impl Tensor {
    fn of(name: &str, shape: &[u32], data: &[f32]) -> Tensor {
        let raw_data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor { dims: shape.iter().map(|n| i64::from(*n)).collect(), data_type: FLOAT, name: name.into(), raw_data }
    }
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

impl ValueInfo {
    /// A tensor `[n, …]` of floats.
    fn new(name: &str, shape: &[u32]) -> ValueInfo {
        let fixed = shape.iter().map(|n| Dimension { value: Some(i64::from(*n)), name: None });
        let dim = [Dimension { value: None, name: Some("n".into()) }].into_iter().chain(fixed).collect();
        ValueInfo { name: name.into(), kind: Some(Type { tensor: Some(TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) }) }) }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}
