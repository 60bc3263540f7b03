// Batch normalisation, ReLU and max-pooling, forward, for every lane at once:
//
//   a[lane][n][y][x][c] = max(0, γ[c] · (z − mean[c]) / √(var[c] + ε) + β[c])      (the max only where relu = 1)
//   y[lane][n][v][u][c] = max of a over the POOL × POOL window (v, u); a itself where POOL = 1
//
// Windows do not overlap; rows and columns left over at the end belong to none. The normalised image is never stored: the
// backward finds each maximum again. One invocation an output row × 4 channels.

const POOL: u32 = 1u;

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,   // of y
  width: u32,
  in_row: u32,   // layout of z, in vec4
  in_image: u32,
  in_origin: u32,
  out_row: u32,  // layout of y, in vec4
  out_image: u32,
  out_origin: u32,
  parameter_stride: u32,
  weight: u32,   // γ, in vec4
  bias: u32,     // β
  relu: u32,
  moment_blocks: u32, // a lane's moments: of all layers, in records
  moment_first: u32,  // this layer's first
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
// [lane][block of any layer] of (mean, reciprocal standard deviation, unbiased variance)
@group(0) @binding(4) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> parameters: array<vec4<f32>>; // a row a lane
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

// import is_nan

@compute @workgroup_size(64)
fn batch_norm_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.height;
  let n = id.x / (params.blocks * params.height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let theta = lane * params.parameter_stride + block;
  let index = (lane * params.moment_blocks + params.moment_first + block) * 3u;
  let mean = moments[index];
  let deviation = moments[index + 1u];
  let weight = parameters[theta + params.weight];
  let bias = parameters[theta + params.bias];
  let source = (lane * params.batch + n) * params.in_image + params.in_origin + line * POOL * params.in_row + block;
  let target_row = (lane * params.batch + n) * params.out_image + params.out_origin + line * params.out_row + block;
  for (var u = 0u; u < params.width; u++) {
    var best = vec4<f32>(0.0);
    for (var i = 0u; i < POOL * POOL; i++) {
      let x_hat = (z[source + i / POOL * params.in_row + (u * POOL + i % POOL) * params.blocks] - mean) * deviation;
      let a = fma(x_hat, weight, bias);
      // Not max: it may drop a NaN, and a diverged lane would look sound.
      best = select(best, a, (a > best) | is_nan(a) | vec4<bool>(i == 0u));
    }
    if (params.relu == 1u) {
      best = select(best, vec4<f32>(0.0), (best < vec4<f32>(0.0)) & !is_nan(best));
    }
    y[target_row + u * params.blocks] = best;
  }
}
