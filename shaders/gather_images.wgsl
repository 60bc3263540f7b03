// Gathers one mini-batch per client slot from the resident u8 images, by index, as f32 in [0, 1].
//
//   input[slot][n][y][x] = (image[index] / 255, 0 padded to four channels), inside a zero border
//   batch_labels[slot][n] = label[index],  batch_sizes[slot] = number of valid samples
//
// One invocation four neighbouring pixels of a sample; the dispatch's z axis is the client slot.
// Samples at or past the batch size are not touched.
//
// gather_augmented: the same of images that are cropped (moved by up to `padding` pixels, zeros coming in), then flipped
// left to right every other time, then rotated about their centre to the nearest pixel, zeros outside. What is drawn for an image
// depends on seed, round, step and its index alone: neither on the slot nor on the wave. Angles are one of 127, whose cosines and
// sines come as integers, so that every device picks the same pixels.

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
  seed: u32,             // from here on: of augmented images
  round: u32,
  padding: u32,
  flip: u32,
  // Cosine and sine · 2¹⁴ of 127 angles, two angles a vec4.
  angles: array<vec4<i32>, 64>,
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

fn image_word(chunk: u32, i: u32) -> u32 {
  if (chunk == 0u) {
    return images_0[min(i, arrayLength(&images_0) - 1u)];
  }
  return images_1[min(i, arrayLength(&images_1) - 1u)];
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
  let quads = (pixels + 3u) / 4u;
  let n = id.x / quads;
  if (n >= valid) {
    return;
  }
  let first = id.x % quads * 4u;
  let image = schedule[row + 1u + n];
  if (first == 0u) {
    batch_labels[slot * params.batch + n] = labels[image];
  }
  let chunk = min(image / params.images_per_chunk, 1u);
  let start = ((image - chunk * params.images_per_chunk) * pixels + first) * params.channels;
  // The pixels' bytes start anywhere in a word: one word more than they fill holds them all.
  var words: array<u32, 5>;
  for (var i = 0u; i < 5u; i++) {
    if (i <= params.channels) {
      words[i] = image_word(chunk, start / 4u + i);
    }
  }
  let shift = start % 4u * 8u;
  var bytes: array<u32, 4>; // the same, from the first byte on
  for (var i = 0u; i < 4u; i++) {
    bytes[i] = select((words[i] >> shift) | (words[i + 1u] << (32u - shift)), words[i], shift == 0u);
  }
  let image_start = (slot * params.batch + n) * params.out_image + params.out_origin;
  for (var p = 0u; p < 4u; p++) {
    var value = vec4<f32>(0.0);
    for (var c = 0u; c < 4u; c++) {
      let byte = p * params.channels + c;
      if (c < params.channels) {
        value[c] = f32((bytes[byte / 4u] >> (byte % 4u * 8u)) & 255u) / 255.0;
      }
    }
    let pixel = first + p;
    if (pixel < pixels) {
      input[image_start + pixel / params.width * params.out_row + pixel % params.width] = value;
    }
  }
}

// import pcg4d

@compute @workgroup_size(64)
fn gather_augmented(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let row = (params.step * params.slot_capacity + slot) * (1u + params.batch);
  let valid = schedule[row];
  if (id.x == 0u) {
    batch_sizes[slot] = valid;
  }
  let pixels = params.height * params.width;
  let quads = (pixels + 3u) / 4u;
  let n = id.x / quads;
  if (n >= valid) {
    return;
  }
  let first = id.x % quads * 4u;
  let image = schedule[row + 1u + n];
  if (first == 0u) {
    batch_labels[slot * params.batch + n] = labels[image];
  }
  let key = pcg4d(vec4<u32>(params.seed, params.round, params.step, 0x41554745u)); // "AUGE": no base of an attack's noise
  let drawn = pcg4d(key ^ vec4<u32>(image, 0u, 0u, 0u));
  let moves = 2u * params.padding + 1u;
  let down = i32((drawn.x >> 8u) % moves) - i32(params.padding);
  let right = i32((drawn.y >> 8u) % moves) - i32(params.padding);
  let is_flipped = params.flip == 1u && (drawn.z >> 31u) == 1u;
  let angle = (drawn.w >> 8u) % 127u;
  let pair = params.angles[angle / 2u];
  let cosine = select(pair.x, pair.z, angle % 2u == 1u);
  let sine = select(pair.y, pair.w, angle % 2u == 1u);
  let size = vec2<i32>(i32(params.width), i32(params.height));
  let chunk = min(image / params.images_per_chunk, 1u);
  let start = (image - chunk * params.images_per_chunk) * pixels;
  let image_start = (slot * params.batch + n) * params.out_image + params.out_origin;
  for (var p = 0u; p < 4u; p++) {
    let pixel = first + p;
    if (pixel >= pixels) {
      break;
    }
    // Twice the distance from the centre, turned, and back to the nearest pixel.
    let place = vec2<i32>(i32(pixel % params.width), i32(pixel / params.width));
    let away = 2 * place - size + 1;
    let turned = vec2<i32>(cosine * away.x + sine * away.y, cosine * away.y - sine * away.x);
    var source = (turned + size * 16384) >> vec2<u32>(15u);
    var is_inside = all(source >= vec2<i32>(0)) && all(source < size);
    source.x = select(source.x, size.x - 1 - source.x, is_flipped);
    source += vec2<i32>(right, down);
    is_inside = is_inside && all(source >= vec2<i32>(0)) && all(source < size);
    var value = vec4<f32>(0.0);
    if (is_inside) {
      let from_pixel = start + u32(source.y) * params.width + u32(source.x);
      // Four rounds whatever the channels: Direct3D's older compiler wants to know.
      for (var c = 0u; c < 4u; c++) {
        let byte = from_pixel * params.channels + c;
        if (c < params.channels) {
          value[c] = f32((image_word(chunk, byte / 4u) >> (byte % 4u * 8u)) & 255u) / 255.0;
        }
      }
    }
    input[image_start + pixel / params.width * params.out_row + pixel % params.width] = value;
  }
}
