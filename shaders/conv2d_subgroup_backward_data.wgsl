// 2-D convolution, gradient with respect to the input, with the channels spread over a subgroup, for every lane at once. For drivers
// that run on a CPU, where a load costs more than the arithmetic on what it loads.
//
//   dx[lane][n][y][x][ci] = Σ_{co,ky,kx} dz[n][(y + pad − ky) / S][(x + pad − kx) / S][co] · w[ky][kx][ci][co]   where S divides both
//
// The padded image is cells of S × S pixels, one for each pixel of dz: with column + pad = S · cell + phase, tap kx takes column from
// phase kx % S of dz's pixel ⌊kx / S⌋ cells before. A subgroup computes a strip of SAMPLES images, PIXELS cells wide and of the whole
// height: an invocation a channel of dx, whose weights it keeps. Down the strip it loads each row of dz once, a pixel an invocation, and hands
// every pixel to all; the row serves all kernel rows, for as many rows of dx are under way, of which S are then done. Four invocations
// exchange their channels and store a vec4 each. The last strip of a row is moved back to end at the edge, so pixels may be computed
// (identically) twice. Where a channel has more weights than an invocation keeps, blocks of dz come in BLOCK_CHUNKS: each adds to what the
// invocation itself has stored of the ones before, and then no pixel is stored twice.

const KERNEL_HEIGHT: u32 = 5u; // at most 7
const KERNEL_WIDTH: u32 = 5u; // at most 11
const STRIDE: u32 = 1u; // at most 4
const PIXELS: u32 = 7u; // of dz's width: the cells of a strip
const SAMPLES: u32 = 1u;
const IN_BLOCKS: u32 = 1u; // of dz, of a chunk, at most 8
const BLOCK_CHUNKS: u32 = 1u;
const SUBGROUP: u32 = 8u; // at least 4
const OVERLAP: u32 = 1u; // 0: PIXELS divides the cells, no pixel is computed twice
const ALL_BLOCKS: u32 = IN_BLOCKS * BLOCK_CHUNKS;
const BEFORE: u32 = (KERNEL_WIDTH - 1u) / STRIDE; // cells before its own that a pixel's taps reach
const SPAN: u32 = PIXELS + BEFORE;
const COLUMNS: u32 = PIXELS * STRIDE;
const RUNS: u32 = (SPAN + 15u) / 16u; // of 16: Mesa unrolls a loop of up to 32 rounds over the whole of an array, not others
const UNDER_WAY: u32 = 5u; // the larger of KERNEL_HEIGHT and STRIDE: rows of dx under way
const LOADS: u32 = (SPAN * IN_BLOCKS + SUBGROUP - 1u) / SUBGROUP;
const GROUP: u32 = SUBGROUP / 4u; // blocks of dx's channels of a subgroup

struct Params {
  batch: u32,
  dz_height: u32,
  dz_row: u32,       // stored row length, in vec4
  dz_image: u32,     // stored image size, in vec4
  dz_origin: u32,    // first pixel that the image's first cell needs, in vec4
  padding: u32,
  dx_blocks: u32,
  dx_height: u32,
  dx_width: u32,
  dx_row: u32,
  dx_image: u32,
  dx_origin: u32,
  cells: u32,        // of a row of the image
  before: u32,       // columns of the first cell that lie in the padding
  segments: u32,     // strips of an image
  parameter_stride: u32, // parameters of one base, in vec4
  weight: u32,       // offset of the weights, in vec4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, 0, 0
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

alias Weights = array<array<array<vec4<f32>, KERNEL_WIDTH>, KERNEL_HEIGHT>, IN_BLOCKS>;
alias Rows = array<array<f32, COLUMNS>, UNDER_WAY>; // the oldest first
alias Loaded = array<vec4<f32>, LOADS>;
alias Window = array<array<vec4<f32>, 16>, RUNS>;

// What a subgroup works on.
struct Strip {
  first_block: u32,
  first_sample: u32,
  end: u32,       // samples of the batch, at most first_sample + SAMPLES
  segment: u32,
  cell: u32,      // first cell
  rank: u32,      // of the invocation in its subgroup
  chunk: u32,     // of dz's blocks, the one at work
}

// import from_invocation
// import from_four

// Adds one tap's products for a block of dz. Written out, here and below, so that the driver keeps the rows in registers.
fn tap(ky: u32, kx: u32, c: u32, w: ptr<function, Weights>, window: ptr<function, Window>, rows: ptr<function, Rows>) {
  let weight = (*w)[c][ky][kx];
  for (var q = 0u; q < PIXELS; q++) {
    let v = (*window)[(q + BEFORE - kx / STRIDE) / 16u][(q + BEFORE - kx / STRIDE) % 16u];
    var sum = fma(v.x, weight.x, (*rows)[ky][q * STRIDE + kx % STRIDE]);
    sum = fma(v.y, weight.y, sum);
    sum = fma(v.z, weight.z, sum);
    (*rows)[ky][q * STRIDE + kx % STRIDE] = fma(v.w, weight.w, sum);
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

// Adds the products of one block of a row of dz.
fn dz_block(c: u32, loaded: ptr<function, Loaded>, w: ptr<function, Weights>, rows: ptr<function, Rows>) {
  var window: Window;
  for (var i = 0u; i < RUNS; i++) {
    for (var j = 0u; j < 16u; j++) {
      let f = min(i * 16u + j, SPAN - 1u) * IN_BLOCKS + c;
      window[i][j] = from_invocation((*loaded)[f / SUBGROUP], f % SUBGROUP);
    }
  }
  kernel_row(0u, c, w, &window, rows);
  if (KERNEL_HEIGHT > 1u) { kernel_row(1u, c, w, &window, rows); }
  if (KERNEL_HEIGHT > 2u) { kernel_row(2u, c, w, &window, rows); }
  if (KERNEL_HEIGHT > 3u) { kernel_row(3u, c, w, &window, rows); }
  if (KERNEL_HEIGHT > 4u) { kernel_row(4u, c, w, &window, rows); }
  if (KERNEL_HEIGHT > 5u) { kernel_row(5u, c, w, &window, rows); }
  if (KERNEL_HEIGHT > 6u) { kernel_row(6u, c, w, &window, rows); }
}

// Adds the products of the row of dz at `row`.
fn dz_row(row: u32, rank: u32, w: ptr<function, Weights>, rows: ptr<function, Rows>) {
  var loaded: Loaded;
  for (var i = 0u; i < LOADS; i++) {
    var at = min(i * SUBGROUP + rank, SPAN * IN_BLOCKS - 1u);
    if (BLOCK_CHUNKS > 1u) { at = at / IN_BLOCKS * ALL_BLOCKS + at % IN_BLOCKS; }
    loaded[i] = dz[row + at];
  }
  dz_block(0u, &loaded, w, rows);
  if (IN_BLOCKS > 1u) { dz_block(1u, &loaded, w, rows); }
  if (IN_BLOCKS > 2u) { dz_block(2u, &loaded, w, rows); }
  if (IN_BLOCKS > 3u) { dz_block(3u, &loaded, w, rows); }
  if (IN_BLOCKS > 4u) { dz_block(4u, &loaded, w, rows); }
  if (IN_BLOCKS > 5u) { dz_block(5u, &loaded, w, rows); }
  if (IN_BLOCKS > 6u) { dz_block(6u, &loaded, w, rows); }
  if (IN_BLOCKS > 7u) { dz_block(7u, &loaded, w, rows); }
}

// Whether the invocation stores column x of the strip.
fn stores(x: u32, s: Strip) -> bool {
  let column = s.cell * STRIDE + x;
  let mine = x < COLUMNS && s.first_block + s.rank % GROUP < params.dx_blocks;
  let inside = column >= params.before && column < params.before + params.dx_width;
  return mine && inside && (BLOCK_CHUNKS == 1u || OVERLAP == 0u || column >= s.segment * COLUMNS);
}

// Adds what the chunks before have left of a row of the strip.
fn add_stored(start: u32, s: Strip, values: ptr<function, array<f32, COLUMNS>>) {
  let first = start + s.cell * STRIDE * params.dx_blocks + s.first_block + s.rank % GROUP;
  for (var p = 0u; p < COLUMNS; p += 4u) {
    let x = p + s.rank / GROUP;
    var mine = vec4<f32>(0.0);
    if (stores(x, s)) {
      mine = dx[first + x * params.dx_blocks];
    }
    for (var q = 0u; q < 4u; q++) {
      if (p + q < COLUMNS) {
        let v = from_invocation(mine, q * GROUP + s.rank / 4u);
        (*values)[p + q] += select(select(v.x, v.y, s.rank % 4u == 1u), select(v.z, v.w, s.rank % 4u == 3u), s.rank % 4u > 1u);
      }
    }
  }
}

// Stores a row of the strip, an invocation a vec4: column p + rank / GROUP, block rank % GROUP.
fn store(start: u32, s: Strip, values: ptr<function, array<f32, COLUMNS>>) {
  let first = start + s.cell * STRIDE * params.dx_blocks + s.first_block + s.rank % GROUP;
  for (var p = 0u; p < COLUMNS; p += 4u) {
    var mine = vec4<f32>(0.0);
    for (var q = 0u; q < 4u; q++) { // a loop of varying length would not be unrolled
      if (p + q < COLUMNS) {
        let pixel = from_four((*values)[p + q], s.rank % GROUP * 4u);
        mine = select(mine, pixel, s.rank / GROUP == q);
      }
    }
    let x = p + s.rank / GROUP;
    if (stores(x, s)) {
      dx[first + x * params.dx_blocks] = mine;
    }
  }
}

// One of the oldest rows under way leaves, if it is one of the image's. `start` is the image's column −before of its row −pad.
fn finish_row(r: u32, y: u32, start: u32, s: Strip, rows: ptr<function, Rows>) {
  let padded = y * STRIDE + r;
  if (padded >= params.padding && padded < params.padding + params.dx_height) {
    let row = start + padded * params.dx_row;
    var values = (*rows)[r];
    if (BLOCK_CHUNKS > 1u) {
      if (s.chunk > 0u) { add_stored(row, s, &values); }
    }
    store(row, s, &values);
  }
}

fn finish_rows(y: u32, start: u32, s: Strip, rows: ptr<function, Rows>) {
  finish_row(0u, y, start, s, rows);
  if (STRIDE > 1u) { finish_row(1u, y, start, s, rows); }
  if (STRIDE > 2u) { finish_row(2u, y, start, s, rows); }
  if (STRIDE > 3u) { finish_row(3u, y, start, s, rows); }
  for (var j = 0u; j < UNDER_WAY; j++) {
    for (var x = 0u; x < COLUMNS; x++) {
      if (j + STRIDE < UNDER_WAY) { (*rows)[j][x] = (*rows)[j + STRIDE][x]; } else { (*rows)[j][x] = 0.0; }
    }
  }
}

// Computes the strip of sample n.
fn convolve(n: u32, lane: u32, s: Strip, w: ptr<function, Weights>) {
  let first = (lane * params.batch + n) * params.dz_image + params.dz_origin + s.cell * ALL_BLOCKS + s.chunk * IN_BLOCKS;
  // May wrap below zero; what is added to it brings it back.
  let start = (lane * params.batch + n) * params.dx_image + params.dx_origin - params.padding * params.dx_row - params.before * params.dx_blocks;
  var rows: Rows;
  for (var j = 0u; j < UNDER_WAY; j++) {
    for (var x = 0u; x < COLUMNS; x++) {
      rows[j][x] = 0.0;
    }
  }
  for (var y = 0u; y < params.dz_height; y++) {
    dz_row(first + y * params.dz_row, s.rank, w, &rows);
    finish_rows(y, start, s, &rows);
  }
  for (var y = params.dz_height; y * STRIDE < params.padding + params.dx_height; y++) {
    finish_rows(y, start, s, &rows);
  }
}

@compute @workgroup_size(64)
fn conv2d_subgroup_backward_data(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) rank: u32,
) {
  let lane = group.z;
  let place = (group.x * 64u + local.x) / SUBGROUP;
  let groups = (params.dx_blocks + GROUP - 1u) / GROUP;
  let segment = place / groups % params.segments;
  let first = place / (groups * params.segments) * SAMPLES;
  let end = min(first + SAMPLES, batch_sizes[lanes[lane].x]);
  if (first >= end) { // the same for a whole subgroup
    return;
  }
  var s = Strip(place % groups * GROUP, first, end, segment, min(segment * PIXELS, params.cells - PIXELS), rank % SUBGROUP, 0u);
  let theta = lanes[lane].y * params.parameter_stride + params.weight;
  let channel = min(s.first_block * 4u + s.rank, params.dx_blocks * 4u - 1u);
  for (; s.chunk < BLOCK_CHUNKS; s.chunk++) {
    var w: Weights;
    for (var c = 0u; c < IN_BLOCKS; c++) {
      for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
          let t = ky * KERNEL_WIDTH + kx;
          w[c][ky][kx] = parameters[theta + (t * params.dx_blocks * 4u + channel) * ALL_BLOCKS + s.chunk * IN_BLOCKS + c];
        }
      }
    }
    for (var n = s.first_sample; n < s.end; n++) {
      convolve(n, lane, s, &w);
    }
  }
}
