// Batch statistics of every channel of every lane:
//
//   moments[lane][c] = (mean, 1 / √(var + ε)), var biased, over the valid samples' pixels
//
// One workgroup a lane and GROUP channel blocks. An invocation takes whole image rows of one block: mean and sum of squared
// deviations of each row, merged row by row (Chan et al.'s pairwise update, so that a large mean does not cancel the
// variance); then the invocations' results are merged in their order, 16 by 16.

const GROUP: u32 = 1u; // 1, 2 or 4, a divisor of blocks
const ROWS: u32 = 256u / GROUP; // image rows at a time

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
  width: u32,
  row: u32,    // layout of z, in vec4
  image: u32,
  origin: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
// [lane][block] of (mean, reciprocal standard deviation)
@group(0) @binding(4) var<storage, read_write> moments: array<vec4<f32>>;

// Number of values, their mean, their sum of squared deviations.
struct Part {
  count: f32,
  mean: vec4<f32>,
  squares: vec4<f32>,
}

var<workgroup> parts: array<Part, 256>;

fn merged(a: Part, b: Part) -> Part {
  let total = a.count + b.count;
  let share = b.count / max(total, 1.0);
  let delta = b.mean - a.mean;
  let mean = fma(delta, vec4<f32>(share), a.mean);
  return Part(total, mean, a.squares + b.squares + delta * delta * (a.count * share));
}

@compute @workgroup_size(256)
fn batch_norm_statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let lane = group.z;
  let block = group.x * GROUP + index % GROUP;
  let rows = batch_sizes[lanes[lane].x] * params.height;
  let lane_start = lane * params.batch * params.image + params.origin + block;
  let width = f32(params.width);

  var mine = Part(0.0, vec4<f32>(0.0), vec4<f32>(0.0));
  for (var r = index / GROUP; r < rows; r += ROWS) {
    let start = lane_start + (r / params.height) * params.image + (r % params.height) * params.row;
    var sum = vec4<f32>(0.0);
    for (var x = 0u; x < params.width; x++) {
      sum += z[start + x * params.blocks];
    }
    let mean = sum / width;
    var squares = vec4<f32>(0.0);
    for (var x = 0u; x < params.width; x++) {
      let d = z[start + x * params.blocks] - mean;
      squares = fma(d, d, squares);
    }
    mine = merged(mine, Part(width, mean, squares));
  }
  parts[index] = mine;
  workgroupBarrier();
  // The invocations of a block are GROUP apart; each of the first 16 of them merges its share of ROWS.
  if (index < 16u * GROUP) {
    let first = index / GROUP * (ROWS / 16u);
    mine = parts[first * GROUP + index % GROUP];
    for (var i = 1u; i < ROWS / 16u; i++) {
      mine = merged(mine, parts[(first + i) * GROUP + index % GROUP]);
    }
  }
  workgroupBarrier();
  if (index < 16u * GROUP) {
    parts[index] = mine;
  }
  workgroupBarrier();
  if (index < GROUP) {
    for (var i = 1u; i < 16u; i++) {
      mine = merged(mine, parts[i * GROUP + index]);
    }
    let place = (lane * params.blocks + block) * 2u;
    moments[place] = mine.mean;
    moments[place + 1u] = inverseSqrt(mine.squares / max(mine.count, 1.0) + params.epsilon);
  }
}
