// One client of width 1, that is 8 bases, on the embedded MNIST images.
import init, { Data, Engine } from "./splitmix/splitmix.js";

const tf = /** @type {any} */ (globalThis).tf;
const parameters = new URLSearchParams(location.search);
/** Training steps that are measured at once. */
const STEPS = Number(parameters.get("steps") ?? 10);
const TURNS = Number(parameters.get("turns") ?? 3);
const [BASES, BATCH, LR, MOMENTUM, DECAY] = [8, 32, 0.01, 0.9, 5e-4];

const lines = /** @type {string[]} */ ([]);
const say = (/** @type {string} */ line) => {
  lines.push(line);
  /** @type {HTMLElement} */ (document.getElementById("result")).textContent = lines.join("\n");
};

/** The engine: a round of so many steps. @param {Data} data */
async function ours(data) {
  const engine = await Engine.create();
  say(`adapter: ${engine.adapter.name}`);
  const federation = await engine.federation(data, {
    domains: ["mnist"],
    clientsPerDomain: 1,
    trainPerDomain: STEPS * BATCH + 16,
    validationRatio: 16 / (STEPS * BATCH + 16),
    budgets: "1",
    batchSize: BATCH,
    rounds: 1000,
    validateEvery: 1000,
    schedule: "none",
    lr: LR,
  });
  return async () => {
    let loss = 0;
    const began = performance.now();
    await federation.train({ rounds: 1, onRound: (round) => void (loss = round.loss) });
    return { milliseconds: (performance.now() - began) / STEPS, loss };
  };
}

/** The same in TensorFlow.js. @param {Data} data */
async function theirs(data) {
  // Browsers have dropped a call that the backend makes when it opens its device; what it asked for is an attribute now.
  const adapter = /** @type {any} */ (globalThis).GPUAdapter.prototype;
  adapter.requestAdapterInfo ??= async function () {
    return this.info;
  };
  await tf.setBackend("webgpu");
  await tf.ready();
  const pixels = [];
  const labels = [];
  for (let i = 0; i < STEPS * BATCH; i++) {
    pixels.push(...data.testImage(0, i));
    labels.push(data.testLabel(0, i));
  }
  const images = tf.tensor4d(Float32Array.from(pixels, (p) => p / 255), [STEPS * BATCH, 28, 28, 3]);
  const classes = tf.oneHot(tf.tensor1d(labels, "int32"), 10);

  const base = () => {
    const weight = (/** @type {number[]} */ shape) => {
      const fan = shape.slice(0, -1).reduce((a, b) => a * b, 1);
      return tf.variable(tf.randomUniform(shape, -1 / Math.sqrt(fan), 1 / Math.sqrt(fan)));
    };
    const layer = (/** @type {number[]} */ shape) => ({
      w: weight(shape),
      b: tf.variable(tf.zeros([shape.at(-1)])),
      gamma: tf.variable(tf.ones([shape.at(-1)])),
      beta: tf.variable(tf.zeros([shape.at(-1)])),
    });
    const layers = [layer([5, 5, 3, 8]), layer([5, 5, 8, 8]), layer([5, 5, 8, 16]), layer([784, 256]), layer([256, 64]), layer([64, 10])];
    const own = layers.flatMap((l, i) => (i < 5 ? [l.w, l.b, l.gamma, l.beta] : [l.w, l.b]));
    return { layers, own, velocity: own.map((v) => tf.variable(tf.zeros(v.shape))) };
  };

  const normed = (/** @type {any} */ x, /** @type {any} */ l) => {
    const { mean, variance } = tf.moments(x, x.shape.map((/** @type {number} */ _, /** @type {number} */ i) => i).slice(0, -1));
    return tf.relu(tf.batchNorm(x, mean, variance, l.beta, l.gamma, 1e-5));
  };
  const forward = (/** @type {any} */ x, /** @type {any[]} */ [c1, c2, c3, f1, f2, f3]) => {
    // As in Split-Mix, layers' outputs are divided by the base width.
    const conv = (/** @type {any} */ x, /** @type {any} */ l) => normed(tf.conv2d(x, l.w, 1, "same").add(l.b).mul(8), l);
    const linear = (/** @type {any} */ x, /** @type {any} */ l) => tf.matMul(x, l.w).add(l.b).mul(8);
    x = tf.maxPool(conv(x, c1), 2, 2, "valid");
    x = tf.maxPool(conv(x, c2), 2, 2, "valid");
    x = conv(x, c3).reshape([-1, 784]);
    return linear(normed(linear(normed(linear(x, f1), f1), f2), f2), f3);
  };
  const bases = Array.from({ length: BASES }, base);

  const step = (/** @type {number} */ n) => {
    const x = tf.slice(images, [n * BATCH, 0, 0, 0], [BATCH, 28, 28, 3]);
    const y = tf.slice(classes, [n * BATCH, 0], [BATCH, 10]);
    let last;
    for (const { layers, own, velocity } of bases) {
      const { value, grads } = tf.variableGrads(() => tf.losses.softmaxCrossEntropy(y, forward(x, layers)), own);
      own.forEach((variable, i) => {
        const moved = velocity[i].mul(MOMENTUM).add(grads[variable.name]).add(variable.mul(DECAY));
        velocity[i].assign(moved);
        variable.assign(variable.sub(moved.mul(LR)));
      });
      last = value;
    }
    return last;
  };

  return async () => {
    const began = performance.now();
    let loss = 0;
    for (let n = 0; n < STEPS; n++) {
      const value = tf.tidy(() => step(n));
      // Read once at the end, as the engine does: the queue is waited for.
      if (n === STEPS - 1) loss = (await value.data())[0];
      value.dispose();
    }
    return { milliseconds: (performance.now() - began) / STEPS, loss };
  };
}

async function main() {
  await init();
  const data = Data.embedded();
  const contestants = [
    { name: "this engine", run: await ours(data), best: Infinity },
    { name: `TensorFlow.js ${tf.version.tfjs}`, run: await theirs(data), best: Infinity },
  ];
  for (const c of contestants) {
    const { loss } = await c.run();
    say(`${c.name}: warm, loss ${loss.toFixed(3)}`);
  }
  for (let turn = 0; turn < TURNS; turn++) {
    for (const c of contestants) {
      const { milliseconds, loss } = await c.run();
      c.best = Math.min(c.best, milliseconds);
      say(`${c.name}: ${milliseconds.toFixed(1)} ms a step, loss ${loss.toFixed(3)}`);
    }
  }
  const [a, b] = contestants;
  say(`best of ${TURNS} turns of ${STEPS} steps: ${a.best.toFixed(1)} ms beside ${b.best.toFixed(1)} ms: ${(b.best / a.best).toFixed(1)} times as fast`);
  document.title = "done";
}

main().catch((error) => {
  say(`failed: ${error?.message ?? error}`);
  document.title = "failed";
});
