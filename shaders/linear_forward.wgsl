// Fully connected layer, forward, for every lane at once:
//
//   z[lane][n][o] = scale · (bias[o] + Σ_i input[n][i] · w[i][o])
//
// Rows are vec4 blocks of features; weights are [i][o / 4] of vec4. One invocation computes ROWS samples × BLOCKS blocks of
// outputs. Neighbours work on the same samples and other outputs; on drivers that run on a CPU a subgroup shares its
// loads of samples. Rows past the batch repeat its last one and blocks past the end the last block; neither is stored.

const ROWS: u32 = 8u;
const BLOCKS: u32 = 1u;
const SUBGROUP: u32 = 1u; // invocations that share their loads of samples
const LOADS: u32 = (ROWS + SUBGROUP - 1u) / SUBGROUP;

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

// import from_invocation

@compute @workgroup_size(64)
fn linear_forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  // Whole subgroups work on the same samples.
  let groups = ((params.out_blocks + BLOCKS - 1u) / BLOCKS + SUBGROUP - 1u) / SUBGROUP * SUBGROUP;
  let block = id.x % groups * BLOCKS;
  let first = id.x / groups * ROWS;
  if (first >= valid) { // the same for a whole subgroup
    return;
  }
  let theta = lanes[lane].y * params.parameter_stride;
  var acc: array<array<vec4<f32>, BLOCKS>, ROWS>;
  var row: array<u32, LOADS>;
  var w: array<u32, BLOCKS>;
  for (var r = 0u; r < ROWS; r++) {
    for (var b = 0u; b < BLOCKS; b++) {
      acc[r][b] = vec4<f32>(0.0);
    }
  }
  for (var j = 0u; j < LOADS; j++) {
    let n = min(first + min(j * SUBGROUP + rank % SUBGROUP, ROWS - 1u), valid - 1u);
    row[j] = (lane * params.batch + n) * params.in_blocks;
  }
  for (var b = 0u; b < BLOCKS; b++) {
    w[b] = theta + params.weight + min(block + b, params.out_blocks - 1u);
  }
  for (var i = 0u; i < params.in_blocks; i++) {
    var x: array<vec4<f32>, LOADS>;
    for (var j = 0u; j < LOADS; j++) {
      x[j] = input[row[j] + i];
    }
    var w0: array<vec4<f32>, BLOCKS>;
    var w1: array<vec4<f32>, BLOCKS>;
    var w2: array<vec4<f32>, BLOCKS>;
    var w3: array<vec4<f32>, BLOCKS>;
    for (var b = 0u; b < BLOCKS; b++) {
      w0[b] = parameters[w[b]];
      w1[b] = parameters[w[b] + params.out_blocks];
      w2[b] = parameters[w[b] + 2u * params.out_blocks];
      w3[b] = parameters[w[b] + 3u * params.out_blocks];
      w[b] += 4u * params.out_blocks;
    }
    for (var r = 0u; r < ROWS; r++) {
      let v = from_invocation(x[r / SUBGROUP], r % SUBGROUP);
      for (var b = 0u; b < BLOCKS; b++) {
        var sum = fma(vec4<f32>(v.x), w0[b], acc[r][b]);
        sum = fma(vec4<f32>(v.y), w1[b], sum);
        sum = fma(vec4<f32>(v.z), w2[b], sum);
        acc[r][b] = fma(vec4<f32>(v.w), w3[b], sum);
      }
    }
  }
  for (var b = 0u; b < BLOCKS; b++) {
    if (block + b < params.out_blocks) {
      let bias = parameters[theta + params.bias + block + b];
      for (var r = 0u; r < ROWS; r++) {
        if (first + r < valid) {
          output[(lane * params.batch + first + r) * params.out_blocks + block + b] = (acc[r][b] + bias) * params.scale;
        }
      }
    }
  }
}
