// The engine in a worker, so that the page stays responsive while it trains.
import * as Comlink from "./vendor/comlink.js";
import init, { Data, Engine } from "./splitmix/splitmix.js";

/** @typedef {import("./splitmix/splitmix.js").TrainOptions} TrainOptions */
/** @typedef {import("./splitmix/splitmix.js").Round} Round */

/** @type {Engine} */
let engine;
/** @type {Data} */
let data;
/** @type {import("./splitmix/splitmix.js").Federation | undefined} */
let federation;
/** @type {import("./splitmix/splitmix.js").Model | undefined} */
let model;
/** Of the training that is prepared or at work. @type {AbortController | undefined} */
let abort;
let training = false;
/** Whether the device has failed, so that what comes next wants another. */
let failed = false;

// An error reaches the page by itself, a rejected promise that nobody waits for does not. Neither is an engine's failure, of which
// the page is told: it is the end of this program.
addEventListener("unhandledrejection", (event) => reportError(event.reason));

/** @returns {import("./splitmix/splitmix.js").Model} */
function trained() {
  if (!model) throw new Error("there is no model yet: train one or load a checkpoint");
  return model;
}

/** Does something on the device. @template T @param {() => Promise<T> | T} work @returns {Promise<T>} */
async function watched(work) {
  try {
    return await work();
  } catch (/** @type {any} */ error) {
    failed ||= error?.kind === "gpu";
    throw error;
  }
}

/** Opens another device in place of one that failed, a lost one perhaps, and takes the model there. */
async function renew() {
  if (!failed) return;
  // Where the device was short of memory, this makes room. A training that still goes on there is left to it.
  if (!training) {
    engine.close();
    federation = undefined;
  }
  const fresh = await Engine.create();
  const moved = model && (await fresh.load(model.checkpoint(), data));
  model?.free();
  [engine, model, failed] = [fresh, moved, false];
}

/** What uses the model, one after the other: none is freed while it is at work. @type {Promise<unknown>} */
let turn = Promise.resolve();

/** @template T @param {() => Promise<T> | T} work @returns {Promise<T>} */
function inTurn(work) {
  const done = turn.then(() => watched(() => renew().then(work)));
  turn = done.catch(() => {});
  return done;
}

/** A working device: to open one waits for what is still at work on the failed one. */
const device = () => (failed ? inTurn(() => {}) : undefined);

/** @param {Uint8Array} bytes */
async function load(bytes) {
  const loaded = await engine.load(bytes, data);
  const info = loaded.info;
  if (info.image.join() !== "3,28,28") {
    loaded.free();
    throw new Error(`this page shows models of 28×28 images; this one is of ${info.image.slice(1).join("×")}`);
  }
  model?.free();
  model = loaded;
  return info;
}

const api = {
  /** Opens the device. */
  async start() {
    await init();
    engine = await Engine.create();
    data = Data.embedded();
    return { adapter: engine.adapter, domains: data.domains, classes: data.classes };
  },
  /** @param {number} domain @param {number} index */
  image(domain, index) {
    return { pixels: data.testImage(domain, index), label: data.testLabel(domain, index) };
  },
  /**
   * Makes a federation; with a checkpoint, one that goes on from there. Nothing where it was stopped meanwhile.
   * @param {TrainOptions} options @param {Uint8Array} [checkpoint]
   */
  async prepare(options, checkpoint) {
    const { signal } = (abort = new AbortController());
    await device();
    const made = await watched(() => (checkpoint ? engine.resume(checkpoint, data, options) : engine.federation(data, options)));
    federation?.free();
    federation = made;
    return signal.aborted ? undefined : { clients: await federation.clients(), options: await federation.options() };
  },
  /**
   * Trains to the end or until stopped. Each round is told with the checkpoint after it, which came with the round's one readback.
   * @param {(round: Round, checkpoint: Uint8Array) => void} told
   */
  async train(told) {
    if (!federation || !abort) throw new Error("prepare a federation first");
    const [prepared, { signal }] = [federation, abort];
    training = true;
    try {
      await watched(() =>
        prepared.train({
          signal,
          onRound: async (round) => {
            const checkpoint = await prepared.checkpoint();
            await told(round, Comlink.transfer(checkpoint, [checkpoint.buffer]));
          },
        }),
      );
      return "done";
    } catch (error) {
      // A failure of the round that was to be the last is a failure all the same.
      if (signal.aborted && error === signal.reason) return "stopped";
      throw error;
    } finally {
      training = false;
      abort = undefined;
    }
  },
  stop() {
    abort?.abort();
  },
  /** Takes a checkpoint as the model. @param {Uint8Array} bytes */
  load: (bytes) => inTurn(() => load(bytes)),
  checkpoint() {
    return inTurn(() => trained().checkpoint());
  },
  /** @param {import("./splitmix/splitmix.js").EvaluateCall} call */
  evaluate(call) {
    return inTurn(() => trained().evaluate(call));
  },
  /** Parameters and multiply–adds. @param {string} width */
  cost(width) {
    return inTurn(() => trained().cost(width));
  },
  /** @param {Uint8Array} pixels @param {import("./splitmix/splitmix.js").PredictCall} call */
  predict(pixels, call) {
    return inTurn(async () => {
      const began = performance.now();
      const probabilities = await trained().predict(pixels, call);
      return { probabilities, milliseconds: performance.now() - began };
    });
  },
  /** @param {Uint8Array} pixels @param {number} label @param {import("./splitmix/splitmix.js").AttackCall} call */
  attack(pixels, label, call) {
    return inTurn(() => trained().attack(pixels, label, call));
  },
  /** @param {(row: import("./splitmix/splitmix.js").SelfTestRow) => void} told */
  async selfTest(told) {
    /** @type {unknown[]} */
    const rows = [];
    await device();
    const report = await watched(() => engine.selfTest((row) => void rows.push(told(row))));
    // Rows and report take different ways to the page: without this the report may be there first.
    await Promise.all(rows);
    return report;
  },
  counts() {
    return engine.counts();
  },
};

/** @typedef {typeof api} Api */

Comlink.expose(api);
