// Opens a program's WebAssembly module and runs photos through it.

/** Decode base64 to bytes. */
function bytesOf(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** A program that is ready to run. Made by `openProgram`. */
export class Model {
  #program;
  #exports;

  constructor(program, exports, variant) {
    this.#program = program;
    this.#exports = exports;
    for (const name of ["height", "width", "channels", "classes", "exponents", "preprocessing", "sha256"])
      this[name] = program[name];
    this.variant = variant;
    Object.freeze(this);
  }

  /** Run one photo: uint8 RGB [height, width, 3] → int32 outputs. */
  run(pixels) {
    this.#compute(pixels);
    return this.#read("outputs");
  }

  /** Run one photo, and return what the last layer reads beside the outputs. */
  runWithFeatures(pixels) {
    this.#compute(pixels);
    return { outputs: this.#read("outputs"), features: this.#read("features") };
  }

  /** Run the built-in photos and compare the outputs with the reference's integers. */
  check() {
    const { photos, pixels, outputs } = this.#program.vectors;
    const all = bytesOf(pixels);
    const expected = new Int32Array(bytesOf(outputs).buffer);
    const each = all.length / photos;
    let differing = 0;
    for (let photo = 0; photo < photos; photo++) {
      const found = this.run(all.subarray(photo * each, (photo + 1) * each));
      for (let i = 0; i < found.length; i++)
        if (found[i] !== expected[photo * found.length + i]) differing++;
    }
    return { photos, compared: expected.length, differing };
  }

  #compute(pixels) {
    const size = this.height * this.width * this.channels;
    const shape = `${size} bytes, RGB [${this.height}, ${this.width}, ${this.channels}]`;
    if (!(pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray))
      throw new TypeError(`pixels must be a Uint8Array of ${shape}`);
    if (pixels.length !== size) throw new RangeError(`pixels has ${pixels.length} bytes, but must have ${shape}`);
    const { memory, pixels: start, run } = this.#exports;
    new Uint8Array(memory.buffer, start(), size).set(pixels);
    run();
  }

  #read(name) {
    return new Int32Array(this.#exports.memory.buffer, this.#exports[name](), this.#program[name]).slice();
  }
}

/** Modules from the fastest to the one that runs everywhere. All return the same integers. */
const VARIANTS = ["relaxed", "simd", "scalar"];

/** Open a program. By default the fastest module that runs here is taken; `variant` names another one. */
export async function openProgram(program, { variant } = {}) {
  if (variant !== undefined && !VARIANTS.includes(variant))
    throw new RangeError(`variant is ${JSON.stringify(variant)}; allowed are ${VARIANTS.join(", ")}`);
  const chosen = variant ?? VARIANTS.find((name) => WebAssembly.validate(bytesOf(program[name])));
  if (chosen === undefined) throw new Error("WebAssembly is not available here");
  const { instance } = await WebAssembly.instantiate(bytesOf(program[chosen]), {});
  const weights = bytesOf(program.weights);
  new Uint8Array(instance.exports.memory.buffer, instance.exports.weights(), weights.length).set(weights);
  instance.exports.prepare(); // finds out which products are exact on this machine
  return new Model(program, instance.exports, chosen);
}
