// Batch normalisation, ReLU and max-pooling, backward through the batch statistics, for every lane at once. With
// x̂ = (z − mean) / √(var + ε), m = valid samples × pixels, and g the gradient of the normalised image: dy at the first
// maximum of each POOL × POOL window where the ReLU was open, 0 elsewhere:
//
//   sums: dβ[c] = Σ g,   dγ[c] = Σ g · x̂
//   data: dz = scale · γ / √(var + ε) · (g − dβ / m − x̂ · dγ / m)
//
// The factor `scale` is the layer correction's (1/r in training), so that dz is the gradient of the plain convolution.
// With RUNNING = 1 the statistics are not the batch's, and nothing flows through them: data alone is run, on the moments in
// place of the sums, and dz = scale · γ / √(var + ε) · g.
// Both find the maxima again from z by the forward's own expression, so nothing is kept of them.
// sums: one workgroup a lane and GROUP channel blocks, an invocation whole rows of windows; the invocations' sums are added
// in their order, 16 by 16. data: one invocation a row of windows × 4 channels.

const POOL: u32 = 1u;
const WINDOW: u32 = POOL * POOL;
const RUNNING: u32 = 0u;
const GROUP: u32 = 1u; // 1, 2 or 4, a divisor of blocks
const ROWS: u32 = 256u / GROUP; // rows of windows at a time

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,   // of z
  width: u32,
  z_row: u32,    // layout of z, in vec4
  z_image: u32,
  z_origin: u32,
  dy_row: u32,   // layout of dy, in vec4
  dy_image: u32,
  dy_origin: u32,
  dz_row: u32,   // layout of dz, in vec4
  dz_image: u32,
  dz_origin: u32,
  parameter_stride: u32,
  weight: u32,   // γ, in vec4
  bias: u32,     // β
  relu: u32,
  scale: f32,
  moment_blocks: u32, // a lane's moments: of all layers, in records
  moment_first: u32,  // this layer's first
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>; // a row a lane
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>;

// x̂ and g of a window's pixels.
struct Window {
  x_hat: array<vec4<f32>, WINDOW>,
  g: array<vec4<f32>, WINDOW>,
}

// The constants of a lane's channel block.
struct Channel {
  mean: vec4<f32>,
  deviation: vec4<f32>,
  weight: vec4<f32>,
  bias: vec4<f32>,
}

fn window(corner: u32, gradient: vec4<f32>, c: Channel) -> Window {
  var w: Window;
  var best = vec4<f32>(0.0);
  var place = vec4<u32>(0u);
  for (var i = 0u; i < WINDOW; i++) {
    w.x_hat[i] = (z[corner + i / POOL * params.z_row + i % POOL * params.blocks] - c.mean) * c.deviation;
    let a = fma(w.x_hat[i], c.weight, c.bias);
    let better = (a > best) | vec4<bool>(i == 0u);
    best = select(best, a, better);
    place = select(place, vec4<u32>(i), better);
  }
  var g = gradient;
  if (params.relu == 1u) {
    g = select(vec4<f32>(0.0), g, best > vec4<f32>(0.0));
  }
  for (var i = 0u; i < WINDOW; i++) {
    w.g[i] = select(vec4<f32>(0.0), g, place == vec4<u32>(i));
  }
  return w;
}

// [lane][block of any layer] of (mean, reciprocal standard deviation, unbiased variance)
@group(0) @binding(6) var<storage, read> moments: array<vec4<f32>>;
// [lane][block] of (mean, reciprocal standard deviation, Σ g, Σ g·x̂)
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> gradient: array<vec4<f32>>;

var<workgroup> parts: array<array<vec4<f32>, 2>, 256>;

@compute @workgroup_size(256)
fn sums_of_gradients(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let lane = group.z;
  let block = group.x * GROUP + index % GROUP;
  let lines = params.height / POOL;
  let rows = batch_sizes[lanes[lane].x] * lines;
  let theta = lane * params.parameter_stride + block;
  let place = (lane * params.moment_blocks + params.moment_first + block) * 3u;
  let c = Channel(moments[place], moments[place + 1u], parameters[theta + params.weight], parameters[theta + params.bias]);
  var sum = vec4<f32>(0.0);
  var product = vec4<f32>(0.0);
  for (var r = index / GROUP; r < rows; r += ROWS) {
    let n = lane * params.batch + r / lines;
    let line = r % lines;
    let z_start = n * params.z_image + params.z_origin + line * POOL * params.z_row + block;
    let dy_start = n * params.dy_image + params.dy_origin + line * params.dy_row + block;
    for (var u = 0u; u < params.width / POOL; u++) {
      let w = window(z_start + u * POOL * params.blocks, dy[dy_start + u * params.blocks], c);
      for (var i = 0u; i < WINDOW; i++) {
        sum += w.g[i];
        product = fma(w.g[i], w.x_hat[i], product);
      }
    }
  }
  parts[index][0] = sum;
  parts[index][1] = product;
  workgroupBarrier();
  // The invocations of a block are GROUP apart; each of the first 16 of them adds its share of ROWS.
  if (index < 16u * GROUP) {
    sum = vec4<f32>(0.0);
    product = vec4<f32>(0.0);
    let first = index / GROUP * (ROWS / 16u);
    for (var i = 0u; i < ROWS / 16u; i++) {
      sum += parts[(first + i) * GROUP + index % GROUP][0];
      product += parts[(first + i) * GROUP + index % GROUP][1];
    }
  }
  workgroupBarrier();
  if (index < 16u * GROUP) {
    parts[index][0] = sum;
    parts[index][1] = product;
  }
  workgroupBarrier();
  if (index < GROUP) {
    for (var i = 1u; i < 16u; i++) {
      sum += parts[i * GROUP + index][0];
      product += parts[i * GROUP + index][1];
    }
    let record = (lane * params.blocks + block) * 4u;
    sums[record] = c.mean;
    sums[record + 1u] = c.deviation;
    sums[record + 2u] = sum;
    sums[record + 3u] = product;
    gradient[theta + params.bias] = sum;
    gradient[theta + params.weight] = product;
  }
}

@group(0) @binding(6) var<storage, read> totals: array<vec4<f32>>; // sums; moments where RUNNING = 1
@group(0) @binding(7) var<storage, read_write> dz: array<vec4<f32>>;

@compute @workgroup_size(64)
fn data(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let lines = (params.height + POOL - 1u) / POOL;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % lines;
  let n = id.x / (params.blocks * lines);
  let valid = batch_sizes[lanes[lane].x];
  if (n >= valid) {
    return;
  }
  let theta = lane * params.parameter_stride + block;
  var place = (lane * params.blocks + block) * 4u;
  if (RUNNING == 1u) {
    place = (lane * params.moment_blocks + params.moment_first + block) * 3u;
  }
  let c = Channel(totals[place], totals[place + 1u], parameters[theta + params.weight], parameters[theta + params.bias]);
  let sample = lane * params.batch + n;
  let m = f32(valid * params.height * params.width);
  var mean_g = vec4<f32>(0.0);
  var mean_product = vec4<f32>(0.0);
  if (RUNNING == 0u) {
    mean_g = totals[place + 2u] / m;
    mean_product = totals[place + 3u] / m;
  }
  let factor = c.weight * c.deviation * params.scale;
  let z_start = sample * params.z_image + params.z_origin + line * POOL * params.z_row + block;
  let dy_start = sample * params.dy_image + params.dy_origin + line * params.dy_row + block;
  let dz_start = sample * params.dz_image + params.dz_origin + line * POOL * params.dz_row + block;
  // Rows and columns left over at the end are in no window: there g is 0.
  let whole = select(0u, params.width / POOL, line < params.height / POOL);
  for (var u = 0u; u < whole; u++) {
    let w = window(z_start + u * POOL * params.blocks, dy[dy_start + u * params.blocks], c);
    for (var i = 0u; i < WINDOW; i++) {
      dz[dz_start + i / POOL * params.dz_row + (u * POOL + i % POOL) * params.blocks] = (w.g[i] - mean_g - w.x_hat[i] * mean_product) * factor;
    }
  }
  for (var r = 0u; r < min(POOL, params.height - line * POOL); r++) {
    for (var x = whole * POOL; x < params.width; x++) {
      let x_hat = (z[z_start + r * params.z_row + x * params.blocks] - c.mean) * c.deviation;
      dz[dz_start + r * params.dz_row + x * params.blocks] = (-mean_g - x_hat * mean_product) * factor;
    }
  }
}
