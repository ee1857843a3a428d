// Browsers give no web worker to a page that is opened as a file. This one runs the worker's script in a hidden frame, so
// that the search works without a server.
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const scope = this.frame.contentWindow;
      // A written document stays; the empty one may still be replaced.
      scope.document.open();
      scope.document.write("<!doctype html><title>search</title>");
      scope.document.close();
      const load = (source) =>
        new Promise((loaded, failed) => {
          const script = scope.document.createElement("script");
          script.src = source;
          script.onload = loaded;
          script.onerror = failed;
          scope.document.head.append(script);
        });
      scope.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      scope.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      this.loaded = load(url);
    }
    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
