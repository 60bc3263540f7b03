// The square that a digit is drawn on: white on black, as in MNIST, and centred like its digits.

const SIDE = 28;

export class Pad {
  /** @param {HTMLCanvasElement} canvas @param {() => void} changed Called when a stroke ends. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    /** The test image that is shown, as it is. @type {Uint8Array | undefined} */
    this.taken = undefined;
    this.clear();
    let drawing = false;
    /** @param {PointerEvent} event @returns {[number, number]} */
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (this.taken) this.clear();
      drawing = true;
      canvas.setPointerCapture(event.pointerId);
      const [x, y] = at(event);
      this.context.beginPath();
      this.context.moveTo(x, y);
      this.context.lineTo(x + 0.1, y);
      this.context.stroke();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drawing) return;
      this.context.lineTo(...at(event));
      this.context.stroke();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => {
        if (drawing) changed();
        drawing = false;
      });
    }
  }

  clear() {
    this.taken = undefined;
    const c = this.context;
    c.fillStyle = "#000";
    c.fillRect(0, 0, this.canvas.width, this.canvas.height);
    c.strokeStyle = "#fff";
    c.lineWidth = this.canvas.width / 13;
    c.lineCap = "round";
    c.lineJoin = "round";
  }

  /** Shows a picture of red, green and blue bytes. @param {Uint8Array} pixels */
  show(pixels) {
    this.clear();
    const small = new OffscreenCanvas(SIDE, SIDE);
    paint(small, pixels);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
    this.taken = pixels;
  }

  /** What is on it as 28 × 28 pixels of red, green and blue; a drawing is scaled and centred as MNIST's digits are. */
  pixels() {
    if (this.taken) return this.taken;
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    let [left, top, right, bottom, weight, sumX, sumY] = [width, height, -1, -1, 0, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const value = data[(y * width + x) * 4];
        if (value < 32) continue;
        [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
        [weight, sumX, sumY] = [weight + value, sumX + value * x, sumY + value * y];
      }
    }
    if (weight === 0) return undefined;
    // The digit's box becomes 20 pixels large, and its centre of mass the centre.
    const scale = 20 / Math.max(right - left + 1, bottom - top + 1);
    const small = new OffscreenCanvas(SIDE, SIDE);
    const c = /** @type {OffscreenCanvasRenderingContext2D} */ (small.getContext("2d"));
    c.fillStyle = "#000";
    c.fillRect(0, 0, SIDE, SIDE);
    c.imageSmoothingQuality = "high";
    c.setTransform(scale, 0, 0, scale, SIDE / 2 - (sumX / weight) * scale, SIDE / 2 - (sumY / weight) * scale);
    c.drawImage(this.canvas, 0, 0);
    const rgba = c.getImageData(0, 0, SIDE, SIDE).data;
    return Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => rgba[Math.floor(i / 3) * 4 + (i % 3)]);
  }
}

/** Paints red, green and blue bytes. @param {HTMLCanvasElement | OffscreenCanvas} canvas @param {ArrayLike<number>} pixels */
export function paint(canvas, pixels) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    image.data.set([pixels[i * 3], pixels[i * 3 + 1], pixels[i * 3 + 2], 255], i * 4);
  }
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
}
