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
/** @type {AbortController | undefined} */
let abort;

/** @returns {import("./splitmix/splitmix.js").Model} */
function trained() {
  if (!model) throw new Error("there is no model yet: train one or load a checkpoint");
  return model;
}

/** What uses the model, one after the other: none is freed while it is at work. @type {Promise<unknown>} */
let turn = Promise.resolve();

/** @template T @param {() => Promise<T> | T} work @returns {Promise<T>} */
function inTurn(work) {
  const done = turn.then(work);
  turn = done.catch(() => {});
  return done;
}

/** @param {Uint8Array} bytes */
async function load(bytes) {
  const loaded = await engine.load(bytes, data);
  model?.free();
  model = loaded;
  return model.info;
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
  /** Makes a federation; with a checkpoint, one that goes on from there. @param {TrainOptions} options @param {Uint8Array} [checkpoint] */
  async prepare(options, checkpoint) {
    const made = checkpoint ? await engine.resume(checkpoint, data, options) : await engine.federation(data, options);
    federation?.free();
    federation = made;
    return { clients: await federation.clients(), options: await federation.options(), done: await federation.roundsDone() };
  },
  /**
   * Trains to the end or until stopped. Each round is told with the checkpoint after it, which came with the round's one readback.
   * @param {(round: Round, checkpoint: Uint8Array) => void} told
   */
  async train(told) {
    const training = federation;
    if (!training) throw new Error("prepare a federation first");
    abort = new AbortController();
    try {
      await training.train({
        signal: abort.signal,
        onRound: async (round) => {
          const checkpoint = await training.checkpoint();
          await told(round, Comlink.transfer(checkpoint, [checkpoint.buffer]));
        },
      });
      return "done";
    } catch (error) {
      if (abort.signal.aborted) return "stopped";
      throw error;
    } finally {
      abort = undefined;
    }
  },
  stop() {
    abort?.abort();
  },
  /** Takes a checkpoint as the model. @param {Uint8Array} bytes */
  load: (bytes) => inTurn(() => load(bytes)),
  /** The best round's checkpoint, if one was validated. */
  best() {
    return federation?.bestCheckpoint();
  },
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
    const report = await engine.selfTest((row) => void rows.push(told(row)));
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
