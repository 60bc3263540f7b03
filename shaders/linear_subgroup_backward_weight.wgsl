// Fully connected layer, gradient with respect to weights and bias, with the output blocks spread over a subgroup, for every
// lane at once. For drivers that run on a CPU, where a load costs more than the arithmetic on what it loads. What it computes
// and leaves is what linear_backward_weight does.
//
// An invocation keeps dz of the whole batch for OUT_BLOCKS blocks of outputs. It then goes through a run of input blocks; of
// each, every invocation of the subgroup loads some samples and hands them to all.

const OUT_BLOCKS: u32 = 2u;
const SAMPLES: u32 = 32u; // the batch; at most 8 · SUBGROUP
const SUBGROUP: u32 = 8u;
const LOADS: u32 = (SAMPLES + SUBGROUP - 1u) / SUBGROUP;

struct Params {
  run: u32, // input blocks of an invocation
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

alias Gradients = array<array<vec4<f32>, OUT_BLOCKS>, SAMPLES>; // dz of blocks o, o + SUBGROUP, …
alias Loaded = array<vec4<f32>, LOADS>;
alias Tile = array<array<vec4<f32>, 4>, OUT_BLOCKS>; // of four inputs each

// What an invocation works on.
struct Place {
  lane: u32,
  valid: u32, // samples
  o: u32,     // its first output block; the others are SUBGROUP apart
  first: u32, // input block
  end: u32,
  rank: u32,  // in its subgroup
}

// import from_invocation

fn place_of(index: u32, lane: u32, rank: u32) -> Place {
  let groups = (params.out_blocks + OUT_BLOCKS * SUBGROUP - 1u) / (OUT_BLOCKS * SUBGROUP);
  let subgroup = index / SUBGROUP;
  let first = subgroup / groups * params.run;
  let o = subgroup % groups * OUT_BLOCKS * SUBGROUP + rank;
  return Place(lane, batch_sizes[lanes[lane].x], o, first, min(first + params.run, params.in_blocks), rank);
}

// dz of the batch. A sample past it weighs nothing.
fn load_gradients(at: Place, g: ptr<function, Gradients>) {
  let last = max(at.valid, 1u) - 1u;
  for (var s = 0u; s < SAMPLES; s++) {
    for (var b = 0u; b < OUT_BLOCKS; b++) {
      let block = min(at.o + b * SUBGROUP, params.out_blocks - 1u);
      let loaded = dz[(at.lane * SAMPLES + min(s, last)) * params.out_blocks + block];
      (*g)[s][b] = select(vec4<f32>(0.0), loaded, s < at.valid);
    }
  }
}

// Adds the products of the SUBGROUP samples from `first` on. Written out below, so that the driver keeps all in registers.
fn add(first: u32, x: vec4<f32>, g: ptr<function, Gradients>, acc: ptr<function, Tile>) {
  for (var s = 0u; s < SUBGROUP; s++) {
    if (first + s < SAMPLES) {
      let v = from_invocation(x, s);
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        let d = (*g)[first + s][b];
        (*acc)[b][0] = fma(vec4<f32>(v.x), d, (*acc)[b][0]);
        (*acc)[b][1] = fma(vec4<f32>(v.y), d, (*acc)[b][1]);
        (*acc)[b][2] = fma(vec4<f32>(v.z), d, (*acc)[b][2]);
        (*acc)[b][3] = fma(vec4<f32>(v.w), d, (*acc)[b][3]);
      }
    }
  }
}

// The weight gradients of input block i.
fn tile(at: Place, i: u32, g: ptr<function, Gradients>) -> Tile {
  var x: Loaded;
  for (var j = 0u; j < LOADS; j++) {
    let n = j * SUBGROUP + at.rank;
    let loaded = input[(at.lane * SAMPLES + min(n, max(at.valid, 1u) - 1u)) * params.in_blocks + i];
    x[j] = select(vec4<f32>(0.0), loaded, n < at.valid);
  }
  var acc: Tile;
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    for (var j = 0u; j < 4u; j++) {
      acc[b][j] = vec4<f32>(0.0);
    }
  }
  add(0u, x[0], g, &acc);
  if (LOADS > 1u) { add(SUBGROUP, x[min(1u, LOADS - 1u)], g, &acc); }
  if (LOADS > 2u) { add(2u * SUBGROUP, x[min(2u, LOADS - 1u)], g, &acc); }
  if (LOADS > 3u) { add(3u * SUBGROUP, x[min(3u, LOADS - 1u)], g, &acc); }
  if (LOADS > 4u) { add(4u * SUBGROUP, x[min(4u, LOADS - 1u)], g, &acc); }
  if (LOADS > 5u) { add(5u * SUBGROUP, x[min(5u, LOADS - 1u)], g, &acc); }
  if (LOADS > 6u) { add(6u * SUBGROUP, x[min(6u, LOADS - 1u)], g, &acc); }
  if (LOADS > 7u) { add(7u * SUBGROUP, x[min(7u, LOADS - 1u)], g, &acc); }
  return acc;
}

// Place in the rows of channel j of input block i, block b of the invocation's outputs.
fn weight_at(at: Place, i: u32, j: u32, b: u32) -> u32 {
  return at.lane * params.parameter_stride + params.weight + (i * 4u + j) * params.out_blocks + at.o + b * SUBGROUP;
}

fn bias_of(b: u32, g: ptr<function, Gradients>) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var s = 0u; s < SAMPLES; s++) {
    sum += (*g)[s][b];
  }
  return sum;
}

@group(0) @binding(5) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn to_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let at = place_of(id.x, id.z, rank % SUBGROUP);
  if (at.first >= params.in_blocks) { // the same for a whole subgroup
    return;
  }
  var g: Gradients;
  load_gradients(at, &g);
  for (var i = at.first; i < at.end; i++) {
    let t = tile(at, i, &g);
    for (var j = 0u; j < 4u; j++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        if (at.o + b * SUBGROUP < params.out_blocks) {
          gradient[weight_at(at, i, j, b)] = t[b][j];
        }
      }
    }
  }
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    if (at.first == 0u && at.o + b * SUBGROUP < params.out_blocks) {
      gradient[at.lane * params.parameter_stride + params.bias + at.o + b * SUBGROUP] = bias_of(b, &g);
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
  let at = place_of(id.x, id.z, rank % SUBGROUP);
  if (at.first >= params.in_blocks) { // the same for a whole subgroup
    return;
  }
  var g: Gradients;
  load_gradients(at, &g);
  for (var i = at.first; i < at.end; i++) {
    let t = tile(at, i, &g);
    for (var j = 0u; j < 4u; j++) {
      for (var b = 0u; b < OUT_BLOCKS; b++) {
        if (at.o + b * SUBGROUP < params.out_blocks) {
          descend(weight_at(at, i, j, b), t[b][j]);
        }
      }
    }
  }
  for (var b = 0u; b < OUT_BLOCKS; b++) {
    if (at.first == 0u && at.o + b * SUBGROUP < params.out_blocks) {
      descend(at.lane * params.parameter_stride + params.bias + at.o + b * SUBGROUP, bias_of(b, &g));
    }
  }
}
