// 2-D convolution, forward, for every lane at once:
//
//   z[lane][n][y][x][co] = scale · (bias[co] + Σ_{ci,ky,kx} input[n][y·S + ky − pad][x·S + kx − pad][ci] · w[ky][kx][ci][co])
//
// Activations are channels last in vec4 blocks with a stored zero border at least `pad` wide, so no load is tested.
// Weights are [ky][kx][ci][co / 4] of vec4. One invocation holds ROWS rows × PIXELS pixels × BLOCKS channel blocks in
// registers: per (ci block, ky) it loads one input row segment, which serves ROWS kernel rows, and slides it under the
// KERNEL_WIDTH taps. A workgroup works on the same channel blocks, so its weights can be shared: staged in workgroup
// memory (CHUNK input blocks at a time), or, on drivers that run on a CPU, loaded by one invocation of a subgroup for all.
// Where batch norm follows, each invocation also leaves the mean and the sum of squared deviations of the pixels of its tile.
// The last tile of a row or column is moved back to end at the edge, so pixels may be computed (identically) twice.

const KERNEL_WIDTH: u32 = 5u;
const STRIDE: u32 = 1u;
const PIXELS: u32 = 7u;
const ROWS: u32 = 1u; // 1 where STRIDE is not
const BLOCKS: u32 = 1u; // 1, 2 or 4, a divisor of out_blocks
const IN_LANES: u32 = 4u; // input channels in use in each block; below 4 only where there is one block
const STAGED: u32 = 0u; // 1: weights go through workgroup memory
const CHUNK: u32 = 65536u; // input blocks staged at a time
const STAGE: u32 = 1u; // vec4 of workgroup memory: CHUNK · kernel height · KERNEL_WIDTH · 4 · BLOCKS where staged
const SUBGROUP: u32 = 1u; // invocations that share their loads of weights
const STATISTICS: u32 = 0u; // 1: leave the statistics of each tile
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_WIDTH;
const LOADS: u32 = (4u * BLOCKS + SUBGROUP - 1u) / SUBGROUP;

struct Params {
  batch: u32,
  in_blocks: u32,
  in_row: u32,       // stored row length, in vec4
  in_image: u32,     // stored image size, in vec4
  in_origin: u32,    // first tap of output (0, 0), in vec4
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,
  out_image: u32,
  out_origin: u32,
  kernel_height: u32,
  segments: u32,     // tiles of a row
  bands: u32,        // tiles of a column
  input_per_slot: u32, // 1: the input is indexed by client slot, 0: by lane
  parameter_stride: u32, // parameters of one base, in vec4
  weight: u32,       // offset of the weights, in vec4
  bias: u32,
  has_bias: u32,
  scale: f32,        // the layer correction 1/r in training, else 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, 0, 0
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;
// [lane][tile][block] of (mean, squared deviations) of the pixels that no tile before has
@group(0) @binding(6) var<storage, read_write> parts: array<vec4<f32>>;

// [ci block][ky][kx][ci][block] of the chunk at work.
var<workgroup> stage: array<vec4<f32>, STAGE>;

alias Tile = array<array<array<vec4<f32>, PIXELS>, BLOCKS>, ROWS>;
alias Weights = array<vec4<f32>, LOADS>;
alias Window = array<array<vec4<f32>, SPAN>, ROWS>;

// import from_invocation

// Adds one tap's products for channel block `b`. `w` holds the weights [ci][block], spread over the subgroup.
fn multiply(kx: u32, b: u32, w: ptr<function, Weights>, rows: ptr<function, Window>, acc: ptr<function, Tile>) {
  let w0 = from_invocation((*w)[b / SUBGROUP], b % SUBGROUP);
  let w1 = from_invocation((*w)[(BLOCKS + b) / SUBGROUP], (BLOCKS + b) % SUBGROUP);
  let w2 = from_invocation((*w)[(2u * BLOCKS + b) / SUBGROUP], (2u * BLOCKS + b) % SUBGROUP);
  let w3 = from_invocation((*w)[(3u * BLOCKS + b) / SUBGROUP], (3u * BLOCKS + b) % SUBGROUP);
  for (var r = 0u; r < ROWS; r++) {
    for (var p = 0u; p < PIXELS; p++) {
      let v = (*rows)[r][p * STRIDE + kx];
      var sum = fma(vec4<f32>(v.x), w0, (*acc)[r][b][p]);
      if (IN_LANES > 1u) { sum = fma(vec4<f32>(v.y), w1, sum); }
      if (IN_LANES > 2u) { sum = fma(vec4<f32>(v.z), w2, sum); }
      if (IN_LANES > 3u) { sum = fma(vec4<f32>(v.w), w3, sum); }
      (*acc)[r][b][p] = sum;
    }
  }
}

// Adds one tap. `first` is the kernel row's first weight, in the stage or in the parameters.
fn tap(kx: u32, first: u32, rank: u32, rows: ptr<function, Window>, acc: ptr<function, Tile>) {
  var w: Weights;
  for (var j = 0u; j < LOADS; j++) {
    let k = min(j * SUBGROUP + rank % SUBGROUP, 4u * BLOCKS - 1u);
    if (STAGED == 1u) {
      w[j] = stage[first + kx * 4u * BLOCKS + k];
    } else {
      w[j] = parameters[first + (kx * params.in_blocks * 4u + k / BLOCKS) * params.out_blocks + k % BLOCKS];
    }
  }
  // Written out, here and below, so that every driver keeps the tiles in registers: some unroll no loop of this size.
  multiply(kx, 0u, &w, rows, acc);
  if (BLOCKS > 1u) { multiply(kx, 1u, &w, rows, acc); }
  if (BLOCKS > 2u) { multiply(kx, 2u, &w, rows, acc); }
  if (BLOCKS > 3u) { multiply(kx, 3u, &w, rows, acc); }
}

@compute @workgroup_size(64)
fn conv2d_forward(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) rank: u32,
) {
  let lane = group.z;
  let slot = lanes[lane].x;
  let size = batch_sizes[slot];
  let groups = params.out_blocks / BLOCKS;
  let block = group.x % groups * BLOCKS;
  let first_tile = group.x / groups * 64u;
  if (first_tile / (params.segments * params.bands) >= size) { // the same for the whole workgroup
    return;
  }
  let tile = first_tile + local.x;
  let segment = tile % params.segments;
  let band = tile / params.segments % params.bands;
  let n = tile / (params.segments * params.bands);
  // Nobody else leaves early, for loads are shared: an invocation past the batch repeats its last sample and stores nothing.
  let sample = min(n, size - 1u);
  let y = min(band * ROWS, params.out_height - ROWS);
  let x = min(segment * PIXELS, params.out_width - PIXELS);
  let source = select(lane, slot, params.input_per_slot == 1u);
  let theta = lanes[lane].y * params.parameter_stride;
  let corner = (source * params.batch + sample) * params.in_image + params.in_origin + (y * params.in_row + x * params.in_blocks) * STRIDE;
  let kernel_row = KERNEL_WIDTH * params.in_blocks * 4u * params.out_blocks;

  var acc: Tile;
  for (var r = 0u; r < ROWS; r++) {
    for (var b = 0u; b < BLOCKS; b++) {
      for (var p = 0u; p < PIXELS; p++) {
        acc[r][b][p] = vec4<f32>(0.0);
      }
    }
  }
  for (var chunk = 0u; chunk < params.in_blocks; chunk += CHUNK) {
    let end = min(chunk + CHUNK, params.in_blocks);
    if (STAGED == 1u) {
      workgroupBarrier();
      let taps = params.kernel_height * KERNEL_WIDTH;
      for (var i = local.x; i < (end - chunk) * taps * 4u * BLOCKS; i += 64u) {
        let t = i / (4u * BLOCKS);
        let channel = (chunk + t / taps) * 4u + i / BLOCKS % 4u;
        stage[i] = parameters[theta + params.weight + (t % taps * params.in_blocks * 4u + channel) * params.out_blocks + block + i % BLOCKS];
      }
      workgroupBarrier();
    }
    for (var ci = chunk; ci < end; ci++) {
      // Row r of the window is input row r + ky: all but the last move up, the last is loaded.
      var rows: Window;
      for (var r = 1u; r < ROWS; r++) {
        for (var i = 0u; i < SPAN; i++) {
          rows[r][i] = input[corner + ci + (r - 1u) * params.in_row + i * params.in_blocks];
        }
      }
      for (var ky = 0u; ky < params.kernel_height; ky++) {
        for (var r = 1u; r < ROWS; r++) {
          rows[r - 1u] = rows[r];
        }
        let newest = corner + ci + (ROWS - 1u + ky) * params.in_row;
        for (var i = 0u; i < SPAN; i++) {
          rows[ROWS - 1u][i] = input[newest + i * params.in_blocks];
        }
        var first = theta + params.weight + ky * kernel_row + ci * 4u * params.out_blocks + block;
        if (STAGED == 1u) {
          first = ((ci - chunk) * params.kernel_height + ky) * KERNEL_WIDTH * 4u * BLOCKS;
        }
        tap(0u, first, rank, &rows, &acc);
        if (KERNEL_WIDTH > 1u) { tap(1u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 2u) { tap(2u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 3u) { tap(3u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 4u) { tap(4u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 5u) { tap(5u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 6u) { tap(6u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 7u) { tap(7u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 8u) { tap(8u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 9u) { tap(9u, first, rank, &rows, &acc); }
        if (KERNEL_WIDTH > 10u) { tap(10u, first, rank, &rows, &acc); }
        for (var kx = 11u; kx < KERNEL_WIDTH; kx++) {
          tap(kx, first, rank, &rows, &acc);
        }
      }
    }
  }
  if (n < size) {
    for (var b = 0u; b < BLOCKS; b++) {
      var bias = vec4<f32>(0.0);
      if (params.has_bias == 1u) {
        bias = parameters[theta + params.bias + block + b];
      }
      var sum = vec4<f32>(0.0);
      for (var r = 0u; r < ROWS; r++) {
        let target_row = (lane * params.batch + n) * params.out_image + params.out_origin + (y + r) * params.out_row + block + b;
        for (var p = 0u; p < PIXELS; p++) {
          acc[r][b][p] = (acc[r][b][p] + bias) * params.scale;
          output[target_row + (x + p) * params.out_blocks] = acc[r][b][p];
          if (STATISTICS == 1u) {
            sum += select(vec4<f32>(0.0), acc[r][b][p], x + p >= segment * PIXELS && y + r >= band * ROWS);
          }
        }
      }
      if (STATISTICS == 1u) {
        let count = min(PIXELS, params.out_width - segment * PIXELS) * min(ROWS, params.out_height - band * ROWS);
        let mean = sum / f32(count);
        var squares = vec4<f32>(0.0);
        for (var r = 0u; r < ROWS; r++) {
          for (var p = 0u; p < PIXELS; p++) {
            let d = select(vec4<f32>(0.0), acc[r][b][p] - mean, x + p >= segment * PIXELS && y + r >= band * ROWS);
            squares = fma(d, d, squares);
          }
        }
        let place = ((lane * params.batch * params.segments * params.bands + tile) * params.out_blocks + block + b) * 2u;
        parts[place] = mean;
        parts[place + 1u] = squares;
      }
    }
  }
}
