// Batch statistics of every channel of every lane, in two stages (Chan et al.'s pairwise update, so that a large mean
// does not cancel the variance):
//
//   partial: mean and sum of squared deviations of each part, a part being `rows_per_part` consecutive image rows
//   merge:   moments[lane][c] = (mean, 1 / √(var + ε)), var biased, over the valid samples' pixels
//
// partial: one invocation a (part, channel block). merge: one invocation a channel block, parts in their order.

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
  width: u32,
  row: u32,    // layout of z, in vec4
  image: u32,
  origin: u32,
  rows_per_part: u32,
  parts: u32,  // capacity: parts of a full batch
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
// [lane][part][block] of (mean, squared deviations)
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

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
  let count = f32((last - first) * params.width);
  let lane_start = lane * params.batch * params.image + params.origin + block;

  var sum = vec4<f32>(0.0);
  for (var r = first; r < last; r++) {
    let start = lane_start + (r / params.height) * params.image + (r % params.height) * params.row;
    for (var x = 0u; x < params.width; x++) {
      sum += z[start + x * params.blocks];
    }
  }
  let mean = sum / count;
  var squares = vec4<f32>(0.0);
  for (var r = first; r < last; r++) {
    let start = lane_start + (r / params.height) * params.image + (r % params.height) * params.row;
    for (var x = 0u; x < params.width; x++) {
      let d = z[start + x * params.blocks] - mean;
      squares = fma(d, d, squares);
    }
  }
  let index = ((lane * params.parts + part) * params.blocks + block) * 2u;
  partials[index] = mean;
  partials[index + 1u] = squares;
}

@group(0) @binding(3) var<storage, read> parts: array<vec4<f32>>;
// [lane][block] of (mean, reciprocal standard deviation)
@group(0) @binding(4) var<storage, read_write> moments: array<vec4<f32>>;

@compute @workgroup_size(64)
fn merge(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let rows = batch_sizes[lanes[lane].x] * params.height;
  var count = 0.0;
  var mean = vec4<f32>(0.0);
  var squares = vec4<f32>(0.0);
  for (var part = 0u; part * params.rows_per_part < rows; part++) {
    let first = part * params.rows_per_part;
    let part_count = f32((min(first + params.rows_per_part, rows) - first) * params.width);
    let index = ((lane * params.parts + part) * params.blocks + block) * 2u;
    let total = count + part_count;
    let delta = parts[index] - mean;
    mean = fma(delta, vec4<f32>(part_count / total), mean);
    squares = squares + parts[index + 1u] + delta * delta * (count * part_count / total);
    count = total;
  }
  let index = (lane * params.blocks + block) * 2u;
  moments[index] = mean;
  moments[index + 1u] = inverseSqrt(squares / max(count, 1.0) + params.epsilon);
}
