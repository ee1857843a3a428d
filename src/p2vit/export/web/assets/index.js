// Entry of the package. The program is in program.js, which scripts without modules can load too.
import "./program.js";
import { prepare as prepareFor } from "./prepare.js";
import { openProgram } from "./run.js";

const program = globalThis.p2vitPrograms["@KEY@"];

/** Open the program. `simd: false` takes the module without SIMD; by default the runtime decides. */
export const load = (options) => openProgram(program, options);

/** Scale and crop a photo (RGB or RGBA bytes) to the pixels that `run` takes. */
export const prepare = (image) => prepareFor(image, program.preprocessing);
