// Batch normalisation and ReLU, backward through the batch statistics, for every lane at once. With x̂ = (z − mean) / √(var + ε),
// m = valid samples × pixels and dy masked to 0 where the ReLU was shut:
//
//   partial, merge: dβ[c] = Σ dy,   dγ[c] = Σ dy · x̂                    (two stages, parts in their order)
//   data:           dz = scale · γ / √(var + ε) · (dy − dβ / m − x̂ · dγ / m)     (in place of dy)
//
// The factor `scale` is the layer correction's (1/r in training), so that dz is the gradient of the plain convolution.
// partial: one invocation a (part, channel block); merge: a channel block; data: an image row × 4 channels.

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
  width: u32,
  z_row: u32,    // layout of z, in vec4
  z_image: u32,
  z_origin: u32,
  row: u32,      // layout of dy and dz, in vec4
  image: u32,
  origin: u32,
  rows_per_part: u32,
  parts: u32,
  parameter_stride: u32,
  weight: u32,   // γ, in vec4
  bias: u32,     // β
  relu: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;

// What reached this side of the ReLU: dy where it was open. The forward's own expression decides, to the bit.
fn through_relu(g: vec4<f32>, x_hat: vec4<f32>, weight: vec4<f32>, bias: vec4<f32>) -> vec4<f32> {
  if (params.relu == 0u) {
    return g;
  }
  return select(vec4<f32>(0.0), g, fma(x_hat, weight, bias) > vec4<f32>(0.0));
}

@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> dy: array<vec4<f32>>;
// [lane][part][block] of (Σ dy, Σ dy·x̂)
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn partial(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let part = id.x / params.blocks;
  let rows = batch_sizes[lanes[lane].x] * params.height;
  let first = part * params.rows_per_part;
  if (first >= rows) {
    return;
  }
  let last = min(first + params.rows_per_part, rows);
  let theta = lanes[lane].y * params.parameter_stride + block;
  let weight = parameters[theta + params.weight];
  let bias = parameters[theta + params.bias];
  let mean = moments[(lane * params.blocks + block) * 2u];
  let deviation = moments[(lane * params.blocks + block) * 2u + 1u];
  var sum = vec4<f32>(0.0);
  var product = vec4<f32>(0.0);
  for (var r = first; r < last; r++) {
    let n = lane * params.batch + r / params.height;
    let line = r % params.height;
    let z_start = n * params.z_image + params.z_origin + line * params.z_row + block;
    let start = n * params.image + params.origin + line * params.row + block;
    for (var x = 0u; x < params.width; x++) {
      let x_hat = (z[z_start + x * params.blocks] - mean) * deviation;
      let g = through_relu(dy[start + x * params.blocks], x_hat, weight, bias);
      sum += g;
      product = fma(g, x_hat, product);
    }
  }
  let index = ((lane * params.parts + part) * params.blocks + block) * 2u;
  partials[index] = sum;
  partials[index + 1u] = product;
}

@group(0) @binding(3) var<storage, read> parts: array<vec4<f32>>;
// [lane][block] of (Σ dy, Σ dy·x̂)
@group(0) @binding(4) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn merge(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let rows = batch_sizes[lanes[lane].x] * params.height;
  var sum = vec4<f32>(0.0);
  var product = vec4<f32>(0.0);
  for (var part = 0u; part * params.rows_per_part < rows; part++) {
    let index = ((lane * params.parts + part) * params.blocks + block) * 2u;
    sum += parts[index];
    product += parts[index + 1u];
  }
  sums[(lane * params.blocks + block) * 2u] = sum;
  sums[(lane * params.blocks + block) * 2u + 1u] = product;
  gradient[lane * params.parameter_stride + params.bias + block] = sum;
  gradient[lane * params.parameter_stride + params.weight + block] = product;
}

@group(0) @binding(6) var<storage, read> totals: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> dz: array<vec4<f32>>;

@compute @workgroup_size(64)
fn data(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.height;
  let n = id.x / (params.blocks * params.height);
  let valid = batch_sizes[lanes[lane].x];
  if (n >= valid) {
    return;
  }
  let theta = lanes[lane].y * params.parameter_stride + block;
  let weight = parameters[theta + params.weight];
  let bias = parameters[theta + params.bias];
  let index = (lane * params.blocks + block) * 2u;
  let sample = lane * params.batch + n;
  let mean = moments[index];
  let deviation = moments[index + 1u];
  let m = f32(valid * params.height * params.width);
  let mean_dy = totals[index] / m;
  let mean_product = totals[index + 1u] / m;
  let factor = weight * deviation * params.scale;
  let z_start = sample * params.z_image + params.z_origin + line * params.z_row + block;
  let start = sample * params.image + params.origin + line * params.row + block;
  for (var x = 0u; x < params.width; x++) {
    let x_hat = (z[z_start + x * params.blocks] - mean) * deviation;
    let g = through_relu(dz[start + x * params.blocks], x_hat, weight, bias);
    dz[start + x * params.blocks] = (g - mean_dy - x_hat * mean_product) * factor;
  }
}
