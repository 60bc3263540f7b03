// Gathers one mini-batch per client slot from the resident u8 images, by index, as f32 in [0, 1].
//
//   input[slot][n][y][x] = (image[index] / 255, 0 padded to four channels), inside a zero border
//   batch_labels[slot][n] = label[index],  batch_sizes[slot] = number of valid samples
//
// One invocation a stored pixel of a sample; the dispatch's z axis is the client slot.
// Samples at or past the batch size are not touched.

struct Params {
  step: u32,             // local step, selects the row of `schedule`
  slot_capacity: u32,
  batch: u32,            // capacity of a mini-batch
  channels: u32,         // 1..=4, interleaved in the u8 images
  height: u32,
  width: u32,
  out_row: u32,          // stored row length, in vec4
  out_image: u32,        // stored image size, in vec4
  out_origin: u32,       // first pixel inside the border, in vec4
  images_per_chunk: u32, // images in the first of the two image buffers
}

@group(0) @binding(0) var<uniform> params: Params;
// [step][slot][1 + batch]: the number of valid samples, then their image indices.
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> images_0: array<u32>;
@group(0) @binding(3) var<storage, read> images_1: array<u32>;
@group(0) @binding(4) var<storage, read> labels: array<u32>;
@group(0) @binding(5) var<storage, read_write> input: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> batch_labels: array<u32>;
@group(0) @binding(7) var<storage, read_write> batch_sizes: array<u32>;

fn image_byte(chunk: u32, byte: u32) -> f32 {
  var word = 0u;
  if (chunk == 0u) {
    word = images_0[byte / 4u];
  } else {
    word = images_1[byte / 4u];
  }
  return f32((word >> (8u * (byte % 4u))) & 255u) / 255.0;
}

@compute @workgroup_size(64)
fn gather_images(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let row = (params.step * params.slot_capacity + slot) * (1u + params.batch);
  let valid = schedule[row];
  if (id.x == 0u) {
    batch_sizes[slot] = valid;
  }
  let pixels = params.height * params.width;
  let n = id.x / pixels;
  if (n >= valid) {
    return;
  }
  let pixel = id.x % pixels;
  let image = schedule[row + 1u + n];
  if (pixel == 0u) {
    batch_labels[slot * params.batch + n] = labels[image];
  }
  let chunk = min(image / params.images_per_chunk, 1u);
  let first = ((image - chunk * params.images_per_chunk) * pixels + pixel) * params.channels;
  var value = vec4<f32>(0.0);
  for (var c = 0u; c < params.channels; c++) {
    value[c] = image_byte(chunk, first + c);
  }
  let y = pixel / params.width;
  let x = pixel % params.width;
  input[(slot * params.batch + n) * params.out_image + params.out_origin + y * params.out_row + x] = value;
}
