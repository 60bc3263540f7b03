// The sum of two images of every lane at once, or one of them alone:
//
//   y[lane][n][row][x][c] = factor · (a + b)      (b only where SOURCES = 2)
//
// Forward it is the end of a residual block; backward it gathers the gradients of an image that several layers read, and
// carries the layer correction of a convolution that no batch norm follows. The three may have borders of their own. One
// invocation an image row × 4 channels.

const SOURCES: u32 = 2u;

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
  width: u32,
  a_row: u32,   // layouts, in vec4
  a_image: u32,
  a_origin: u32,
  b_row: u32,
  b_image: u32,
  b_origin: u32,
  y_row: u32,
  y_image: u32,
  y_origin: u32,
  factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn residual_add(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.height;
  let n = id.x / (params.blocks * params.height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let of_a = sample * params.a_image + params.a_origin + line * params.a_row + block;
  let of_b = sample * params.b_image + params.b_origin + line * params.b_row + block;
  let of_y = sample * params.y_image + params.y_origin + line * params.y_row + block;
  for (var x = 0u; x < params.width; x++) {
    var sum = a[of_a + x * params.blocks];
    if (SOURCES == 2u) {
      sum += b[of_b + x * params.blocks];
    }
    y[of_y + x * params.blocks] = sum * params.factor;
  }
}
