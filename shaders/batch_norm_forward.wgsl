// Batch normalisation and ReLU, forward, for every lane at once:
//
//   y[lane][n][y][x][c] = max(0, γ[c] · (z − mean[c]) / √(var[c] + ε) + β[c])      (the max only where relu = 1)
//
// One invocation a pixel × 4 channels.

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn batch_norm_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let column = (id.x / params.blocks) % params.width;
  let line = (id.x / (params.blocks * params.width)) % params.height;
  let n = id.x / (params.blocks * params.width * params.height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let theta = lanes[lane].y * params.parameter_stride + block;
  let index = (lane * params.blocks + block) * 2u;
  let v = z[(lane * params.batch + n) * params.in_image + params.in_origin + line * params.in_row + column * params.blocks + block];
  var out = fma((v - moments[index]) * moments[index + 1u], parameters[theta + params.weight], parameters[theta + params.bias]);
  if (params.relu == 1u) {
    out = max(out, vec4<f32>(0.0));
  }
  y[(lane * params.batch + n) * params.out_image + params.out_origin + line * params.out_row + column * params.blocks + block] = out;
}
