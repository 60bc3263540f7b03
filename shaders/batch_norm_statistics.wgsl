// Batch statistics of every channel of every lane:
//
//   moments[lane][c] = (mean, 1 / √(var + ε), var · m / (m − 1)), var biased, over the m values of the valid samples' pixels
//
// of_image: one workgroup a lane and GROUP channel blocks. An invocation takes whole image rows of one block: mean and sum of
// squared deviations of each row, merged row by row (Chan et al.'s pairwise update, so that a large mean does not cancel the
// variance); then the invocations' results are merged in their order, 16 by 16.
// of_tiles: the same from the means and squared deviations that conv2d_forward left of its tiles.

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
  tile_height: u32, // of_tiles: the convolution's tiles
  tile_width: u32,
  moment_blocks: u32, // a lane's moments: of all layers, in records
  moment_first: u32,  // this layer's first
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<vec4<f32>>;
// [lane][block of any layer] of (mean, reciprocal standard deviation, unbiased variance)
@group(0) @binding(4) var<storage, read_write> moments: array<vec4<f32>>;

// Number of values, their mean, their sum of squared deviations.
struct Part {
  count: f32,
  mean: vec4<f32>,
  squares: vec4<f32>,
}

var<workgroup> partial: array<Part, 256>;

fn merged(a: Part, b: Part) -> Part {
  let total = a.count + b.count;
  let share = b.count / max(total, 1.0);
  let delta = b.mean - a.mean;
  let mean = fma(delta, vec4<f32>(share), a.mean);
  return Part(total, mean, a.squares + b.squares + delta * delta * (a.count * share));
}

// Merges all invocations' parts and writes the moments. To be called by all of them.
fn finish(own: Part, lane: u32, block: u32, index: u32) {
  var mine = own;
  partial[index] = mine;
  workgroupBarrier();
  // The invocations of a block are GROUP apart; each of the first 16 of them merges its share of ROWS.
  if (index < 16u * GROUP) {
    let first = index / GROUP * (ROWS / 16u);
    mine = partial[first * GROUP + index % GROUP];
    for (var i = 1u; i < ROWS / 16u; i++) {
      mine = merged(mine, partial[(first + i) * GROUP + index % GROUP]);
    }
  }
  workgroupBarrier();
  if (index < 16u * GROUP) {
    partial[index] = mine;
  }
  workgroupBarrier();
  if (index < GROUP) {
    for (var i = 1u; i < 16u; i++) {
      mine = merged(mine, partial[i * GROUP + index]);
    }
    let place = (lane * params.moment_blocks + params.moment_first + block) * 3u;
    moments[place] = mine.mean;
    moments[place + 1u] = inverseSqrt(mine.squares / max(mine.count, 1.0) + params.epsilon);
    moments[place + 2u] = mine.squares / max(mine.count - 1.0, 1.0);
  }
}

@compute @workgroup_size(256)
fn of_image(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
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
  finish(mine, lane, block, index);
}

@group(0) @binding(3) var<storage, read> parts: array<vec4<f32>>; // [lane][tile][block] of (mean, squared deviations)

@compute @workgroup_size(256)
fn of_tiles(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let lane = group.z;
  let block = group.x * GROUP + index % GROUP;
  let segments = (params.width + params.tile_width - 1u) / params.tile_width;
  let bands = (params.height + params.tile_height - 1u) / params.tile_height;
  let tiles = batch_sizes[lanes[lane].x] * segments * bands;
  let lane_start = lane * params.batch * segments * bands;
  var mine = Part(0.0, vec4<f32>(0.0), vec4<f32>(0.0));
  for (var t = index / GROUP; t < tiles; t += ROWS) {
    let columns = min(params.tile_width, params.width - t % segments * params.tile_width);
    let lines = min(params.tile_height, params.height - t / segments % bands * params.tile_height);
    let place = ((lane_start + t) * params.blocks + block) * 2u;
    mine = merged(mine, Part(f32(columns * lines), parts[place], parts[place + 1u]));
  }
  finish(mine, lane, block, index);
}
