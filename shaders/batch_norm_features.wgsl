// Batch normalisation and ReLU of a linear layer's features, for every lane at once: what batch_norm_statistics,
// batch_norm_forward and batch_norm_backward do for images, each direction in one dispatch. One invocation takes four
// features over the whole batch, samples in their order.
//
//   forward:  moments[lane][c] = (mean, 1 / √(var + ε), var · m / (m − 1));  y[lane][n][c] = max(0, γ[c] · x̂ + β[c])      (the max where relu = 1)
//   backward: dβ[c] = Σ g,  dγ[c] = Σ g · x̂,  dz = scale · γ / √(var + ε) · (g − dβ / m − x̂ · dγ / m)      (in place of dy)
//
// With RUNNING = 1 the moments are given and no statistics of the batch: the forward leaves them as they are, and the backward
// does not differentiate through them, dz = scale · γ / √(var + ε) · g, nor writes dβ and dγ.

const RUNNING: u32 = 0u;

struct Params {
  batch: u32,
  blocks: u32,
  parameter_stride: u32,
  weight: u32,   // γ, in vec4
  bias: u32,     // β
  relu: u32,
  scale: f32,    // backward: the layer correction
  epsilon: f32,
  moment_blocks: u32, // a lane's moments: of all layers, in records
  moment_first: u32,  // this layer's first
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>; // a row a lane

// [lane][block of any layer] of (mean, reciprocal standard deviation, unbiased variance)
@group(0) @binding(5) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

// import is_nan

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let valid = batch_sizes[lanes[lane].x];
  let theta = lane * params.parameter_stride + block;
  let place = (lane * params.moment_blocks + params.moment_first + block) * 3u;
  let start = lane * params.batch * params.blocks + block;
  var mean = vec4<f32>(0.0);
  var deviation = vec4<f32>(0.0);
  if (RUNNING == 1u) {
    mean = moments[place];
    deviation = moments[place + 1u];
  } else {
    let count = f32(max(valid, 1u));
    for (var n = 0u; n < valid; n++) {
      mean += z[start + n * params.blocks];
    }
    mean /= count;
    var squares = vec4<f32>(0.0);
    for (var n = 0u; n < valid; n++) {
      let d = z[start + n * params.blocks] - mean;
      squares = fma(d, d, squares);
    }
    deviation = inverseSqrt(squares / count + params.epsilon);
    moments[place] = mean;
    moments[place + 1u] = deviation;
    moments[place + 2u] = squares / max(count - 1.0, 1.0);
  }
  let weight = parameters[theta + params.weight];
  let bias = parameters[theta + params.bias];
  for (var n = 0u; n < valid; n++) {
    let x_hat = (z[start + n * params.blocks] - mean) * deviation;
    var out = fma(x_hat, weight, bias);
    if (params.relu == 1u) {
      // Not max: it may drop a NaN, and a diverged lane would look sound.
      out = select(out, vec4<f32>(0.0), (out < vec4<f32>(0.0)) & !is_nan(out));
    }
    y[start + n * params.blocks] = out;
  }
}

@group(0) @binding(5) var<storage, read> statistics: array<vec4<f32>>; // moments
@group(0) @binding(6) var<storage, read_write> dz: array<vec4<f32>>; // in: dy
@group(0) @binding(7) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let valid = batch_sizes[lanes[lane].x];
  let theta = lane * params.parameter_stride + block;
  let place = (lane * params.moment_blocks + params.moment_first + block) * 3u;
  let start = lane * params.batch * params.blocks + block;
  let mean = statistics[place];
  let deviation = statistics[place + 1u];
  let weight = parameters[theta + params.weight];
  let bias = parameters[theta + params.bias];
  var sum = vec4<f32>(0.0);
  var product = vec4<f32>(0.0);
  if (RUNNING == 0u) {
    for (var n = 0u; n < valid; n++) {
      let x_hat = (z[start + n * params.blocks] - mean) * deviation;
      var g = dz[start + n * params.blocks];
      if (params.relu == 1u) {
        // The forward's own expression decides, to the bit.
        g = select(vec4<f32>(0.0), g, fma(x_hat, weight, bias) > vec4<f32>(0.0));
      }
      sum += g;
      product = fma(g, x_hat, product);
    }
    gradient[theta + params.bias] = sum;
    gradient[theta + params.weight] = product;
  }
  let count = f32(max(valid, 1u));
  let factor = weight * deviation * params.scale;
  for (var n = 0u; n < valid; n++) {
    let x_hat = (z[start + n * params.blocks] - mean) * deviation;
    var g = dz[start + n * params.blocks];
    if (params.relu == 1u) {
      g = select(vec4<f32>(0.0), g, fma(x_hat, weight, bias) > vec4<f32>(0.0));
    }
    dz[start + n * params.blocks] = (g - sum / count - x_hat * (product / count)) * factor;
  }
}
