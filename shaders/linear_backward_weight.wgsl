// Fully connected layer, gradient with respect to weights and bias, for every lane at once:
//
//   dw[lane][i][o] = Σ_n input[n][i] · dz[n][o],   db[lane][o] = Σ_n dz[n][o]
//
// One invocation computes IN_BLOCKS blocks of inputs × OUT_BLOCKS blocks of outputs over the whole batch, in sample order.
// `to_gradient` stores the result; `sgd` spends it on the spot, by the formulas of sgd.wgsl and to the same bits, so that
// the gradient of a large layer never reaches memory. Neighbours work on the same inputs and neighbouring outputs; on
// drivers that run on a CPU a subgroup shares its loads of inputs, a sample an invocation. Blocks past the end repeat the
// last one and are not stored.

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
  learning_rate: f32, // sgd
  momentum: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dz: array<vec4<f32>>;

alias Tile = array<array<array<vec4<f32>, 4>, OUT_BLOCKS>, IN_BLOCKS>;

// The gradients of input blocks i, i + 1, … and output blocks o, o + SUBGROUP, ….
struct Gradients {
  weight: Tile,
  bias: array<vec4<f32>, OUT_BLOCKS>,
  i: u32,
  o: u32,
}

// import from_invocation

fn gradients(index: u32, lane: u32, rank: u32) -> Gradients {
  let valid = batch_sizes[lanes[lane].x];
  let last = max(valid, 1u) - 1u;
  let across = (params.out_blocks + OUT_BLOCKS * SUBGROUP - 1u) / (OUT_BLOCKS * SUBGROUP) * SUBGROUP;
  let o = index % across / SUBGROUP * SUBGROUP * OUT_BLOCKS + index % SUBGROUP;
  let i = index / across * IN_BLOCKS;
  let samples = select(valid, 0u, i >= params.in_blocks); // the same for a whole subgroup
  let start = lane * params.batch;
  var acc: Tile;
  var bias: array<vec4<f32>, OUT_BLOCKS>;
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    bias[b] = vec4<f32>(0.0);
    for (var a = 0u; a < IN_BLOCKS; a++) {
      for (var j = 0u; j < 4u; j++) {
        acc[a][b][j] = vec4<f32>(0.0);
      }
    }
  }
  for (var n = 0u; n < samples; n += SUBGROUP) {
    var shared_x: array<vec4<f32>, IN_BLOCKS>;
    for (var a = 0u; a < IN_BLOCKS; a++) {
      shared_x[a] = input[(start + min(n + rank % SUBGROUP, last)) * params.in_blocks + min(i + a, params.in_blocks - 1u)];
    }
    // A sample past the batch weighs nothing.
    var g: array<array<vec4<f32>, OUT_BLOCKS>, SUBGROUP>;
    for (var s = 0u; s < SUBGROUP; s++) {
      let row = (start + min(n + s, last)) * params.out_blocks;
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        let loaded = dz[row + min(o + b * SUBGROUP, params.out_blocks - 1u)];
        g[s][b] = select(vec4<f32>(0.0), loaded, n + s < valid);
      }
    }
    for (var s = 0u; s < SUBGROUP; s++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        bias[b] += g[s][b];
      }
      for (var a = 0u; a < IN_BLOCKS; a++) {
        let v = from_invocation(shared_x[a], s);
        for (var b = 0u; b < OUT_BLOCKS; b++) {
          acc[a][b][0] = fma(vec4<f32>(v.x), g[s][b], acc[a][b][0]);
          acc[a][b][1] = fma(vec4<f32>(v.y), g[s][b], acc[a][b][1]);
          acc[a][b][2] = fma(vec4<f32>(v.z), g[s][b], acc[a][b][2]);
          acc[a][b][3] = fma(vec4<f32>(v.w), g[s][b], acc[a][b][3]);
        }
      }
    }
  }
  return Gradients(acc, bias, i, o);
}

// Place of output block o for the first channel of input block i.
fn place(lane: u32, i: u32, o: u32) -> u32 {
  return lane * params.parameter_stride + params.weight + i * 4u * params.out_blocks + o;
}

@group(0) @binding(5) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn to_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let g = gradients(id.x, id.z, rank);
  for (var a = 0u; a < IN_BLOCKS; a++) {
    for (var j = 0u; j < 4u; j++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        if (g.i + a < params.in_blocks && g.o + b * SUBGROUP < params.out_blocks) {
          let w = place(id.z, g.i + a, g.o + b * SUBGROUP);
          gradient[w + j * params.out_blocks] = g.weight[a][b][j];
        }
      }
    }
  }
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    if (g.i == 0u && g.o + b * SUBGROUP < params.out_blocks) {
      gradient[id.z * params.parameter_stride + params.bias + g.o + b * SUBGROUP] = g.bias[b];
    }
  }
}

@group(0) @binding(5) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> parameters: array<vec4<f32>>;

fn descend(i: u32, g: vec4<f32>) {
  let theta = parameters[i];
  let step = fma(vec4<f32>(params.momentum), momentum[i], fma(vec4<f32>(params.weight_decay), theta, g));
  momentum[i] = step;
  parameters[i] = fma(vec4<f32>(-params.learning_rate), step, theta);
}

@compute @workgroup_size(64)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let g = gradients(id.x, id.z, rank);
  for (var a = 0u; a < IN_BLOCKS; a++) {
    for (var j = 0u; j < 4u; j++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        if (g.i + a < params.in_blocks && g.o + b * SUBGROUP < params.out_blocks) {
          let w = place(id.z, g.i + a, g.o + b * SUBGROUP);
          descend(w + j * params.out_blocks, g.weight[a][b][j]);
        }
      }
    }
  }
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    if (g.i == 0u && g.o + b * SUBGROUP < params.out_blocks) {
      descend(id.z * params.parameter_stride + params.bias + g.o + b * SUBGROUP, g.bias[b]);
    }
  }
}
