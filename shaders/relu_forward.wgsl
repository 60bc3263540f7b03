// Rectification where no batch norm does it, forward, for every lane at once:
//
//   y[lane][n][row][column][c] = max(0, x)
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
  y_row: u32,
  y_image: u32,
  y_origin: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

// import is_nan

@compute @workgroup_size(64)
fn relu_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.height;
  let n = id.x / (params.blocks * params.height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let of_x = sample * params.x_image + params.x_origin + line * params.x_row + block;
  let of_y = sample * params.y_image + params.y_origin + line * params.y_row + block;
  for (var column = 0u; column < params.width; column++) {
    let value = x[of_x + column * params.blocks];
    // Not max: it may drop a NaN, and a diverged lane would look sound.
    y[of_y + column * params.blocks] = select(value, vec4<f32>(0.0), (value < vec4<f32>(0.0)) & !is_nan(value));
  }
}
