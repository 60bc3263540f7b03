// 2-D convolution, forward, with the channels spread over a subgroup, for every lane at once. For drivers that run on a CPU, where a
// load costs more than the arithmetic on what it loads.
//
//   z[lane][n][y][x][co] = scale · (bias[co] + Σ_{ci,ky,kx} input[n][y·S + ky − pad][x·S + kx − pad][ci] · w[ky][kx][ci][co])
//
// A subgroup computes a strip of SAMPLES images, PIXELS columns of the whole height: an invocation a channel of the output,
// whose weights it keeps. Down the strip it loads each image row once, a pixel an invocation, and hands every pixel to all; the
// row serves all kernel rows that meet it, for as many rows of the output are under way. Four invocations then exchange their channels and
// store a vec4 each. The last strip of a row is moved back to end at the edge, so pixels may be computed (identically) twice.
// Where a channel has more weights than an invocation keeps, input blocks come in CHUNKS: each adds to what the invocation
// itself has stored of the ones before, and then no pixel is stored twice. So do, where the kernel is larger still, its rows: those
// that meet the same image rows, ky % STRIDE alike, are a chunk.
// Where batch norm follows, the forward also leaves the mean and the sum of squared deviations of each strip's own pixels.

const KERNEL_HEIGHT: u32 = 5u;
const KERNEL_WIDTH: u32 = 5u; // at most 11
const KERNEL_ROWS: u32 = 5u; // of a chunk: KERNEL_HEIGHT, or UNDER_WAY where PHASES is STRIDE; at most 7
const PHASES: u32 = 1u; // chunks of kernel rows: 1 or STRIDE
const STRIDE: u32 = 1u; // at most 4
const PIXELS: u32 = 7u;
const SAMPLES: u32 = 1u;
const IN_BLOCKS: u32 = 1u; // of a chunk, at most 8
const BLOCK_CHUNKS: u32 = 1u;
const IN_LANES: u32 = 4u; // input channels in use in each block; below 4 only where there is one block
const SUBGROUP: u32 = 8u; // at least 4
const STATISTICS: u32 = 0u; // 1: leave the statistics of each strip
const OVERLAP: u32 = 1u; // 0: PIXELS divides the width, no pixel is computed twice
const ALL_BLOCKS: u32 = IN_BLOCKS * BLOCK_CHUNKS;
const CHUNKS: u32 = BLOCK_CHUNKS * PHASES;
const ROW_STRIDE: u32 = STRIDE / PHASES; // of a chunk
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_WIDTH;
const RUNS: u32 = (SPAN + 15u) / 16u; // of 16: Mesa unrolls a loop of up to 32 rounds over the whole of an array, not others
const UNDER_WAY: u32 = 5u; // ⌈KERNEL_HEIGHT / STRIDE⌉: rows of the output that an image row meets at the most
const LOADS: u32 = (SPAN * IN_BLOCKS + SUBGROUP - 1u) / SUBGROUP;
const GROUP: u32 = SUBGROUP / 4u; // blocks of output channels of a subgroup

struct Params {
  batch: u32,
  in_height: u32,
  in_row: u32,       // stored row length, in vec4
  in_image: u32,     // stored image size, in vec4
  in_origin: u32,    // first tap of the output's (0, 0), in vec4
  padding: u32,      // rows of the padding above
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,
  out_image: u32,
  out_origin: u32,
  segments: u32,     // strips of an image
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
// [lane][n][segment][block] of (mean, squared deviations) of the pixels that no strip before has
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

alias Weights = array<array<array<vec4<f32>, KERNEL_WIDTH>, KERNEL_ROWS>, IN_BLOCKS>;
alias Rows = array<array<f32, PIXELS>, UNDER_WAY>; // the latest last
alias Loaded = array<vec4<f32>, LOADS>;
alias Window = array<array<vec4<f32>, 16>, RUNS>;

// What a subgroup works on.
struct Strip {
  first_block: u32,
  first_sample: u32,
  end: u32,       // samples of the batch, at most first_sample + SAMPLES
  segment: u32,
  x: u32,         // first column
  rank: u32,      // of the invocation in its subgroup
  source: u32,    // slot or lane of the input
  chunk: u32,     // the one at work, of input blocks and kernel rows
}

// import from_invocation
// import from_four

fn strip_of(lane: u32, place: u32, rank: u32) -> Strip {
  let slot = lanes[lane].x;
  let size = batch_sizes[slot];
  let groups = (params.out_blocks + GROUP - 1u) / GROUP;
  let segment = place / groups % params.segments;
  let first = place / (groups * params.segments) * SAMPLES;
  let x = min(segment * PIXELS, params.out_width - PIXELS);
  let source = select(lane, slot, params.input_per_slot == 1u);
  return Strip(place % groups * GROUP, first, min(first + SAMPLES, size), segment, x, rank, source, 0u);
}

// Adds one tap's products for an input block. Written out, here and below, so that the driver keeps the rows in registers.
fn tap(ky: u32, kx: u32, c: u32, w: ptr<function, Weights>, window: ptr<function, Window>, rows: ptr<function, Rows>) {
  let weight = (*w)[c][ky][kx];
  for (var p = 0u; p < PIXELS; p++) {
    let v = (*window)[(p * STRIDE + kx) / 16u][(p * STRIDE + kx) % 16u];
    var sum = fma(v.x, weight.x, (*rows)[UNDER_WAY - 1u - ky / ROW_STRIDE][p]);
    if (IN_LANES > 1u) { sum = fma(v.y, weight.y, sum); }
    if (IN_LANES > 2u) { sum = fma(v.z, weight.z, sum); }
    if (IN_LANES > 3u) { sum = fma(v.w, weight.w, sum); }
    (*rows)[UNDER_WAY - 1u - ky / ROW_STRIDE][p] = sum;
  }
}

fn kernel_row(ky: u32, c: u32, w: ptr<function, Weights>, window: ptr<function, Window>, rows: ptr<function, Rows>) {
  tap(ky, 0u, c, w, window, rows);
  if (KERNEL_WIDTH > 1u) { tap(ky, 1u, c, w, window, rows); }
  if (KERNEL_WIDTH > 2u) { tap(ky, 2u, c, w, window, rows); }
  if (KERNEL_WIDTH > 3u) { tap(ky, 3u, c, w, window, rows); }
  if (KERNEL_WIDTH > 4u) { tap(ky, 4u, c, w, window, rows); }
  if (KERNEL_WIDTH > 5u) { tap(ky, 5u, c, w, window, rows); }
  if (KERNEL_WIDTH > 6u) { tap(ky, 6u, c, w, window, rows); }
  if (KERNEL_WIDTH > 7u) { tap(ky, 7u, c, w, window, rows); }
  if (KERNEL_WIDTH > 8u) { tap(ky, 8u, c, w, window, rows); }
  if (KERNEL_WIDTH > 9u) { tap(ky, 9u, c, w, window, rows); }
  if (KERNEL_WIDTH > 10u) { tap(ky, 10u, c, w, window, rows); }
}

// Adds the products of one block of an image row that meets kernel rows ky of the chunk with ky % ROW_STRIDE = phase.
fn in_block(c: u32, phase: u32, loaded: ptr<function, Loaded>, w: ptr<function, Weights>, rows: ptr<function, Rows>) {
  var window: Window;
  for (var i = 0u; i < RUNS; i++) {
    for (var j = 0u; j < 16u; j++) {
      let f = min(i * 16u + j, SPAN - 1u) * IN_BLOCKS + c;
      window[i][j] = from_invocation((*loaded)[f / SUBGROUP], f % SUBGROUP);
    }
  }
  if (phase < KERNEL_ROWS) { kernel_row(phase, c, w, &window, rows); }
  if (UNDER_WAY > 1u && phase + 1u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 1u * ROW_STRIDE, c, w, &window, rows); }
  if (UNDER_WAY > 2u && phase + 2u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 2u * ROW_STRIDE, c, w, &window, rows); }
  if (UNDER_WAY > 3u && phase + 3u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 3u * ROW_STRIDE, c, w, &window, rows); }
  if (UNDER_WAY > 4u && phase + 4u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 4u * ROW_STRIDE, c, w, &window, rows); }
  if (UNDER_WAY > 5u && phase + 5u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 5u * ROW_STRIDE, c, w, &window, rows); }
  if (UNDER_WAY > 6u && phase + 6u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 6u * ROW_STRIDE, c, w, &window, rows); }
}

// Adds the products of the image row at `row`, which has this phase.
fn image_row(phase: u32, row: u32, rank: u32, w: ptr<function, Weights>, rows: ptr<function, Rows>) {
  var loaded: Loaded;
  for (var i = 0u; i < LOADS; i++) {
    var at = min(i * SUBGROUP + rank, SPAN * IN_BLOCKS - 1u);
    if (BLOCK_CHUNKS > 1u) { at = at / IN_BLOCKS * ALL_BLOCKS + at % IN_BLOCKS; }
    loaded[i] = input[row + at];
  }
  in_block(0u, phase, &loaded, w, rows);
  if (IN_BLOCKS > 1u) { in_block(1u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 2u) { in_block(2u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 3u) { in_block(3u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 4u) { in_block(4u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 5u) { in_block(5u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 6u) { in_block(6u, phase, &loaded, w, rows); }
  if (IN_BLOCKS > 7u) { in_block(7u, phase, &loaded, w, rows); }
}

// Whether the invocation stores pixel x of a row of its strip.
fn stores(x: u32, s: Strip) -> bool {
  let mine = x < PIXELS && s.first_block + s.rank % GROUP < params.out_blocks;
  return mine && (CHUNKS == 1u || OVERLAP == 0u || s.x + x >= s.segment * PIXELS);
}

// Adds what the chunks before have left of a row of the strip.
fn add_stored(start: u32, s: Strip, values: ptr<function, array<f32, PIXELS>>) {
  let block = s.first_block + s.rank % GROUP;
  for (var p = 0u; p < PIXELS; p += 4u) {
    let x = p + s.rank / GROUP;
    var mine = vec4<f32>(0.0);
    if (stores(x, s)) {
      mine = output[start + (s.x + x) * params.out_blocks + block];
    }
    for (var q = 0u; q < 4u; q++) {
      if (p + q < PIXELS) {
        let v = from_invocation(mine, q * GROUP + s.rank / 4u);
        (*values)[p + q] += select(select(v.x, v.y, s.rank % 4u == 1u), select(v.z, v.w, s.rank % 4u == 3u), s.rank % 4u > 1u);
      }
    }
  }
}

// Stores a row of the strip, an invocation a vec4: pixel p + rank / GROUP, block rank % GROUP.
fn store(start: u32, s: Strip, values: ptr<function, array<f32, PIXELS>>) {
  let block = s.first_block + s.rank % GROUP;
  for (var p = 0u; p < PIXELS; p += 4u) {
    var mine = vec4<f32>(0.0);
    for (var q = 0u; q < 4u; q++) { // a loop of varying length would not be unrolled
      if (p + q < PIXELS) {
        let pixel = from_four((*values)[p + q], s.rank % GROUP * 4u);
        mine = select(mine, pixel, s.rank / GROUP == q);
      }
    }
    let x = p + s.rank / GROUP;
    if (stores(x, s)) {
      output[start + (s.x + x) * params.out_blocks + block] = mine;
    }
  }
}

// Mean and squared deviations of an invocation's pixels in the rows so far.
struct Statistics {
  rows: f32,
  mean: f32,
  squares: f32,
}

// The oldest row under way leaves, if it is one of the output's; the others move up.
fn finish_row(latest: u32, start: u32, s: Strip, bias: f32, rows: ptr<function, Rows>, statistics: ptr<function, Statistics>) {
  if (latest + 1u >= UNDER_WAY) {
    let row = start + (latest + 1u - UNDER_WAY) * params.out_row;
    var z = (*rows)[0];
    if (CHUNKS > 1u) {
      if (s.chunk > 0u) { add_stored(row, s, &z); }
    }
    let is_last = s.chunk == CHUNKS - 1u;
    if (is_last) {
      for (var p = 0u; p < PIXELS; p++) {
        z[p] = (z[p] + bias) * params.scale;
      }
    }
    store(row, s, &z);
    if (STATISTICS == 1u && is_last) {
      let own = s.segment * PIXELS; // the first column that no strip before has
      let columns = f32(s.x + PIXELS - own);
      var sum = 0.0;
      for (var p = 0u; p < PIXELS; p++) {
        if (OVERLAP == 1u) { sum += select(0.0, z[p], s.x + p >= own); } else { sum += z[p]; }
      }
      let mean = sum / columns;
      var squares = 0.0;
      for (var p = 0u; p < PIXELS; p++) {
        var d = z[p] - mean;
        if (OVERLAP == 1u) { d = select(0.0, d, s.x + p >= own); }
        squares = fma(d, d, squares);
      }
      // Chan et al.'s pairwise update.
      let delta = mean - (*statistics).mean;
      let share = 1.0 / ((*statistics).rows + 1.0);
      (*statistics).squares += squares + delta * delta * columns * (*statistics).rows * share;
      (*statistics).mean += delta * share;
      (*statistics).rows += 1.0;
    }
  }
  for (var j = 1u; j < UNDER_WAY; j++) {
    (*rows)[j - 1u] = (*rows)[j];
  }
  for (var p = 0u; p < PIXELS; p++) {
    (*rows)[UNDER_WAY - 1u][p] = 0.0;
  }
}

// Computes the strip of sample n.
fn convolve(n: u32, lane: u32, s: Strip, bias: f32, w: ptr<function, Weights>) -> Statistics {
  let first = (s.source * params.batch + n) * params.in_image + params.in_origin + s.x * STRIDE * ALL_BLOCKS + s.chunk / PHASES * IN_BLOCKS;
  let start = (lane * params.batch + n) * params.out_image + params.out_origin;
  var rows: Rows;
  for (var j = 0u; j < UNDER_WAY; j++) {
    for (var p = 0u; p < PIXELS; p++) {
      rows[j][p] = 0.0;
    }
  }
  var statistics = Statistics(0.0, 0.0, 0.0);
  if (STRIDE == 1u) {
    // Above and below the image there is only padding: nothing to add.
    for (var y = params.padding; y < params.padding + params.in_height; y++) {
      image_row(0u, first + y * params.in_row, s.rank, w, &rows);
      finish_row(y, start, s, bias, &rows, &statistics);
    }
    for (var y = params.padding + params.in_height; y < params.out_height + KERNEL_HEIGHT - 1u; y++) {
      finish_row(y, start, s, bias, &rows, &statistics);
    }
  } else {
    // Row y · STRIDE + phase of the padded image meets rows y, y − 1, … of the output. After the last row that meets one, it comes again:
    // no test, for what it adds to is not stored.
    let last = (params.out_height - 1u) * STRIDE + KERNEL_HEIGHT - 1u;
    for (var y = 0u; y < params.out_height + UNDER_WAY - 1u; y++) {
      let t = y * STRIDE + s.chunk % PHASES;
      image_row(0u, first + min(t, last) * params.in_row, s.rank, w, &rows);
      if (ROW_STRIDE > 1u) { image_row(1u, first + min(t + 1u, last) * params.in_row, s.rank, w, &rows); }
      if (ROW_STRIDE > 2u) { image_row(2u, first + min(t + 2u, last) * params.in_row, s.rank, w, &rows); }
      if (ROW_STRIDE > 3u) { image_row(3u, first + min(t + 3u, last) * params.in_row, s.rank, w, &rows); }
      finish_row(y, start, s, bias, &rows, &statistics);
    }
  }
  return statistics;
}

@compute @workgroup_size(64)
fn conv2d_subgroup_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let lane = group.z;
  var s = strip_of(lane, (group.x * 64u + local.x) / SUBGROUP, rank % SUBGROUP);
  if (s.first_sample >= s.end) { // the same for a whole subgroup
    return;
  }
  let theta = lanes[lane].y * params.parameter_stride;
  let block = min(s.first_block + s.rank / 4u, params.out_blocks - 1u);
  var bias = 0.0;
  if (params.has_bias == 1u) {
    bias = parameters[theta + params.bias + block][s.rank % 4u];
  }
  for (; s.chunk < CHUNKS; s.chunk++) {
    // Each invocation loads a row of four channels, and takes its own column of four such rows.
    var w: Weights;
    for (var c = 0u; c < IN_BLOCKS; c++) {
      for (var r = 0u; r < KERNEL_ROWS; r++) {
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
          let ky = r * PHASES + s.chunk % PHASES;
          let tap = min(ky, KERNEL_HEIGHT - 1u) * KERNEL_WIDTH + kx;
          let channel = (tap * ALL_BLOCKS + s.chunk / PHASES * IN_BLOCKS + c) * 4u + s.rank % 4u;
          var row = parameters[theta + params.weight + channel * params.out_blocks + block];
          if (PHASES > 1u) { row = select(vec4<f32>(0.0), row, ky < KERNEL_HEIGHT); }
          for (var j = 0u; j < IN_LANES; j++) {
            let v = from_invocation(row, s.rank / 4u * 4u + j);
            w[c][r][kx][j] = select(select(v.x, v.y, s.rank % 4u == 1u), select(v.z, v.w, s.rank % 4u == 3u), s.rank % 4u > 1u);
          }
        }
      }
    }
    for (var n = s.first_sample; n < s.end; n++) {
      let statistics = convolve(n, lane, s, bias, &w);
      if (STATISTICS == 1u && s.chunk == CHUNKS - 1u && s.first_block + s.rank / 4u < params.out_blocks) {
        let place = (((lane * params.batch + n) * params.segments + s.segment) * params.out_blocks + block) * 8u + s.rank % 4u;
        parts[place] = statistics.mean;
        parts[place + 4u] = statistics.squares;
      }
    }
  }
}
