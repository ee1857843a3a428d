/** Modules from the fastest to the one that runs everywhere: with relaxed SIMD, with SIMD, without. */
export type Variant = "relaxed" | "simd" | "scalar";

/** A program that is ready to run. */
export interface Model {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Name of the class of each output; empty if unknown. */
  readonly classes: readonly string[];
  /** An output q of channel c stands for the number q * 2 ** exponents[c]. */
  readonly exponents: readonly number[];
  /** How photos must be prepared; see `prepare`. */
  readonly preprocessing: Readonly<Record<string, unknown>>;
  /** Hash of the integer program. */
  readonly sha256: string;
  /** The module that runs. All modules return the same integers. */
  readonly variant: Variant;
  /**
   * Run one photo.
   * @param pixels uint8 RGB [height, width, 3].
   * @returns One int32 per output.
   * @throws {TypeError} It is not an array of bytes.
   * @throws {RangeError} It has another length.
   */
  run(pixels: Uint8Array | Uint8ClampedArray): Int32Array;
  /** Run one photo, and return what the last layer reads beside the outputs. */
  runWithFeatures(pixels: Uint8Array | Uint8ClampedArray): { outputs: Int32Array; features: Int32Array };
  /** Run the built-in photos and compare the outputs with the integers of the reference. */
  check(): { photos: number; compared: number; differing: number };
}

/**
 * Open the program.
 * @param options.variant The module to take. By default the fastest one that runs here.
 * @throws {RangeError} There is no such variant.
 */
export function load(options?: { variant?: Variant }): Promise<Model>;

/**
 * Scale and crop a photo to the pixels that `run` takes, with the integers of Pillow's resampling.
 * @param image RGB or RGBA bytes, for example an ImageData. Alpha is ignored.
 * @throws {RangeError} The number of bytes does not fit, or the program takes photos of one size only.
 */
export function prepare(image: {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}): Uint8Array;
