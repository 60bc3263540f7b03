// Rectification where no batch norm does it, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][row][column][c] = dy where x > 0, else 0
//
// The images may have borders of their own. One invocation an image row × 4 channels.

struct Params {
  batch: u32,
  blocks: u32,
  height: u32,
  width: u32,
  x_row: u32,   // layouts, in vec4
  x_image: u32,
  x_origin: u32,
  dy_row: u32,
  dy_image: u32,
  dy_origin: u32,
  dx_row: u32,
  dx_image: u32,
  dx_origin: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(64)
fn relu_backward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.height;
  let n = id.x / (params.blocks * params.height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let of_x = sample * params.x_image + params.x_origin + line * params.x_row + block;
  let of_dy = sample * params.dy_image + params.dy_origin + line * params.dy_row + block;
  let of_dx = sample * params.dx_image + params.dx_origin + line * params.dx_row + block;
  for (var column = 0u; column < params.width; column++) {
    let passes = x[of_x + column * params.blocks] > vec4<f32>(0.0);
    dx[of_dx + column * params.blocks] = select(vec4<f32>(0.0), dy[of_dy + column * params.blocks], passes);
  }
}
