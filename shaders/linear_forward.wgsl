// Fully connected layer, forward, for every lane at once:
//
//   z[lane][n][o] = scale · (bias[o] + Σ_i input[n][i] · w[i][o])
//
// Rows are vec4 blocks of features; weights are [i][o / 4] of vec4. One invocation computes ROWS samples × 4 outputs.

const ROWS: u32 = 8u;

struct Params {
  batch: u32,
  in_blocks: u32,
  out_blocks: u32,
  parameter_stride: u32,
  weight: u32,
  bias: u32,
  scale: f32, // the layer correction 1/r in training, else 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn linear_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  let block = id.x % params.out_blocks;
  let first = id.x / params.out_blocks * ROWS;
  if (first >= valid) {
    return;
  }
  let theta = lanes[lane].y * params.parameter_stride;
  var acc: array<vec4<f32>, ROWS>;
  var row: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    acc[r] = vec4<f32>(0.0);
    // Rows past the batch repeat its last one: loads stay inside, the results are dropped.
    row[r] = (lane * params.batch + min(first + r, valid - 1u)) * params.in_blocks;
  }
  var w = theta + params.weight + block;
  for (var i = 0u; i < params.in_blocks; i++) {
    let w0 = parameters[w];
    let w1 = parameters[w + params.out_blocks];
    let w2 = parameters[w + 2u * params.out_blocks];
    let w3 = parameters[w + 3u * params.out_blocks];
    for (var r = 0u; r < ROWS; r++) {
      let v = input[row[r] + i];
      acc[r] = fma(vec4<f32>(v.x), w0, acc[r]);
      acc[r] = fma(vec4<f32>(v.y), w1, acc[r]);
      acc[r] = fma(vec4<f32>(v.z), w2, acc[r]);
      acc[r] = fma(vec4<f32>(v.w), w3, acc[r]);
    }
    w += 4u * params.out_blocks;
  }
  let bias = parameters[theta + params.bias + block];
  for (var r = 0u; r < ROWS; r++) {
    if (first + r < valid) {
      output[(lane * params.batch + first + r) * params.out_blocks + block] = (acc[r] + bias) * params.scale;
    }
  }
}
