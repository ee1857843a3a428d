// Entry of the package. The program is in program.js, which scripts without modules can load too.
import "./program.js";
import { prepare as prepareFor } from "./prepare.js";
import { openProgram } from "./run.js";

const program = globalThis.p2vitPrograms["@KEY@"];

/** Open the program. By default the fastest module that runs here is taken. */
export const load = (options) => openProgram(program, options);

/** Scale and crop a photo (RGB or RGBA bytes) to the pixels that `run` takes. */
export const prepare = (image) => prepareFor(image, program.preprocessing);
