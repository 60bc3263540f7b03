// Fully connected layer, gradient with respect to weights and bias, for every lane at once:
//
//   dw[lane][i][o] = Σ_n input[n][i] · dz[n][o],   db[lane][o] = Σ_n dz[n][o]
//
// One invocation computes IN_BLOCKS blocks of inputs × OUT_BLOCKS blocks of outputs over the whole batch, in sample order,
// straight into the gradient. Neighbours work on the same outputs and other inputs; on drivers that run on a CPU a
// subgroup shares its loads of dz, a sample an invocation. Blocks past the end repeat the last one and are not stored.

const IN_BLOCKS: u32 = 2u;
const OUT_BLOCKS: u32 = 2u;
const SUBGROUP: u32 = 1u; // samples at a time, each loaded by one invocation of a subgroup

struct Params {
  batch: u32,
  in_blocks: u32,
  out_blocks: u32,
  parameter_stride: u32,
  weight: u32,
  bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gradient: array<vec4<f32>>;

// The value that invocation `i` of the subgroup holds: a shuffle, put here by the loader where SUBGROUP is above 1.
fn from_invocation(value: vec4<f32>, i: u32) -> vec4<f32> { return value; }

@compute @workgroup_size(64)
fn linear_backward_weight(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  let last = max(valid, 1u) - 1u;
  // Whole subgroups work on the same outputs.
  let groups = ((params.in_blocks + IN_BLOCKS - 1u) / IN_BLOCKS + SUBGROUP - 1u) / SUBGROUP * SUBGROUP;
  let i = id.x % groups * IN_BLOCKS;
  let o = id.x / groups * OUT_BLOCKS;
  if (o >= params.out_blocks) { // the same for a whole subgroup
    return;
  }
  let start = lane * params.batch;
  var acc: array<array<array<vec4<f32>, 4>, OUT_BLOCKS>, IN_BLOCKS>;
  var bias: array<vec4<f32>, OUT_BLOCKS>;
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    bias[b] = vec4<f32>(0.0);
    for (var a = 0u; a < IN_BLOCKS; a++) {
      for (var j = 0u; j < 4u; j++) {
        acc[a][b][j] = vec4<f32>(0.0);
      }
    }
  }
  for (var n = 0u; n < valid; n += SUBGROUP) {
    // A sample past the batch weighs nothing.
    let mine = n + rank % SUBGROUP;
    var shared_g: array<vec4<f32>, OUT_BLOCKS>;
    for (var b = 0u; b < OUT_BLOCKS; b++) {
      let g = dz[(start + min(mine, last)) * params.out_blocks + min(o + b, params.out_blocks - 1u)];
      shared_g[b] = select(vec4<f32>(0.0), g, mine < valid);
    }
    var x: array<array<vec4<f32>, IN_BLOCKS>, SUBGROUP>;
    for (var s = 0u; s < SUBGROUP; s++) {
      let row = (start + min(n + s, last)) * params.in_blocks;
      for (var a = 0u; a < IN_BLOCKS; a++) {
        x[s][a] = input[row + min(i + a, params.in_blocks - 1u)];
      }
    }
    for (var s = 0u; s < SUBGROUP; s++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        let g = from_invocation(shared_g[b], s);
        bias[b] += g;
        for (var a = 0u; a < IN_BLOCKS; a++) {
          let v = x[s][a];
          acc[a][b][0] = fma(vec4<f32>(v.x), g, acc[a][b][0]);
          acc[a][b][1] = fma(vec4<f32>(v.y), g, acc[a][b][1]);
          acc[a][b][2] = fma(vec4<f32>(v.z), g, acc[a][b][2]);
          acc[a][b][3] = fma(vec4<f32>(v.w), g, acc[a][b][3]);
        }
      }
    }
  }
  let theta = lane * params.parameter_stride;
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    if (o + b < params.out_blocks) {
      for (var a = 0u; a < IN_BLOCKS; a++) {
        if (i + a < params.in_blocks) {
          let w = theta + params.weight + (i + a) * 4u * params.out_blocks + o + b;
          for (var j = 0u; j < 4u; j++) {
            gradient[w + j * params.out_blocks] = acc[a][b][j];
          }
        }
      }
      if (i == 0u) {
        gradient[theta + params.bias + o + b] = bias[b];
      }
    }
  }
}
