// The page: photos that are chosen, dropped or come from the camera, and what the program says of them.
import { prepare } from "./prepare.js";
import { openProgram } from "./run.js";

const program = Object.values(globalThis.p2vitPrograms)[0];
const LARGEST_PHOTO = 64e6; // pixels
const SHOWN = 5;
const KINDS = {
  relaxed: "WebAssembly with relaxed SIMD",
  simd: "WebAssembly with SIMD",
  scalar: "WebAssembly without SIMD",
};

const at = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function setBadge(kind, text) {
  at("badge").className = `badge ${kind}`;
  at("badge").textContent = text;
}

function showCheck(model) {
  const { photos, compared, differing } = model.check();
  const counted = `${photos} photo${photos === 1 ? "" : "s"}, ${compared.toLocaleString("en")} integers`;
  if (differing === 0) setBadge("good", `same integers as the reference (${counted})`);
  else setBadge("bad", `${differing.toLocaleString("en")} integers differ from the reference (${counted})`);
  return differing === 0;
}

/** RGBA of a picture, upright, without colour conversion, on white where it is transparent. */
function pictureData(picture, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

async function decoded(file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Error("this browser cannot read the file as a photo");
  }
  const { width, height } = picture;
  if (width * height > LARGEST_PHOTO) {
    picture.close();
    throw new Error(`${width} x ${height} pixels are too many; at most ${LARGEST_PHOTO.toLocaleString("en")} are read`);
  }
  const data = pictureData(picture, width, height);
  picture.close();
  return data;
}

/** Prepare and run a picture: pixels, outputs, and milliseconds of both steps. */
function classified(model, data) {
  const start = performance.now();
  const pixels = prepare(data, model.preprocessing);
  const prepared = performance.now();
  const outputs = model.run(pixels);
  return { pixels, outputs, preparing: prepared - start, running: performance.now() - prepared };
}

function drawPixels(canvas, pixels, model) {
  canvas.width = model.width;
  canvas.height = model.height;
  const data = new ImageData(model.width, model.height);
  for (let i = 0, j = 0; i < pixels.length; i += 3, j += 4) {
    data.data.set(pixels.subarray(i, i + 3), j);
    data.data[j + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
}

/** A card with a picture and the largest outputs. */
function card(name) {
  const root = element("article", "card");
  const canvas = element("canvas", "picture");
  const body = element("div", "body");
  const title = element("h3", "", name);
  title.title = name;
  const list = element("div", "logits");
  const times = element("p", "times");
  body.append(title, list, times);
  root.append(canvas, body);
  return {
    root,
    show(model, { pixels, outputs, preparing, running }) {
      drawPixels(canvas, pixels, model);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `the pixels of ${name} that the program sees`);
      list.replaceChildren(...rows(model, outputs));
      times.textContent = `${running.toFixed(1)} ms for the program, ${preparing.toFixed(1)} ms for scaling`;
    },
    fail(message) {
      canvas.remove();
      root.classList.add("failed");
      body.replaceChildren(title, element("p", "", message));
    },
  };
}

function rows(model, outputs) {
  const real = Array.from(outputs, (q, c) => q * 2 ** model.exponents[c]);
  const order = real.map((_, c) => c).sort((a, b) => real[b] - real[a] || a - b).slice(0, SHOWN);
  const top = real[order[0]];
  const bottom = real.reduce((least, x) => Math.min(least, x), top);
  return order.map((c) => {
    const row = element("div", "row");
    const bar = element("span", "bar");
    bar.style.setProperty("--share", top > bottom ? (real[c] - bottom) / (top - bottom) : 1);
    const value = element("span", "value", outputs[c].toLocaleString("en").replace("-", "−"));
    value.title = `${outputs[c]} × 2^${model.exponents[c]} = ${real[c]}`;
    row.append(element("span", "label", model.classes[c] ?? `output ${c}`), value, bar);
    return row;
  });
}

async function addFiles(model, list) {
  for (const file of list) {
    const made = card(file.name);
    at("results").prepend(made.root);
    try {
      made.show(model, classified(model, await decoded(file)));
    } catch (error) {
      made.fail(error.message);
    }
    at("results").hidden = false;
  }
}

function acceptPhotos(model) {
  const zone = at("drop");
  at("files").addEventListener("change", (event) => {
    addFiles(model, [...event.target.files]);
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"])
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      if (kind === "drop") addFiles(model, [...event.dataTransfer.files]);
    });
}

/** Classify the camera's pictures until the button is pressed again. */
function acceptCamera(model) {
  const button = at("camera");
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    button.textContent = "Use the camera";
  };
  if (!navigator.mediaDevices?.getUserMedia) {
    button.disabled = true;
    button.title = "This browser offers no camera to this page";
    return;
  }
  button.addEventListener("click", async () => {
    if (stream) return stop();
    const made = card("camera");
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      at("results").prepend(made.root);
      return made.fail(`the camera cannot be used: ${error.message}`);
    }
    button.textContent = "Stop the camera";
    at("results").prepend(made.root);
    const video = element("video");
    Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
    await video.play();
    const next = () => {
      if (!stream) return;
      const { videoWidth: width, videoHeight: height } = video;
      if (width > 0) {
        try {
          made.show(model, classified(model, pictureData(video, width, height)));
        } catch (error) {
          stop();
          return made.fail(error.message);
        }
      }
      requestAnimationFrame(next);
    };
    next();
  });
}

async function main() {
  setBadge("", "checking …");
  try {
    const variant = new URLSearchParams(location.search).get("variant") ?? undefined;
    const model = await openProgram(program, { variant });
    at("kind").textContent = KINDS[model.variant];
    if (!showCheck(model)) return;
    acceptPhotos(model);
    acceptCamera(model);
    at("files").disabled = false;
    globalThis.p2vitModel = model;
  } catch (error) {
    setBadge("bad", `the program does not run here: ${error.message}`);
  }
}

main();
