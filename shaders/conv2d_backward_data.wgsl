// 2-D convolution, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][y][x][ci] = Σ_{co,ky,kx} dz[n][(y + pad − ky) / S][(x + pad − kx) / S][co] · w[ky][kx][ci][co]
//
// over the taps where the division is exact. dz is stored with a zero border that the taps reach, so no load is tested.
// With y + pad = S · cell + phase, a pixel's taps are those with ky % S = phase, and meet dz at cell − ky / S: all pixels of a phase are
// a convolution of stride 1 with the phase's taps. A workgroup has one phase of rows, and every phase of columns.
// The tiles and the ways of sharing weights are those of conv2d_forward: one invocation holds ROWS rows × PIXELS cells of S pixels ×
// BLOCKS blocks of input channels, and slides the kernel backwards, last tap first.
//
// attack_step: the images are what every lane attacks for itself, and the gradient is spent where it is computed:
//
//   attacked ← clip(attacked + α · sign(dx)), within ε of the clean image and in [0, 1], as in attack.wgsl

const KERNEL_WIDTH: u32 = 5u;
const STRIDE: u32 = 1u;
const PIXELS: u32 = 7u; // cells of STRIDE pixels
const ROWS: u32 = 1u;
const BLOCKS: u32 = 1u; // 1, 2 or 4, a divisor of in_blocks
const STAGED: u32 = 0u; // 1: weights go through workgroup memory
const CHUNK: u32 = 65536u; // output blocks staged at a time
const STAGE: u32 = 1u; // vec4 of workgroup memory: CHUNK · kernel height · KERNEL_WIDTH · 4 · BLOCKS where staged
const SUBGROUP: u32 = 1u; // invocations that share their loads of weights
const REACH: u32 = (KERNEL_WIDTH - 1u) / STRIDE;
const SPAN: u32 = PIXELS + REACH;
const LOADS: u32 = (4u * BLOCKS + SUBGROUP - 1u) / SUBGROUP;

struct Params {
  batch: u32,
  in_blocks: u32,
  in_height: u32,
  in_width: u32,
  in_row: u32,       // layout of dx, in vec4
  in_image: u32,
  in_origin: u32,
  out_blocks: u32,
  out_row: u32,      // layout of dz, in vec4
  out_image: u32,
  border: u32,       // of dz, in pixels
  kernel_height: u32,
  padding: u32,
  cells_high: u32,   // cells that hold the image's rows
  cells_wide: u32,
  segments: u32,     // tiles of a row
  bands: u32,        // tiles of a column
  parameter_stride: u32,
  weight: u32,
  channels: u32,     // attack_step: 1..=4, and in_row, in_image and in_origin are the layout of the images
  epsilon: f32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

// [co block][ky][kx][block][ci] of the chunk at work.
var<workgroup> stage: array<vec4<f32>, STAGE>;

alias Tile = array<array<array<vec4<f32>, PIXELS * STRIDE>, BLOCKS>, ROWS>;
alias Weights = array<vec4<f32>, LOADS>;
alias Window = array<array<vec4<f32>, SPAN>, ROWS>;

// import from_invocation

// Adds one tap's products for channel block `b`. `w` holds the weights [block][ci], spread over the subgroup.
fn multiply(kx: u32, b: u32, w: ptr<function, Weights>, rows: ptr<function, Window>, acc: ptr<function, Tile>) {
  let c0 = from_invocation((*w)[4u * b / SUBGROUP], 4u * b % SUBGROUP);
  let c1 = from_invocation((*w)[(4u * b + 1u) / SUBGROUP], (4u * b + 1u) % SUBGROUP);
  let c2 = from_invocation((*w)[(4u * b + 2u) / SUBGROUP], (4u * b + 2u) % SUBGROUP);
  let c3 = from_invocation((*w)[(4u * b + 3u) / SUBGROUP], (4u * b + 3u) % SUBGROUP);
  let w0 = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
  let w1 = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
  let w2 = vec4<f32>(c0.z, c1.z, c2.z, c3.z);
  let w3 = vec4<f32>(c0.w, c1.w, c2.w, c3.w);
  for (var r = 0u; r < ROWS; r++) {
    for (var p = 0u; p < PIXELS; p++) {
      let v = (*rows)[r][p + REACH - kx / STRIDE];
      let i = p * STRIDE + kx % STRIDE;
      var sum = fma(vec4<f32>(v.x), w0, (*acc)[r][b][i]);
      sum = fma(vec4<f32>(v.y), w1, sum);
      sum = fma(vec4<f32>(v.z), w2, sum);
      (*acc)[r][b][i] = fma(vec4<f32>(v.w), w3, sum);
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
      w[j] = parameters[first + (kx * params.in_blocks * 4u + k) * params.out_blocks];
    }
  }
  // Written out, here and below, so that every driver keeps the tiles in registers: some unroll no loop of this size.
  multiply(kx, 0u, &w, rows, acc);
  if (BLOCKS > 1u) { multiply(kx, 1u, &w, rows, acc); }
  if (BLOCKS > 2u) { multiply(kx, 2u, &w, rows, acc); }
  if (BLOCKS > 3u) { multiply(kx, 3u, &w, rows, acc); }
}

// Where a tile lies, in cells. The last of a row and of a column are moved back to end at the edge.
struct Place {
  block: u32,
  phase: u32,  // of the rows
  segment: u32,
  band: u32,
  n: u32,
  x: u32,
  y: u32,
}

fn place_of(group: u32, local: u32) -> Place {
  let groups = params.in_blocks / BLOCKS;
  let tile = group / (groups * STRIDE) * 64u + local;
  let segment = tile % params.segments;
  let band = tile / params.segments % params.bands;
  let x = min(segment * PIXELS, params.cells_wide - PIXELS);
  let y = min(band * ROWS, params.cells_high - ROWS);
  return Place(group % groups * BLOCKS, group / groups % STRIDE, segment, band, tile / (params.segments * params.bands), x, y);
}

// The image's row of row r of a tile, and its column of pixel i; beyond any image where there is none.
fn row_of(place: Place, r: u32) -> u32 {
  return (params.padding / STRIDE + place.y + r) * STRIDE + place.phase - params.padding;
}
fn column_of(place: Place, i: u32) -> u32 {
  return (params.padding / STRIDE + place.x) * STRIDE + i - params.padding;
}

// The gradient of a tile, to be called by whole workgroups, of whose first tile the sample is below `size`.
fn tile_gradient(lane: u32, size: u32, place: Place, local: u32, rank: u32) -> Tile {
  let block = place.block;
  // Nobody leaves early, for loads are shared: an invocation past the batch repeats its last sample, and is to store nothing.
  let sample = min(place.n, size - 1u);
  let theta = lanes[lane].y * params.parameter_stride + params.weight;
  // The phase's kernel rows, the last of which meets the tile's first row of dz.
  let kernel_rows = (params.kernel_height + STRIDE - 1u - place.phase) / STRIDE;
  let y = params.border + params.padding / STRIDE + place.y + 1u - kernel_rows;
  let x = params.border + params.padding / STRIDE + place.x - REACH;
  let corner = (lane * params.batch + sample) * params.out_image + y * params.out_row + x * params.out_blocks;
  let kernel_row = KERNEL_WIDTH * params.in_blocks * 4u * params.out_blocks;

  var acc: Tile;
  for (var r = 0u; r < ROWS; r++) {
    for (var b = 0u; b < BLOCKS; b++) {
      for (var i = 0u; i < PIXELS * STRIDE; i++) {
        acc[r][b][i] = vec4<f32>(0.0);
      }
    }
  }
  for (var chunk = 0u; chunk < params.out_blocks; chunk += CHUNK) {
    let end = min(chunk + CHUNK, params.out_blocks);
    if (STAGED == 1u) {
      workgroupBarrier();
      let taps = kernel_rows * KERNEL_WIDTH;
      for (var i = local; i < (end - chunk) * taps * 4u * BLOCKS; i += 64u) {
        let t = i / (4u * BLOCKS);
        let ky = t % taps / KERNEL_WIDTH * STRIDE + place.phase;
        let row = (ky * KERNEL_WIDTH + t % KERNEL_WIDTH) * params.in_blocks * 4u + block * 4u + i % (4u * BLOCKS);
        stage[i] = parameters[theta + row * params.out_blocks + chunk + t / taps];
      }
      workgroupBarrier();
    }
    for (var co = chunk; co < end; co++) {
      // Row r of the window is gradient row r + t, which meets the phase's kernel rows from the last on: all but the last move up.
      var rows: Window;
      for (var r = 1u; r < ROWS; r++) {
        for (var i = 0u; i < SPAN; i++) {
          rows[r][i] = dz[corner + co + (r - 1u) * params.out_row + i * params.out_blocks];
        }
      }
      for (var t = 0u; t < kernel_rows; t++) {
        let u = kernel_rows - 1u - t;
        for (var r = 1u; r < ROWS; r++) {
          rows[r - 1u] = rows[r];
        }
        let newest = corner + co + (ROWS - 1u + t) * params.out_row;
        for (var i = 0u; i < SPAN; i++) {
          rows[ROWS - 1u][i] = dz[newest + i * params.out_blocks];
        }
        var first = theta + (u * STRIDE + place.phase) * kernel_row + block * 4u * params.out_blocks + co;
        if (STAGED == 1u) {
          first = ((co - chunk) * kernel_rows + u) * KERNEL_WIDTH * 4u * BLOCKS;
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
  return acc;
}

@compute @workgroup_size(64)
fn conv2d_backward_data(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) rank: u32,
) {
  let lane = group.z;
  let size = batch_sizes[lanes[lane].x];
  if (place_of(group.x, 0u).n >= size) { // the same for the whole workgroup
    return;
  }
  let place = place_of(group.x, local.x);
  let acc = tile_gradient(lane, size, place, local.x, rank);
  if (place.n < size) {
    for (var r = 0u; r < ROWS; r++) {
      let y = row_of(place, r);
      let target_row = (lane * params.batch + place.n) * params.in_image + params.in_origin + y * params.in_row + place.block;
      for (var b = 0u; b < BLOCKS; b++) {
        for (var i = 0u; i < PIXELS * STRIDE; i++) {
          let x = column_of(place, i);
          if (STRIDE == 1u || (y < params.in_height && x < params.in_width)) {
            dx[target_row + x * params.in_blocks + b] = acc[r][b][i];
          }
        }
      }
    }
  }
}

@group(0) @binding(5) var<storage, read> clean: array<vec4<f32>>; // by slot
@group(0) @binding(6) var<storage, read_write> attacked: array<vec4<f32>>; // by lane

@compute @workgroup_size(64)
fn attack_step(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) rank: u32,
) {
  let lane = group.z;
  let slot = lanes[lane].x;
  let size = batch_sizes[slot];
  if (place_of(group.x, 0u).n >= size) { // the same for the whole workgroup
    return;
  }
  let place = place_of(group.x, local.x);
  let acc = tile_gradient(lane, size, place, local.x, rank);
  if (place.n < size) {
    let zero = vec4<f32>(0.0);
    let used = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.channels);
    for (var r = 0u; r < ROWS; r++) {
      for (var i = 0u; i < PIXELS * STRIDE; i++) {
        let y = row_of(place, r);
        let x = column_of(place, i);
        // A pixel that two tiles have must step once: it is the earlier one's.
        let is_own = place.y + r >= place.band * ROWS && place.x + i / STRIDE >= place.segment * PIXELS;
        if (is_own && (STRIDE == 1u || (y < params.in_height && x < params.in_width))) {
          let at = place.n * params.in_image + params.in_origin + y * params.in_row + x;
          let own = lane * params.batch * params.in_image + at;
          let original = clean[slot * params.batch * params.in_image + at];
          let g = acc[r][0][i];
          let sign = select(zero, vec4<f32>(1.0), g > zero) - select(zero, vec4<f32>(1.0), g < zero);
          let lower = max(original - params.epsilon, zero);
          let upper = min(original + params.epsilon, vec4<f32>(1.0));
          let next = clamp(fma(sign, vec4<f32>(params.alpha), attacked[own]), lower, upper);
          attacked[own] = select(zero, next, used);
        }
      }
    }
  }
}
